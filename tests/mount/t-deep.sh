#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Trees deeper than PATH_MAX and than a thousand folders: import, where -r, demote and export take
# them whole, with hard links between their depths. On a stack that is smaller than usual, as many as it takes.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
# deep make|show TOP: a chain of 1500 folders, long names first, with a file in every 300th one, its
# other name in the folder above, and what is in it; or what there is, one line each.
deep() {
	python3 - "$@" <<'END'
import os, sys
what, top = sys.argv[1:]
def name(i):
    return ("long%d-" % i) + "x" * 100 if i < 60 else "d"
os.chdir(top)
files = 0
for i in range(1500):
    if what == "make":
        os.mkdir(name(i))
    os.chdir(name(i))
    if i % 300 == 299:
        if what == "make":
            with open("file", "w") as out:
                out.write("at %d\n" % i)
            os.link("file", "../other")
        assert os.stat("file").st_ino == os.stat("../other").st_ino, i
        assert open("file").read() == "at %d\n" % i
        files += 1
assert files == 5
END
}
# on_stack LEVELS COMMAND...: on a stack for so many, of which each may take 2048 bytes
on_stack() { (
	ulimit -s $(($1 * 2))
	shift
	"$@"
); }
mkdir "$T/source"
deep make "$T/source"
on_stack 1000 terrace import --progress=off "$T/source" "$M/some" >"$T/said" 2>&1 && fail "all on a small stack"
grep -q '/d: lies too deep: it was not taken over$' "$T/said" || fail "import: $(cat "$T/said")"
rm -r "$M/some"
on_stack 1510 terrace import --progress=off "$T/source" "$M/in" >"$T/said" || fail "import: $(cat "$T/said")"
grep -q '^10 files' "$T/said" || fail "import: $(cat "$T/said")"
deep show "$M/in"
terrace import --progress=off "$T/source" "$M/in" >"$T/said" && fail "imported twice" || [ $? = 3 ] || fail "again: $(cat "$T/said")"
terrace where -r "$M/in" >"$T/said" || fail "where: $(cat "$T/said")"
head -n 1 "$T/said" | grep -q ': 10 files, 74,' || fail "where: $(head -n 1 "$T/said")"
(cd "$M" && terrace where -r in . >"$T/said") || fail "where, from a folder: $(cat "$T/said")"
[ "$(grep -c ': 10 files' "$T/said")" = 2 ] || fail "where, from a folder: $(cat "$T/said")"
terrace demote -n --to hdd "$M/in" | grep -q ': 10 files' || fail "demote -n: $(terrace demote -n --to hdd "$M/in")"
terrace demote --to hdd "$M/in" >/dev/null
terrace where -rj "$M/in" | jq -e '[.[0].rows[].tier] == ["hdd"]' >/dev/null || fail "demote: $(terrace where -r "$M/in")"

# a path that is too long for the walk is not passed over in silence
python3 - "$M" <<'END'
import os, sys
os.chdir(sys.argv[1])
for _ in range(270):
    os.mkdir("x" * 250)
    os.chdir("x" * 250)
END
top=$M/$(printf 'x%.0s' $(seq 250))
code=0
terrace where -r "$top" >"$T/said" 2>&1 || code=$?
[ "$code" = 1 ] && grep -q 'not all below it was looked at' "$T/said" || fail "where, too deep: $code, $(cat "$T/said")"
rm -r "$top"
pool_umount
on_stack 1510 terrace export "$POOL" "$T/out" >"$T/said" || fail "export: $(cat "$T/said")"
deep show "$T/out/in"
on_stack 1000 terrace export "$POOL" "$T/some" >"$T/said" && fail "all on a small stack"
grep -q '^missing: .*/d: a folder that lies too deep, or in itself: left out$' "$T/said" || fail "export: $(cat "$T/said")"
