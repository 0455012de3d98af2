#!/usr/bin/env python3
"""A long line on one machine: joins two network namespaces, `NAME-a` (10.88.0.1) and `NAME-b`
(10.88.0.2), which it makes and removes, by a line of so many Mbit/s and so many milliseconds round
trip, with a queue of 200 ms before it, as routers have. For root.

    line.py NAME MBIT MS

Prints "up" when it stands. A line "MBIT LOSS" on its input is another speed in Mbit/s and how many of
a hundred packets are lost, either way; the end of its input is its end."""
import collections
import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

name, mbit, delay = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]) / 2000
loss = 0.0
QUEUE = 0.2
CLONE_NEWNET, TUNSETIFF, IFF_TUN_NO_PI = 0x40000000, 0x400454CA, 0x1001


def run(command):
    subprocess.run(command.split(), check=True)


def end_of(side, ip, peer):
    """A tun device in a fresh namespace; this process is left in that namespace."""
    run(f"ip netns add {name}-{side}")
    with open(f"/run/netns/{name}-{side}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"line0", IFF_TUN_NO_PI))
    run(f"ip addr add {ip} peer {peer} dev line0")
    run("ip link set lo up")
    run("ip link set line0 up txqueuelen 10000")
    return tun


class Way:
    """One direction: packets leave one after another at the line's speed, and arrive later."""

    def __init__(self, into):
        self.into, self.free, self.flying = into, 0.0, collections.deque()

    def take(self, packet, now):
        start = max(now, self.free)
        if start - now <= QUEUE:  # else it is dropped, as a full queue does
            self.free = start + len(packet) * 8 / (mbit * 1e6)
            if random.random() * 100 >= loss:
                self.flying.append((self.free + delay, packet))

    def give(self, now):
        while self.flying and self.flying[0][0] <= now:
            try:
                os.write(self.into, self.flying.popleft()[1])
            except OSError:
                pass  # the device's queue is full: dropped


ends = []
try:
    ends.append(end_of("a", "10.88.0.1", "10.88.0.2"))
    ends.append(end_of("b", "10.88.0.2", "10.88.0.1"))
    ways = {ends[0]: Way(ends[1]), ends[1]: Way(ends[0])}
    print("up", flush=True)
    while True:
        due = [way.flying[0][0] for way in ways.values() if way.flying]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready = select.select([*ends, sys.stdin], [], [], wait)[0]
        for end in ready:
            if end is sys.stdin:
                speed = sys.stdin.readline()
                if not speed:
                    sys.exit()
                mbit, loss = map(float, speed.split())
                continue
            for _ in range(64):
                try:
                    packet = os.read(end, 65536)
                except BlockingIOError:
                    break
                ways[end].take(packet, time.monotonic())
        now = time.monotonic()
        for way in ways.values():
            way.give(now)
finally:
    for side in "ab":
        subprocess.run(["ip", "netns", "del", f"{name}-{side}"], stderr=subprocess.DEVNULL)
