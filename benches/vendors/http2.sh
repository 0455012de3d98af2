#!/bin/sh
# Parts over several HTTP/1.1 connections against as many streams of one HTTP/2 connection: 12
# parts at once, over the long line, to an nginx that takes them in and drops them; for root, with
# nginx and h2load (nghttp2-client). Without loss, and with one packet lost of a thousand; by a
# congestion control that heeds loss, and by one that does not. Prints Mbit/s of each run.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
near="ip netns exec http2-a"
mkfifo "$work/line"
nice -n -10 python3 "$here/line.py" http2 200 100 <"$work/line" >"$work/up" &
exec 3>"$work/line"
trap 'kill "$(cat "$work/pid")"; exec 3>&-; wait; rm -r "$work"' EXIT
trap exit INT TERM
until grep -q up "$work/up"; do sleep 0.1; done
cat >"$work/nginx.conf" <<END
user root;
pid $work/pid;
error_log $work/log;
events {}
http {
    access_log off;
    client_max_body_size 0;
    client_body_temp_path $work/bodies;
    proxy_temp_path $work/answers;
    server { listen 10.88.0.2:81; location / { proxy_pass http://10.88.0.2:83; } }
    server { listen 10.88.0.2:82 http2; location / { proxy_pass http://10.88.0.2:83; } }
    server { listen 10.88.0.2:83; return 204; }
}
END
ip netns exec http2-b nginx -c "$work/nginx.conf" 3>&-
mbit() { # MiB of each part, port, options of h2load
    head -c "$(($1 << 20))" /dev/zero >"$work/part"
    $near h2load -n 12 -d "$work/part" -H ':method: PUT' $3 "http://10.88.0.2:$2/" |
        awk -v mib=$((12 * $1)) '/^finished in/ {
            split($3, at, ","); t = at[1] + 0
            if (at[1] ~ /ms$/) t /= 1000
            printf " %.0f", mib * 8.388608 / t
        }
        /^requests:/ && !/12 succeeded/ { printf " (%s)", $0 }'
}
for control in reno bbr; do
    $near sysctl -qw net.ipv4.tcp_congestion_control=$control || continue
    # With loss, one connection takes minutes for what twelve carry in seconds.
    for play in "0 16" "0.1 4"; do
        echo "200 ${play% *}" >&3
        printf '%s, %s %% lost: 12 connections of HTTP/1.1' $control "${play% *}"
        for _ in 1 2 3; do mbit "${play#* }" 81 "--h1 -c 12 -m 1"; done
        printf '; one of HTTP/2'
        for _ in 1 2 3; do mbit "${play#* }" 82 "-c 1 -m 12"; done
        echo
    done
done
