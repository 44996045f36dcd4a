#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Pools that former versions wrote (tests/golden/*.tar.xz) pass their check, open, hold what they held and can be
# written to. `t-golden.sh NAME` makes an image that is not there yet, with the programs as they are.
. "$(dirname "$0")/lib.sh"
GOLDEN=$ROOT/tests/golden

# lines COUNT SALT: a generator that must never change.
lines() {
	awk -v n="$1" -v salt="$2" 'BEGIN { for (i = 0; i < n; i++) print salt, i * 7919 % 10007, i }'
}

# What all images hold: a file in frames; a plain one, of text and a hole; one that was plain.
content() { # FOLDER
	lines 600 frames >"$1/frames"
	lines 600 back >"$1/back"
	lines 400 plain >"$1/plain"
	truncate -s 300000 "$1/plain"
	lines 10 end >>"$1/plain"
}

make() { # NAME
	pool_new
	pool_mount
	: >"$M/plain"
	: >"$M/back"
	setfattr -n user.terrace.layout -v plain "$M/plain"
	setfattr -n user.terrace.layout -v plain "$M/back"
	content "$M"
	setfattr -n user.terrace.layout -v frames "$M/back"
	pool_umount
	sed -e "s|$T|@T@|g" -e "s|$RAM|@RAM@|g" -i "$POOL"
	tar -C "$T" -c --sort=name --mtime=@0 --owner=0 --group=0 --sparse --xattrs pool.conf ssd hdd |
		xz -9e >"$GOLDEN/$1.tar.xz"
}

open() { # IMAGE
	tar -C "$T" -xJf "$1" --xattrs --no-same-owner
	sed -e "s|@T@|$T|g" -e "s|@RAM@|$RAM|g" -i "$POOL"
	terrace check --deep "$POOL" >"$T/said" 2>&1 || fail "$1: $(cat "$T/said")"
	pool_mount
	diff -r "$T/want" "$M" || fail "$1: other contents"
	grep -q '^plain' <(attribute effective.layout "$M/plain") || fail "$1: is not plain"
	lines 10 more | tee -a "$M/frames" "$M/plain" >/dev/null
	pool_remount
	[ "$(tail -n 10 "$M/plain" | sha256sum)" = "$(lines 10 more | sha256sum)" ] || fail "$1: not written"
	cmp <(lines 600 frames; lines 10 more) "$M/frames"
	pool_umount
	rm -r "$T/ssd" "$T/hdd" "$POOL"
}

if [ $# -eq 1 ]; then
	make "$1"
	exit
fi
mkdir "$T/want"
content "$T/want"
for image in "$GOLDEN"/*.tar.xz; do open "$image"; done
