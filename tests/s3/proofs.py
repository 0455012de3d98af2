"""Uploads with the real binary through the sandbox's JW Player to a real S3 server.

proofs.py S3_ENDPOINT BUCKET WORK

REELHAUL_BIN names the binary; S3_ACCESS_KEY and S3_SECRET_KEY are the server's keys.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

MIB = 1024 * 1024
SITE, SECRET = "Site0001", "sandbox-secret"
BIN = os.environ["REELHAUL_BIN"]
ENDPOINT, BUCKET, WORK = sys.argv[1:4]
# Signs that a link or key was told where it must not be.
SECRETS = ("X-Amz-Signature", os.environ["S3_SECRET_KEY"])

proofs = []


def proof(function):
    proofs.append(function)
    return function


def send(method, url, body=None, headers=None):
    """Status, headers and body, whatever the status."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


def put(url, content, mime=None):
    """Puts bytes with curl, which adds no header that was not asked for."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--upload-file", "-"]
    command += ["--header", f"Content-Length: {len(content)}", "--header", "Expect:"]
    command += ["--header", f"Content-Type: {mime}" if mime else "Content-Type:"]
    command += ["--header", "Transfer-Encoding:", "--write-out", "\n%{http_code}", url]
    out = subprocess.run(command, input=content, capture_output=True, check=True).stdout.decode()
    text, _, status = out.rpartition("\n")
    return int(status), text


class Sandbox:
    def __init__(self, name, *options):
        self.home = os.path.join(WORK, name)
        os.mkdir(self.home)
        self.log = os.path.join(self.home, "sandbox.log")
        command = [BIN, "sandbox", "-vv", "--listen", "127.0.0.1:0", "--storage", "s3"]
        command += ["--s3-endpoint", ENDPOINT, "--s3-bucket", BUCKET, "--processing", "0s"]
        command += ["--dir", os.path.join(self.home, "kept"), *options]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        self.url = line.removeprefix("sandbox listens on ").strip()
        assert self.url.startswith("http://"), line or open(self.log).read()
        self.config(part_min="5MiB")

    def config(self, **more):
        self.config_file = os.path.join(self.home, "config.toml")
        keys = {"kind": "jwplayer", "url": self.url, "site_id": SITE, "secret": SECRET} | more
        with open(self.config_file, "w") as file:
            os.chmod(self.config_file, 0o600)
            file.write("[destination.s3]\ncalls_per_minute = 100000\n")
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())

    def call(self, method, path, bearer=SECRET, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        status, _, text = send(method, self.url + path, data, headers)
        return status, json.loads(text or b"null")

    def report(self):
        status, _, text = send("GET", self.url + "/_sandbox/report")
        assert status == 200, status
        assert not any(secret in text.decode() for secret in SECRETS), "a link or key is told"
        return json.loads(text)

    def media(self, **wanted):
        return [
            media
            for media in self.report()["media"]
            if all(media[key] == value for key, value in wanted.items())
        ]

    def create(self, **upload):
        body = {"upload": upload, "metadata": {"title": "by script"}}
        status, made = self.call("POST", f"/v2/sites/{SITE}/media/", body=body)
        assert status == 201, made
        return made

    def parts(self, upload, token, length=20):
        path = f"/v2/uploads/{upload}/parts?page=1&page_length={length}"
        status, page = self.call("GET", path, token)
        assert status == 200, page
        return {part["id"]: part for part in page["parts"]}

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        log = open(self.log).read()
        assert not any(secret in log for secret in SECRETS), "the sandbox's log tells a link or key"


@contextlib.contextmanager
def sandbox(name, *options):
    running = Sandbox(name, *options)
    try:
        yield running
    except BaseException:
        running.process.kill()
        raise
    running.end()


class Run:
    """One run of the real binary."""

    def __init__(self, sandbox, *arguments):
        self.sandbox = sandbox
        self.log = os.path.join(sandbox.home, f"run-{time.monotonic_ns()}.log")
        command = [BIN, "--config", sandbox.config_file, "-vv", *arguments, "--headless", "--json"]
        state = os.path.join(sandbox.home, "state")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=os.environ | {"XDG_STATE_HOME": state}
            )
        self.events = []

    def next(self):
        line = self.process.stdout.readline()
        if line:
            self.events.append(json.loads(line))
        return bool(line)

    def kill_after_parts(self, count):
        while len(self.of("part")) < count:
            assert self.next(), f"it ended before: {self.events[-1:]}"
        self.process.kill()
        while self.next():
            pass
        self.process.wait(30)

    def end(self, code=0):
        while self.next():
            pass
        ended = self.process.wait(60)
        log = open(self.log).read()
        assert not any(secret in log for secret in SECRETS), "the log tells a link or key"
        assert ended == code, f"ended with {ended}: {self.events[-2:]} {log[-1500:]}"
        return self

    def of(self, event):
        return [one for one in self.events if one["event"] == event]


def make(folder, name, size):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(random.Random(name).randbytes(size))
    return path


def whole(sandbox, path):
    """The one complete media object with this file's bytes; S3 gave them back to be hashed."""
    content = open(path, "rb").read()
    found = sandbox.media(sha256=hashlib.sha256(content).hexdigest(), complete=True)
    assert len(found) == 1, f"{len(found)} media objects hold {path}: {sandbox.report()['media']}"
    assert found[0]["md5"] == hashlib.md5(content).hexdigest()
    assert found[0]["size"] == len(content)
    return found[0]


def sizes(media):
    return [part["size"] for part in media["parts"]]


@proof
def whole_files_arrive_by_parts_and_by_single_requests():
    with sandbox("whole") as it:
        tree = os.path.join(it.home, "tree")
        files = {
            make(tree, "a.mp4", 5 * MIB * 3 + 1): [5 * MIB] * 3 + [1],
            make(tree, "deep/er/b.mov", 5 * MIB * 4): [5 * MIB] * 4,
            make(tree, "small.mkv", 70_000): [70_000],
        }
        run = Run(it, "up", tree, "--to", "s3", "--part-size", "5MiB", "--parts", "6").end()
        for path, expected in files.items():
            assert sizes(whole(it, path)) == expected
        assert len(it.media()) == len(files)
        assert not run.of("retrying"), run.of("retrying")
        assert len(run.of("done")) == len(files)


@proof
def links_that_expire_are_fetched_anew_and_the_upload_goes_on():
    with sandbox("expiry", "--link-ttl", "2s") as it:
        path = make(it.home, "long.mp4", 26 * MIB)
        # A cap, so that the links of the first page are older than they are good for.
        run = Run(
            it, "up", path, "--to", "s3", "--part-size", "5MiB", "--parts", "1",
            "--bandwidth", "4MiB/s",
        ).end()
        expired = [one for one in run.of("retrying") if "expired" in json.dumps(one).lower()]
        assert expired, "no link expired: this shows nothing"
        whole(it, path)


@proof
def an_expired_link_takes_nothing():
    with sandbox("expired", "--link-ttl", "2s") as it:
        made = it.create(method="multipart", mime_type="video/mp4")
        upload, token = made["upload_id"], made["upload_token"]
        link = it.parts(upload, token)[1]["upload_link"]
        expires = time.monotonic() + 30
        # Until S3's clock says so: what is put before is taken, and another part has the same link.
        while True:
            status, text = put(link, b"x")
            if status != 200:
                break
            assert time.monotonic() < expires, "the link does not expire"
        assert status == 403 and "expired" in text, (status, text)
        fresh = it.parts(upload, token)[2]["upload_link"]
        assert put(fresh, b"y")[0] == 200


@proof
def a_tampered_link_is_refused_and_takes_nothing():
    with sandbox("tampered") as it:
        made = it.create(method="multipart", mime_type="video/mp4")
        upload, token = made["upload_id"], made["upload_token"]
        link = it.parts(upload, token)[1]["upload_link"]
        assert link.startswith(ENDPOINT + "/"), "the link goes to the S3 server"
        digit = {"a": "b"}.get(link[-1], "a")
        tampered = {
            "another part": link.replace("partNumber=1&", "partNumber=2&"),
            "another signature": link[:-1] + digit,
            "a longer life": re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=604800", link),
            "another object": link.replace(made["id"], "zzzzzzzz"),
        }
        for what, url in tampered.items():
            assert url != link, what
            status, text = put(url, b"evil")
            assert status == 403 and "SignatureDoesNotMatch" in text, (what, status, text)
        assert all("upload_link" in part for part in it.parts(upload, token).values())
        assert put(link, b"good")[0] == 200, "the link as it was"
        there = it.parts(upload, token)[1]
        assert there == {"id": 1, "etag": hashlib.md5(b"good").hexdigest()}, there


@proof
def a_direct_link_wants_the_type_that_was_announced():
    with sandbox("direct") as it:
        made = it.create(method="direct", mime_type="video/mp4")
        for wrong in (None, "video/quicktime"):
            status, text = put(made["upload_link"], b"movie", wrong)
            assert status == 403 and "SignatureDoesNotMatch" in text, (wrong, status, text)
        assert it.media()[0]["state"] == "created"
        assert put(made["upload_link"], b"movie", "video/mp4")[0] == 200
        media = it.media()[0]
        assert media["complete"] and media["sha256"] == hashlib.sha256(b"movie").hexdigest()
        assert media["parts"][0]["md5"] == hashlib.md5(b"movie").hexdigest()


def by_script(it, contents):
    made = it.create(method="multipart", mime_type="video/mp4")
    upload, token = made["upload_id"], made["upload_token"]
    links = it.parts(upload, token)
    for number, content in contents.items():
        assert put(links[number]["upload_link"], content)[0] == 200
    return made["id"], *it.call("PUT", f"/v2/uploads/{upload}/complete", token)


@proof
def a_part_too_small_in_the_middle_is_refused_by_s3_on_complete():
    with sandbox("small") as it:
        full, short = bytes(5 * MIB), bytes(5 * MIB - 1)
        _, status, answer = by_script(it, {1: full, 2: short, 3: full})
        assert status == 400, answer
        assert "EntityTooSmall" in answer["errors"][0]["description"], answer
        _, status, answer = by_script(it, {1: full, 3: full})
        assert status == 400 and "missing" in json.dumps(answer), answer
        assert not it.media(complete=True)


@proof
def parts_of_two_sizes_in_one_upload_become_one_object():
    with sandbox("sizes") as it:
        parts = [5 * MIB, 5 * MIB, 7 * MIB, 7 * MIB, 3]
        contents = {n: random.Random(n).randbytes(size) for n, size in enumerate(parts, 1)}
        media, status, answer = by_script(it, contents)
        assert status == 202, answer
        (found,) = it.media(id=media)
        assert found["sha256"] == hashlib.sha256(b"".join(contents.values())).hexdigest()
        assert sizes(found) == parts


@proof
def the_client_says_in_s3s_words_why_parts_too_small_make_no_object():
    with sandbox("clear") as it:
        it.config(part_min="1MiB")
        path = make(it.home, "tiny-parts.mp4", 3 * MIB)
        run = Run(it, "up", path, "--to", "s3", "--part-size", "1MiB", "--retries", "2").end(code=1)
        (failed,) = run.of("failed")
        assert "EntityTooSmall" in json.dumps(failed), failed
        assert not it.media(complete=True)


def killed(it, path, part_size, parts):
    """A run that was killed once so many parts were acknowledged; its session's file."""
    session = os.path.join(it.home, "it.toml")
    run = Run(
        it, "up", path, "--to", "s3", "--session", session, "--part-size", part_size,
        "--parts", "1", "--bandwidth", "8MiB/s",
    )
    run.kill_after_parts(parts)
    return session, {one["part"] for one in run.of("part")}


@proof
def after_sigkill_nothing_acknowledged_is_sent_again():
    with sandbox("killed") as it:
        path = make(it.home, "killed.mp4", 33 * MIB)
        session, before = killed(it, path, "5MiB", 2)
        again = Run(it, "resume", session, "--bandwidth", "unlimited").end()
        sent = {one["part"] for one in again.of("part")}
        assert before and not before & sent, (before, sent)
        assert sizes(whole(it, path)) == [5 * MIB] * 6 + [3 * MIB]
        assert len(it.media()) == 1, "exactly one media object"


@proof
def a_part_of_a_wrong_size_from_elsewhere_is_never_part_of_a_file():
    with sandbox("foreign") as it:
        path = make(it.home, "foreign.mp4", 33 * MIB)
        session, _ = killed(it, path, "5MiB", 2)
        ticket = open(session).read()
        upload = re.search(r'upload = "([^"]+)"', ticket)[1]
        token = re.search(r'token = "([^"]+)"', ticket)[1]
        free = [part for part in it.parts(upload, token, 7).values() if "upload_link" in part]
        assert put(free[-1]["upload_link"], b"not of this file")[0] == 200
        # A part that is there has no link to replace it: the upload can't be mended, and says so.
        again = Run(it, "resume", session, "--bandwidth", "unlimited").end(code=1)
        (failed,) = again.of("failed")
        assert "other bytes as part 7" in failed["message"], failed
        assert failed["next_step"].startswith("start this file over"), failed
        assert not it.media(complete=True)
        # As it says: begun anew, the file arrives.
        Run(it, "up", path, "--to", "s3", "--part-size", "5MiB").end()
        whole(it, path)


class Screen:
    """The real binary on a terminal, which tmux holds."""

    def __init__(self, sandbox, *arguments):
        self.socket = f"reelhaul-s3-{os.getpid()}"
        command = [BIN, "--config", sandbox.config_file, *arguments]
        # The last line keeps the screen; a closed terminal ends the upload, which would outlive us.
        command = f"{shlex.join(command)} --on-hangup stop; echo it ended with $?; exec cat"
        state = os.path.join(sandbox.home, "state")
        self.tmux(
            "new-session", "-d", "-s", "it", "-x", "120", "-y", "40",
            "env", f"XDG_STATE_HOME={state}", "LC_ALL=C.UTF-8", "sh", "-c", command,
        )

    def tmux(self, *arguments):
        command = ["tmux", "-f", "/dev/null", "-L", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def keys(self, *keys):
        self.tmux("send-keys", "-t", "it", *keys)

    def shows(self, text):
        until = time.monotonic() + 60
        while text not in (screen := self.tmux("capture-pane", "-p", "-t", "it")):
            assert time.monotonic() < until, f"{text!r} was never on the screen, which is:\n{screen}"
            time.sleep(0.05)

    def close(self):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)


@proof
def a_tail_cut_anew_while_it_runs_arrives_whole():
    with sandbox("recut") as it:
        path = make(it.home, "recut.mp4", 43 * MIB)
        screen = Screen(
            it, "up", path, "--to", "s3", "--part-size", "5MiB", "--parts", "1",
            "--bandwidth", "4MiB/s",
        )
        try:
            screen.shows("uploading")
            screen.keys("]")
            screen.shows("re-cuts")
            screen.keys("Enter")
            screen.shows("cut anew")
            until = time.monotonic() + 120
            while not it.media(complete=True):
                assert time.monotonic() < until, screen.tmux("capture-pane", "-p", "-t", "it")
                time.sleep(0.2)
        finally:
            screen.close()
        media = whole(it, path)
        assert len(it.media()) == 1, "exactly one media object"
        there = sizes(media)
        assert set(there[:-1]) == {5 * MIB, 8 * MIB}, f"no parts of two sizes: {there}"


@proof
def a_session_resumed_with_another_part_size_arrives_whole():
    with sandbox("resumed") as it:
        path = make(it.home, "resumed.mp4", 43 * MIB)
        session, before = killed(it, path, "5MiB", 2)
        Run(it, "resume", session, "--part-size", "9MiB", "--bandwidth", "unlimited").end()
        there = sizes(whole(it, path))
        assert len(it.media()) == 1, "exactly one media object"
        assert there[: len(before)] == [5 * MIB] * len(before), there
        assert 9 * MIB in there, f"the tail was not cut anew: {there}"


failed = 0
for function in proofs:
    name = function.__name__.replace("_", " ")
    begun = time.monotonic()
    try:
        function()
        print(f"ok    {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    except Exception:  # noqa: BLE001
        failed += 1
        print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
print(f"{len(proofs) - failed} passed, {failed} failed")
sys.exit(failed > 0)
