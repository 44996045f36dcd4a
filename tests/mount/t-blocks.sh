#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# st_blocks follows what is stored: after a flush, after a move, though the kernel caches attributes.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
seq 1 300000 >"$M/file"
ls -ls "$M/file" >/dev/null # now the kernel has the attributes of a file not yet flushed
check() { # st_blocks is what the attribute says, but for rounding
	local blocks stored
	blocks=$(($(stat -c %b "$M/file") * 512))
	stored=$(attribute stored "$M/file")
	[ $((blocks - stored)) -le 8192 ] && [ $((stored - blocks)) -le 8192 ] || fail "$1: $blocks in st_blocks, $stored stored"
}
terrace sync "$M"
check flushed
terrace demote --to hdd "$M/file" >/dev/null
check demoted
terrace promote --to ssd "$M/file" >/dev/null
check promoted
pool_umount
