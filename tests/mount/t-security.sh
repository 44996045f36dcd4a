#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What another user can do to a pool that root has mounted, and with it: nothing but use it.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
command -v setpriv >/dev/null || skip "needs setpriv"
other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
# The errno's name, or "none", of one call of os.* as the other user.
errno_of() {
	other /usr/bin/python3 -c 'import errno, os, sys
try:
    eval(sys.argv[1])
    print("none")
except OSError as e:
    print(errno.errorcode[e.errno])' "$1"
}
expect() {
	local got
	got=$(errno_of "$2")
	[ "$got" = "$1" ] || fail "another user: $2: $got instead of $1"
}

umask 0 # what the daemon makes is closed all the same
chmod 1777 "$RAM"
pool_new
pool_mount
umask 022
mkdir -m 755 "$M/d"
mkdir -m 777 "$M/theirs"
seq 1 100000 >"$M/d/file"
terrace demote --to hdd "$M/d" >/dev/null
other sh -c "seq 1 1000 >'$M/theirs/file'"

# Files of the pool: for the owner alone.
check_modes() {
	local path mode
	while read -r mode path; do
		case $path in
		"$POOL" | "$RAM") continue ;; # has no secrets; the test's own
		esac
		[[ $mode == [0-7]00 ]] || fail "$path has mode $mode"
	done < <(find "$T/ssd" "$T/hdd" "$RAM" -mindepth 1 -printf '%m %p\n')
}
check_modes

# Control files: look, do not touch; what names everybody's files is the owner's alone.
c=$M/.terrace
for name in status stats.json metrics policy; do expect none "open('$c/$name').read()"; done
for name in events plan pins jobs/new; do expect EACCES "os.open('$c/$name', os.O_RDONLY)"; done
for name in status stats.json metrics policy events plan pins jobs/new; do
	expect EACCES "os.open('$c/$name', os.O_WRONLY)"
	expect EPERM "os.chmod('$c/$name', 0o777)"
done
terrace run "$M" >/dev/null || true
job=$(find "$c/jobs" -mindepth 1 -name '[0-9]*' -printf '%f\n' | head -n 1)
[ -n "$job" ] || fail "no job is kept"
expect EACCES "os.open('$c/jobs/$job', os.O_RDONLY)"
expect EACCES "os.open('$c/jobs/$job', os.O_WRONLY)"
for verb in "run $M" "demote $M/d" "policy set run_interval=1h $M" "config add hdd $T/hdd $M"; do
	# shellcheck disable=SC2086 # several words
	if other terrace $verb >/dev/null 2>&1; then fail "another user: terrace $verb"; fi
done
# Nor with root's group, nor as root of a namespace of one's own.
if setpriv --reuid 65534 --regid 65534 --groups 0 cat "$c/pins" 2>/dev/null; then fail "root's group reads pins"; fi
if other unshare -Ur true 2>/dev/null; then
	if other unshare -Ur cat "$c/pins" 2>/dev/null; then fail "root of a namespace reads pins"; fi
fi

# Settings of a file are its owner's.
for name in pin codec state; do
	expect EACCES "os.setxattr('$M/d/file', 'user.terrace.$name', b'ssd')"
	expect EACCES "os.removexattr('$M/d/file', 'user.terrace.$name')"
done
expect none "os.setxattr('$M/theirs/file', 'user.terrace.pin', b'hdd')"
expect EPERM "os.setxattr('$M/theirs/file', 'trusted.x', b'1')"
expect EPERM "os.setxattr('$M/theirs/file', 'security.x', b'1')"
chmod 600 "$M/d/file"
expect EACCES "os.getxattr('$M/d/file', 'user.terrace.extents')"

# Open control files hold memory: there are so many, and then only the owner gets more.
got=$(other /usr/bin/python3 -c 'import errno, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
try:
    for i in range(2000):
        os.open(sys.argv[1], os.O_RDONLY)
except OSError as e:
    print(errno.errorcode[e.errno], i > 1000)
    sys.stdout.flush()
    os.close(0)
    os.execvp("cat", ["cat", sys.argv[1]]) if os.getuid() == 0 else None' "$c/policy" 2>&1 || true)
[ "$got" = "ENFILE True" ] || fail "2000 open control files: $got"
terrace status "$M" >/dev/null || fail "no status after many open files"

# Names from others do not reach the terminal as they are; JSON stays JSON.
evil=$'\e[2Jevil\nname \x9b\xff'
other sh -c "seq 1 50000 >\"\$1\"" sh "$M/theirs/$evil"
terrace demote --to hdd "$M/theirs" >/dev/null
for verb in where why; do
	terrace "$verb" "$M/theirs/$evil" >"$T/shown"
	if grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$T/shown"; then fail "terrace $verb prints control characters"; fi
	grep -qF '\033[2Jevil\nname ' "$T/shown" || fail "terrace $verb shows $(cat "$T/shown")"
	terrace "$verb" --json "$M/theirs/$evil" | jq -e . >/dev/null || fail "terrace $verb: no JSON"
done
refused 1 'theirs/.*\\nname' terrace where "$M/theirs/$evil.not"
terrace pin hdd "$M/theirs/$evil" >"$T/shown"
terrace pins "$M" >>"$T/shown"
if grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$T/shown"; then fail "terrace pins prints control characters"; fi
jq -e . <"$c/stats.json" >/dev/null

# A setting that cannot be is refused in one line.
refused 1 'ram.size: more than all memory' terrace policy set ram.size=1000T "$M"
[ "$(jq -r '.settings[] | select(.key == "ram.size").value' <"$c/policy")" = 64M ] || fail "ram.size has changed"
pool_umount
check_modes

# Suid and devices as the mount says.
MOUNT_OPTIONS="-o nosuid,nodev"
pool_mount
grep " $M " /proc/self/mounts | grep -q nosuid || fail "nosuid is not there"
cp /usr/bin/id "$M/d/id"
chmod 4755 "$M/d/id"
mknod -m 666 "$M/d/null" c 1 3
[ "$(other "$M/d/id" -u)" = 65534 ] || fail "suid works with nosuid"
expect EACCES "open('$M/d/null', 'w')"
pool_umount
MOUNT_OPTIONS=
pool_mount
[ "$(other "$M/d/id" -u)" = 0 ] || fail "suid does not work on root's mount"
expect none "open('$M/d/null', 'w').write('x')"
pool_umount

# The RAM tier's folder, put there before by somebody else.
uuid=$(sed -n 's/^uuid *= *//p' "$POOL" | tr -d -)
folder=$RAM/terrace-$uuid
[ ! -e "$folder" ] || fail "$folder is left"
mkdir "$T/trap"
echo precious >"$T/trap/file"
mount_refused() { # PATTERN
	refused 1 "$1" terracefs "$POOL" "$M" -f
}
other mkdir -m 777 "$folder"
mount_refused "belongs to user 65534"
other ln -s /etc/hostname "$folder/journal.tail.new"
mount_refused "belongs to user 65534"
rm -r "$folder"
other ln -s "$T/trap" "$folder"
mount_refused "no folder"
rm "$folder"
[ "$(cat "$T/trap/file")" = precious ] || fail "a link was followed"
# A segment that has become a link is not followed.
segment=$(find "$T/hdd/segments" -name '*.seg' | head -n 1)
mv "$segment" "$T/moved.seg"
ln -s "$T/moved.seg" "$segment"
pool_mount
if cat "$M/d/file" >/dev/null 2>&1; then fail "a link in a tier is followed"; fi
rm "$segment"
mv "$T/moved.seg" "$segment"
pool_remount
seq 1 100000 | cmp - "$M/d/file" || fail "the file has changed"
pool_umount
