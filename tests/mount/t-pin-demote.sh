#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tier above its watermark demotes what is not pinned, also where the pinned files are the coldest.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=none,size=200M,high=50,low=40,min_age=0" \
	"hdd:path=$T/hdd,codec=none"
pool_mount
mkdir "$M/kept"
terrace pin ssd "$M/kept" >/dev/null
head -c 60M /dev/urandom >"$M/kept/file"
terrace sync "$M"
sleep 2
head -c 50M /dev/urandom >"$M/other"
terrace sync "$M"
terrace run "$M" >/dev/null || fail "run moved nothing: exit code $?"
[ "$(attribute tier "$M/kept/file")" = ssd ] || fail "the pinned file has moved"
case $(attribute tiers "$M/other") in
*hdd=*) ;;
*) fail "nothing of the other file has moved: $(attribute tiers "$M/other")" ;;
esac
pool_umount
