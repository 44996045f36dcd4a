#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# user.terrace.replicas on files and folders and replicas = N in a rule: what is written from then on,
# and what is there, lies in so many directories, and nothing else does; where it comes from is shown.
. "$(dirname "$0")/lib.sh"

copies() { # PATH: how many directories have its bytes
	sync "$1"
	(cd "$T" && grep -lF --binary-files=text -r --include='*.seg' "$(head -c 24 "$1")" d1 d2 d3 | wc -l)
}
lies_in() { # N PATH...
	local want=$1 path
	shift
	for path; do
		[ "$(copies "$path")" -eq "$want" ] || fail "$path is in $(copies "$path") directories, not $want"
		attribute extents "$path" | grep -qvE " $want/$want\$" && fail "$path: $(attribute extents "$path")"
	done
	return 0
}
content() { # NAME: bytes that do not compress, with the name in front
	printf 'this is %-24s' "$1"
	head -c "${2:-300000}" /dev/urandom
}

mkdir -p "$T/d1" "$T/d2" "$T/d3"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/d1,path=$T/d2,path=$T/d3,codec=none,segment=4M"
printf '[rule twice]\nmatch = /twice/**\nreplicas = 2\n' >>"$POOL"
pool_mount
mkdir "$M/twice" "$M/three" "$M/three/sub" "$M/plain"

# new files: by a rule, by a folder above, as the tier says; many small ones share frames with none
setfattr -n user.terrace.replicas -v 3 "$M/three"
content rule >"$M/twice/f"
content folder >"$M/three/sub/f"
content tier >"$M/plain/f"
for i in 1 2 3 4 5 6; do content "small$i" 900 >"$M/$([ $((i % 2)) = 0 ] && echo plain || echo three)/s$i"; done
terrace sync "$M"
lies_in 2 "$M/twice/f"
lies_in 3 "$M/three/sub/f" "$M/three/s1" "$M/three/s3"
lies_in 1 "$M/plain/f" "$M/plain/s2" "$M/plain/s4"
[ "$(attribute effective.replicas "$M/twice/f")" = "2 rule twice" ] || fail "$(attribute effective.replicas "$M/twice/f")"
[ "$(attribute effective.replicas "$M/three/sub/f")" = "3 /three" ] || fail "$(attribute effective.replicas "$M/three/sub/f")"
[ "$(attribute effective.replicas "$M/plain/f")" = "1 tier ssd" ] || fail "$(attribute effective.replicas "$M/plain/f")"
terrace where "$M/three/sub/f" | grep -q '^  replicas: *3' || fail "$(terrace where "$M/three/sub/f")"
terrace why "$M/three/sub/f" | grep -q 'in 3 directories' || fail "$(terrace why "$M/three/sub/f")"
terrace pins "$M" | grep -qE '^- +- +- +3 +- +/three$' || fail "$(terrace pins "$M")"
stats '.replicas.extra_bytes > 900000 and .replicas.missing_bytes == 0' >/dev/null || fail "$(stats .replicas)"

# wrong ones
for wrong in 0 6 x 22 -1 '2 '; do
	setfattr -n user.terrace.replicas -v "$wrong" "$M/plain/f" 2>/dev/null && fail "replicas '$wrong' was taken"
done

# what is there follows; the others in its frames stay as they are; fewer are no reason to write
setfattr -n user.terrace.replicas -v 2 "$M/plain/s2"
setfattr -n user.terrace.replicas -v 2 "$M/plain/f"
terrace jobs wait "$(attribute job "$M/plain/f")" "$M" >/dev/null || true
terrace run --progress=off "$M" >/dev/null || true
lies_in 2 "$M/plain/f"
attribute extents "$M/plain/s2" | grep -q ' 2/2$' || fail "s2: $(attribute extents "$M/plain/s2")" # its old frame lives
lies_in 1 "$M/plain/s4"
setfattr -x user.terrace.replicas "$M/three"
terrace run --progress=off "$M" >/dev/null || true
lies_in 3 "$M/three/sub/f"
content again >"$M/three/sub/g"
lies_in 1 "$M/three/sub/g"

# it lasts; deleted directories take nothing with them that should be elsewhere too
pool_umount
pool_mount
[ "$(attribute replicas "$M/plain/f")" = 2 ] || fail "it was forgotten"
cp "$M/twice/f" "$T/rule"
cp "$M/plain/f" "$T/plain"
pool_umount
terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
find "$T/d2" -name '*.seg' -delete
pool_mount
cmp "$T/rule" "$M/twice/f"
cmp "$T/plain" "$M/plain/f"
terrace run --progress=off "$M" >/dev/null || true
lies_in 2 "$M/twice/f" "$M/plain/f"
pool_umount
