#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Names of any bytes: printed as `ls -b` does, kept in JSON so that they can be read again, and
# moved, pinned and asked for by name.
. "$(dirname "$0")/lib.sh"

odd=$'we\377i\nrd \\x'
shown='we\377i\nrd \\x'
mkdir -p "$T/s"$'\376'
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/s"$'\376'"/t,codec=lz4" "hdd:path=$T/hdd,codec=lz4"
printf '[rule odd]\nmatch = /r\375/**\ntier = hdd\n' >>"$POOL"
pool_mount
mkdir "$M/$odd" "$M/r"$'\375'
head -c 300000 /dev/urandom >"$M/$odd/$odd"
head -c 5000 /dev/urandom >"$M/r"$'\375/f'
terrace sync "$M"

# bytes FILTER: what json on the standard input has there, as a script gets the bytes of it.
bytes() {
	jq "$1" | python3 -c '
import json, sys
for line in sys.stdin:
    name = json.loads(line)
    sys.stdout.buffer.write(b"".join(bytes([ord(c) - 0xEF00]) if 0xEF80 <= ord(c) <= 0xEFFF
                                     else c.encode() for c in name) + b"\0")'
}
# gives NAME FILTER: the JSON on the standard input has the name there.
gives() {
	bytes "$2" >"$T/got"
	printf '%s\0' "$1" | cmp - "$T/got" || fail "$2 is not '$1': $(od -c "$T/got")"
}

terrace demote --to hdd "$M/$odd/$odd" >/dev/null
[ "$(attribute tier "$M/$odd/$odd")" = hdd ] || fail "not moved by name"
terrace where "$M/$odd/$odd" | grep -qF "/$shown/$shown" || fail "where: $(terrace where "$M/$odd/$odd")"
terrace where -j "$M/$odd/$odd" | gives "$M/$odd/$odd" '.[0].path'
terrace jobs "$M" | grep -qF "/$shown/$shown to hdd" || fail "jobs: $(terrace jobs "$M")"
terrace jobs -j "$M" | gives "/$odd/$odd" '.[0].what'

# what a job says of a name, a job takes; also at the next mount
printf '{"verb":"promote","to":"ssd","paths":[%s]}' "$(terrace jobs -j "$M" | jq '.[0].what')" >"$T/request"
exec 9<>"$M/.terrace/jobs/new"
cat "$T/request" >&9
job=$(jq .job <&9)
exec 9>&-
terrace jobs wait "$job" "$M" >/dev/null
[ "$(attribute tier "$M/$odd/$odd")" = ssd ] || fail "not moved by what JSON says"

terrace pin hdd "$M/$odd" >/dev/null
terrace pins "$M" | grep -qE ' /we\\377i\\nrd \\\\x$' || fail "pins: $(terrace pins "$M")"
terrace pins -j "$M" | gives "/$odd" '.[0].path'
[ "$(attribute effective.pin "$M/$odd/$odd")" = "hdd /$odd" ] || fail "effective.pin"
terrace events -j "$M" | jq -s 'map(select(.path))' | gives "/$odd/$odd" '.[0].path'
terrace events "$M" | grep -qF "/$shown/$shown" || fail "events: $(terrace events "$M")"

# rules go by bytes
terrace run "$M" >/dev/null || [ $? = 3 ]
[ "$(attribute tier "$M/r"$'\375/f')" = hdd ] || fail "the rule did not match"
terrace policy "$M" | grep -qF 'odd: match=/r\375/** -> tier=hdd' || fail "policy: $(terrace policy "$M")"
terrace policy -j "$M" | gives "/r"$'\375/**' '.rules[0].match[0]'

# directories of tiers
terrace config "$M" | grep -qF "$T/s\\376/t" || fail "config: $(terrace config "$M")"
terrace status "$M" | grep -qF "$T/s\\376/t" || fail "status: $(terrace status "$M")"
terrace config -j "$M" | gives "$T/s"$'\376/t' '.tiers[] | select(.name == "ssd").places[0].path'
mkdir "$T/d"$'\374'
terrace config add hdd "$T/d"$'\374' "$M" | grep -qF "$T/d\\374 is in tier hdd" || fail "config add"
terrace evacuate "$T/d"$'\374' "$M" >/dev/null || [ $? = 3 ]
terrace config remove hdd "$T/d"$'\374' "$M" >/dev/null

# what is no name of ours is told for that, and nothing beside it is done
refused 1 'is no setting' terrace policy set run_interval=7s $'speed\377=1' "$M"
terrace policy "$M" | grep -q '^run_interval *7s' && fail "set in spite of another that is none"
refused 1 'no such tier' terrace config add $'hdd\377' "$T/d"$'\374' "$M"

pool_remount
terrace jobs "$M" | grep -qF "/$shown/$shown to hdd" || fail "jobs after a mount: $(terrace jobs "$M")"
pool_umount
