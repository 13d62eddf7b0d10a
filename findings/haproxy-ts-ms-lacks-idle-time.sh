#!/usr/bin/env bash
# One would guess: HAProxy's %Ts.%ms, the only time of a log-format that is a number with milliseconds, is when a request
# began, as %trg is (which has whole seconds).
# Seen: haproxy 2.6.12, two requests on one connection, the second 2.5 s after the first. %trg puts them 2 or 3 s apart;
# %Ts.%ms puts them at the same moment, since it is when the server began to wait for the request: the idle time %Ti lies
# between. So a log of visitors with keep-alive has their page views at the end of the page view before, and a session's
# silences are gone.
# haproxy 2.6.12-1+deb12u4 (Debian 12), Python 3.11, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>/dev/null ||
  apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0
for package in *.deb; do dpkg-deb -x "$package" .; done
cat >haproxy.cfg <<'CONFIG'
global
  log stdout format raw local0
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
frontend f
  bind 127.0.0.1:18765
  log global
  log-format %Ts.%ms\ %Ti\ %trg
  http-request return status 200 content-type text/plain string ok
CONFIG
LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu ./usr/sbin/haproxy -db -f haproxy.cfg >log 2>/dev/null &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python3 - >seen <<'PYTHON'
import http.client
import time

for _ in range(100):
    connection = http.client.HTTPConnection("127.0.0.1", 18765)
    try:
        connection.connect()
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
for wait in (0, 2.5):
    time.sleep(wait)
    connection.request("GET", "/")
    connection.getresponse().read()
for _ in range(100):
    lines = [line.split(" ", 2) for line in open("log") if "." in line.split(" ")[0]]
    if len(lines) == 2:
        break
    time.sleep(0.1)
first, second = lines
clock = [time.strptime(line[2].strip().split(" ")[0], "%d/%b/%Y:%H:%M:%S") for line in lines]
print("seconds apart by %Ts.%ms:", round(float(second[0]) - float(first[0])))
print("seconds apart by %trg, at least 2:", time.mktime(clock[1]) - time.mktime(clock[0]) >= 2)
print("%Ti of the second, at least 2400 ms:", int(second[1]) >= 2400)
PYTHON
cat seen
diff seen - <<'EXPECTED'
seconds apart by %Ts.%ms: 0
seconds apart by %trg, at least 2: True
%Ti of the second, at least 2400 ms: True
EXPECTED
