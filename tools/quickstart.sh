#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh checkout to a mounted pool in one go: builds, makes a pool with a RAM, an SSD and an
# HDD tier in one folder, copies a real tree in, moves it down, shows where it is and what it takes,
# mounts it again and compares every byte, mode, owner, time and link.
#
#   tools/quickstart.sh [MNT]     as root; MNT is where the pool is left mounted to play with
#
# Without MNT everything is in a new folder under /var/tmp. KEEP=no takes it all away at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
files_wanted=20000
bytes_wanted=$((500 << 20))

[ $# -le 1 ] && [ "${1:-}" != --help ] && [ "${1:-}" != -h ] || {
	sed -n '3,9s/^# \{0,1\}//p' "$0"
	exit 2
}

say() { printf '\n== %s\n' "$*"; }
die() {
	echo "quickstart: $*" >&2
	exit 1
}

[ "$(id -u)" -eq 0 ] || die "run as root: the copy keeps owners, and /dev/fuse is needed"

say "packages and build (release)"
tools/install-deps.sh build
cmake --preset release >/dev/null
cmake --build --preset release --target terrace terracefs -- --quiet
PATH=$PWD/build/release:$PATH
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || die "no /dev/fuse: this kernel or container has no FUSE"

# Where: next to MNT, or a new folder of its own.
if [ $# -eq 1 ]; then
	mount=$(realpath -m -- "$1")
	if mountpoint -q "$mount"; then die "$mount is a mount already"; fi
	[ ! -e "$mount" ] || [ -z "$(ls -A "$mount")" ] || die "$mount is not empty"
	base=$(mktemp -d -- "$(dirname "$mount")/terrace-quickstart.XXXXXX") || die "choose a MNT whose folder exists"
	mkdir -p "$mount"
else
	base=$(mktemp -d /var/tmp/terrace-quickstart.XXXXXX)
	mount=$base/mnt
	mkdir "$mount"
fi
pool=$base/demo.conf
ram=$(mktemp -d /dev/shm/terrace-quickstart.XXXXXX)
done=no

finish() {
	local status=$?
	trap - EXIT
	[ "$done" = yes ] && exit 0
	[ "$status" -eq 0 ] || echo "quickstart: failed; taking everything away" >&2
	cd /
	! mountpoint -q "$mount" || terrace umount "$mount" || umount -l "$mount" || true
	rm -rf --one-file-system "$base" "$ram"
	rmdir "$mount" 2>/dev/null || true
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A real tree of at least $files_wanted files and $bytes_wanted bytes out of this machine's /usr, in
# $base/trees. Very large folders are left out: they would only make this slow.
choose_trees() {
	local files=0 bytes=0 folder n b room
	: >"$base/trees"
	for folder in /usr/include /usr/share/doc /usr/share/man /usr/share/perl /usr/lib/python3 \
		/usr/share/* /usr/lib/* /usr/bin; do
		[ -d "$folder" ] && [ ! -L "$folder" ] && ! grep -qxF -- "$folder" "$base/trees" || continue
		read -r n b < <(find "$folder" -xdev -type f -printf '%s\n' |
			awk '{ b += $1 } END { printf "%d %d\n", NR, b }')
		[ "$n" -gt 0 ] && [ "$b" -lt "$bytes_wanted" ] || continue
		printf '%s\n' "$folder" >>"$base/trees"
		files=$((files + n)) bytes=$((bytes + b))
		[ "$files" -lt "$files_wanted" ] || [ "$bytes" -lt "$bytes_wanted" ] || break
	done
	[ -s "$base/trees" ] || die "there is no tree in /usr to copy"
	echo "$files files, $((bytes >> 20)) MiB from $(wc -l <"$base/trees") folders of /usr"
	room=$(df -B1 --output=avail "$base" | tail -n 1)
	[ "$room" -gt $((bytes * 5 / 2)) ] || die "$base has too little room: set MNT on a larger disk"
}

# Type, mode, owner, time, name, target and links of everything, and a checksum of each file.
manifest() { # FOLDER
	(
		cd "$1"
		find . -mindepth 1 \( -type d -o -printf '%y %m %U:%G %s %T@ %n %p -> %l\n' \)
		find . -mindepth 1 -type d -printf '%y %m %U:%G %p\n'
		find . -type f -print0 | xargs -0 -r sha256sum --
	) | sort
}

say "a real tree"
choose_trees
mkdir "$base/original"
# The trees are copied once to stand still: packages may be installed while this runs. Hard links
# within one tree stay links.
while read -r tree; do
	mkdir -p "$base/original$(dirname "$tree")"
	cp -a --reflink=auto "$tree" "$base/original$tree"
done <"$base/trees"
manifest "$base/original" >"$base/manifest"
echo "$(wc -l <"$base/manifest") lines of manifest: $base/manifest"

say "a pool of three tiers: memory, an \"SSD\" and an \"HDD\""
terrace create --tier "ram:path=$ram,size=512M" --tier "ssd:path=$base/ssd,codec=lz4" \
	--tier "hdd:path=$base/hdd,codec=zstd:12" "$pool"
terracefs "$pool" "$mount"
echo "mounted at $mount"

say "copy it in"
start=$SECONDS
cp -a "$base/original/." "$mount/"
terrace sync "$mount"
echo "copied and synced in $((SECONDS - start)) s"
terrace status "$mount"

say "it grows old: down to the HDD"
start=$SECONDS
terrace demote --to hdd "$mount"
echo "$((SECONDS - start)) s"
terrace status "$mount"
echo
terrace usage "$mount"

say "where some files are"
find "$mount" -xdev -type f -size +20k 2>/dev/null | awk 'NR % 2000 == 7' | head -n 3 >"$base/some"
xargs -r -d '\n' terrace where <"$base/some"

say "one folder is wanted on the SSD, another will not be touched again"
first=$(head -n 1 "$base/trees")
terrace pin --progress=off ssd "$mount$first"
second=$(sed -n 2p "$base/trees")
[ -z "$second" ] || setfattr -n user.terrace.state -v archived "$mount$second"
terrace why "$(find "$mount$first" -type f -size +20k 2>/dev/null | head -n 1)"
terrace events -n 3 "$mount"
terrace plan "$mount" || [ $? -eq 3 ]

say "unmount, mount again, compare everything"
terrace umount "$mount"
terracefs "$pool" "$mount"
start=$SECONDS
manifest "$mount" >"$base/manifest.again"
cmp "$base/manifest" "$base/manifest.again" ||
	die "the copy differs: $(diff "$base/manifest" "$base/manifest.again" | head -n 5)"
echo "all the same: content, modes, owners, times, links ($((SECONDS - start)) s)"

say "done"
rm -rf --one-file-system "$base/original" "$base/manifest.again" "$base/some" "$base/trees"
if [ "${KEEP:-yes}" = no ]; then
	exit 0
fi
done=yes
cat <<END
The pool is mounted at $mount; its configuration is $pool.
  export PATH=$PWD/build/release:\$PATH
  terrace status                            tiers and what they hold
  terrace where -r $mount/usr/share         a folder
  terrace promote --to ssd $mount/usr/include
  terrace pin ssd $mount/usr/include        keep it there
  terrace top                               tiers, rates and jobs, live
  getfattr -n user.terrace.tiers FILE       the same for scripts
Take it all away again:
  terrace umount $mount && rm -rf $base $ram$([ "$mount" = "$base/mnt" ] || echo " $mount")
END
