#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace top on a terminal and without one, and terrace iostat.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=none" "hdd:path=$T/hdd,codec=none,test_bandwidth=8M"
pool_mount
head -c 4000000 /dev/urandom >"$M/file"
terrace sync "$M"
terrace top "$M" >"$T/plain" </dev/null # no terminal
grep -qE '^terrace: pool at .* up ' "$T/plain" || fail "$(cat "$T/plain")"
grep -qE '^ssd +\[[#.]{10,}\] .* of ' "$T/plain" || fail "$(cat "$T/plain")"
grep -q "$(printf '\033')" "$T/plain" && fail "codes of a terminal in plain text"

terrace iostat "$M" >"$T/io"
[ "$(wc -l <"$T/io")" = 4 ] || fail "$(cat "$T/io")"
terrace iostat -j 0.5 8 "$M" >"$T/io" &
io=$!
sleep 0.7
cat "$M/file" >/dev/null
terrace demote --to hdd "$M/file" >/dev/null
wait "$io"
# the first report is since the mount, the others are of their half second; hdd was written to in them
jq -es 'length == 8 and .[0].seconds > 0 and all(.[1:][]; .seconds > 0.3 and .seconds < 2)
	and .[0].tiers[2].writes == 0 and ([.[1:][].tiers[2].write_bytes] | max) > 1000000
	and ([.[1:][].tiers[2].moved_in] | max) > 0 and ([.[1:][].tiers[2].write_p50_s | numbers] | max) > 0
	and .[0].tiers[1].name == "ssd"' "$T/io" >/dev/null || fail "$(cat "$T/io")"
refused 2 "INTERVAL is a number of seconds above 0" terrace iostat 0 "$M"
for bad in "0.5 3 4" "1 2.5" "1 $M 3" "-- -1 $M"; do
	status=0
	# shellcheck disable=SC2086 # several words
	terrace iostat $bad >/dev/null 2>&1 || status=$?
	[ "$status" -ne 0 ] || fail "iostat $bad"
done

timeout -k 5 60 python3 - "$M" "$PID" <<'PY'
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time
mount, daemon = sys.argv[1], int(sys.argv[2])

def start():
    pid, fd = pty.fork()
    if not pid:
        os.environ["TERM"] = "xterm"
        os.execvp("terrace", ["terrace", "top", mount])
    return pid, fd

def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

def read_until(fd, pattern, seconds=10):
    data, end = b"", time.monotonic() + seconds
    while not re.search(pattern, data):
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            raise SystemExit(f"{pattern} did not come: {data!r}")
        try:
            data += os.read(fd, 65536)
        except OSError:
            raise SystemExit(f"it ended before {pattern}: {data!r}")
    return data

def finish(pid, fd):
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass
    return os.waitpid(pid, 0)[1]

pid, fd = start()
resize(fd, 24, 80)
first = read_until(fd, rb"Moves ")
assert b"\x1b[?1049h" in first and b"terrace: pool" in first, first
second = read_until(fd, rb"\d", 3) # refreshed by itself: the clock at least
assert len(second) < len(first), "all was sent again"
subprocess.run(["terrace", "promote", "--async", "--to", "ssd", mount + "/file"], check=True, stdout=subprocess.DEVNULL)
subprocess.run(["terrace", "demote", "--async", "--to", "hdd", mount + "/file"], check=True, stdout=subprocess.DEVNULL)
read_until(fd, rb"(?s)(running|done).*demote")
resize(fd, 5, 30) # smaller than what there is to show
os.kill(pid, signal.SIGWINCH)
time.sleep(1.5)
resize(fd, 50, 200)
os.kill(pid, signal.SIGWINCH)
read_until(fd, rb"(?s)Used  Hit%  read/s.*Moves ") # all of it, with the columns that did not fit
os.write(fd, b"q")
assert finish(pid, fd) == 0

pid, fd = start()
read_until(fd, rb"Moves ")
os.write(fd, b"\x03") # Ctrl-C leaves the terminal as it was
data = read_until(fd, rb"\x1b\[\?1049l")
assert finish(pid, fd) != 0

pid, fd = start() # the daemon ends under it
read_until(fd, rb"Moves ")
os.kill(daemon, signal.SIGTERM)
read_until(fd, rb"not mounted any more")
assert os.waitstatus_to_exitcode(finish(pid, fd)) == 1
PY
wait "$PID"
PID=
