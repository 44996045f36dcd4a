#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# .terrace/events: a stream that blocks, is polled, is interrupted, and never holds the mount up.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
EVENTS=$M/.terrace/events
[ "$(timeout 5 dd if="$EVENTS" iflag=nonblock status=none 2>&1 | grep -c 'temporarily unavailable')" = 1 ] ||
	fail "an empty stream should say EAGAIN"
seq 1 100000 >"$M/a"
seq 1 200000 >"$M/b file"
move_all demote hdd
[ -n "$(terrace events "$M")" ] || fail "no events"
terrace events --json "$M" >"$T/events"
jq -es 'all(.kind == "move" and .to == "hdd" and (.time | test("^20.*Z$")) and .length > 0)
	and ([.[] | select(.path == "/b file" and .from == "ssd") | .length] | add) == 1288895
	and all(.reason == "asked") and (map(.event) == [range(1; length + 1)])' "$T/events" >/dev/null ||
	fail "$(cat "$T/events")"
[ "$(terrace events -n 1 --json "$M")" = "$(tail -n 1 "$T/events")" ] || fail "-n 1"
[ -z "$(terrace events -n 0 "$M")" ] || fail "-n 0"
terrace events "$M" | grep -q 'move .* ssd -> hdd .*/b file$' || fail "$(terrace events "$M")"

# what is kept, then what comes, to two readers at once
timeout 60 cat "$EVENTS" >"$T/cat" &
cat=$!
terrace events --follow --json -n 0 "$M" >"$T/follow" &
follow=$!
sleep 0.3
terrace promote --to ssd "$M/a" >/dev/null
for i in $(seq 1 100); do
	grep -q '"to":"ssd"' "$T/follow" && grep -q '"to":"ssd"' "$T/cat" && break
	sleep 0.05
done
[ "$(head -n "$(wc -l <"$T/events")" "$T/cat")" = "$(cat "$T/events")" ] || fail "cat did not begin at the oldest"
jq -es 'length > 0 and all(.to == "ssd" and .path == "/a")' "$T/follow" >/dev/null || fail "$(cat "$T/follow")"
kill "$cat" "$follow" # each answers at once, or waits for ever
wait "$cat" "$follow" || true

timeout -k 5 90 python3 - "$EVENTS" "$M" <<'PY'
import errno, os, select, signal, subprocess, sys, threading, time
path, mount = sys.argv[1:]

def drain(fd):
    try:
        while os.read(fd, 1 << 20):
            pass
    except BlockingIOError:
        pass

def opened():
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    drain(fd)
    return fd

# poll: nothing, then something
fd = opened()
for make in (lambda: select.poll(), lambda: select.epoll()):
    poll = make()
    poll.register(fd, select.POLLIN)
    assert not poll.poll(0.1 if isinstance(poll, select.epoll) else 100), "ready without events"
    ready = []
    waiter = threading.Thread(target=lambda: ready.extend(poll.poll(10 if isinstance(poll, select.epoll) else 10000)))
    waiter.start()
    time.sleep(0.2)
    to = "hdd" if isinstance(poll, select.epoll) else "ssd"
    subprocess.run(["terrace", "demote" if to == "hdd" else "promote", "--to", to, mount + "/b file"], check=True, stdout=subprocess.DEVNULL)
    waiter.join()
    assert ready and ready[0][1] & select.POLLIN, "poll was not told"
    drain(fd)
try:
    os.pread(fd, 10, 0)
    raise SystemExit("pread of a stream")
except OSError as e:
    assert e.errno == errno.ESPIPE, e

# blocked readers: many wait, no more than the limit, and the mount goes on meanwhile
pids = []
for i in range(70):
    fd = opened()
    os.set_blocking(fd, True)
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGINT, lambda *a: os._exit(7))
        try:
            os.read(fd, 4096)
            os._exit(1)
        except OSError as e:
            os._exit(2 if e.errno == errno.EBUSY else 3)
    os.close(fd)
    pids.append(pid)
time.sleep(1)
for i in range(100):
    with open(mount + "/busy", "w") as f:
        f.write("x" * 1000)
        os.fsync(f.fileno())
    os.listdir(mount)
os.sync()
busy = 0
for pid in list(pids):
    got, status = os.waitpid(pid, os.WNOHANG)
    if got:
        assert os.WEXITSTATUS(status) == 2, status
        busy += 1
        pids.remove(pid)
assert busy == 6, busy
for i, pid in enumerate(pids):
    os.kill(pid, signal.SIGKILL if i % 2 else signal.SIGINT)
begin = time.monotonic()
for i, pid in enumerate(pids):
    status = os.waitpid(pid, 0)[1]
    assert status == (signal.SIGKILL if i % 2 else 7 << 8), status
assert time.monotonic() - begin < 5, "interrupted readers hang"
PY

# a reader in the way of an unmount is what any open file is; a signal to the daemon ends both
terrace events --follow "$M" >/dev/null 2>"$T/said" &
follow=$!
sleep 0.3
refused 75 'is in use' terrace umount "$M"
kill -TERM "$PID"
wait "$PID" || fail "the daemon ended with $?"
PID=
timeout 10 tail --pid="$follow" -f /dev/null || fail "the reader was left behind"
grep -q 'was unmounted' "$T/said" || fail "$(cat "$T/said")"
