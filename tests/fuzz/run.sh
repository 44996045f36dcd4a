#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs every tests/fuzz/fuzz_*.c with libFuzzer, ASan and UBSan.
#
#   tests/fuzz/run.sh [-d DIR] [SECONDS_PER_TARGET] [TARGET...]     (default: 60 s, all targets)
#
# -d DIR: programs, what the runs find (DIR/found-TARGET) and a line per run (DIR/ledger: target,
# seconds, inputs tried) stay there, so that one long run can be made of many; 0 seconds only
# builds, and tries the corpus. Without it they go to a temporary folder. Seeds are taken from
# tests/fuzz/corpus/TARGET/. A failing input is kept as crash-* in the current directory, with its
# path shown.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
usage() {
	sed -n '5p' "$0" | sed 's/^# *//' >&2
	exit 2
}
dir=
while getopts d: option; do
	case $option in
	d) dir=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
seconds=${1:-60}
[ $# -gt 0 ] && shift
case $seconds in '' | *[!0-9]*) usage ;; esac

if [ -n "$dir" ]; then
	mkdir -p "$dir" || exit 2
	tmp=$(cd "$dir" && pwd) || exit 2
else
	tmp=$(mktemp -d) || exit 2
	trap 'rm -rf "$tmp"' EXIT
fi
libs=$(pkg-config --cflags --libs liblz4 libzstd liblzma libxxhash inih jansson libbsd fuse3) || exit 2
# NDEBUG stays unset: the targets check with assert().
flags="-std=gnu17 -g -O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DTERRACE_VERSION=\"fuzz\""
flags="$flags -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -I$top"

# One archive of all layers and of the helpers beside the targets, so that each draws what it needs.
build_layers() {
	local source objects="$tmp/objects"
	rm -rf "$objects" "$tmp/layers.a"
	mkdir -p "$objects"
	for source in "$top"/compress/*.c "$top"/tiers/*.c "$top"/tiers/*/*.c "$top"/fs/*.c \
		"$top"/tools/terrace/{trace,lines,numbers,text}.c "$top"/tests/fuzz/fix_*.c; do
		[ ! -e "$source" ] || printf '%s\0' "$source"
	done | xargs -0 -P 2 -I{} sh -c '
		out=$1/$(basename "$(dirname "$2")")-$(basename "$2" .c).o
		# shellcheck disable=SC2086
		exec clang $3 $(pkg-config --cflags fuse3) -fsanitize=fuzzer-no-link -c "$2" -o "$out"' \
		sh "$objects" {} "$flags" &&
		ar rcs "$tmp/layers.a" "$objects"/*.o
}

build_target() { # name
	# shellcheck disable=SC2086
	clang $flags -fsanitize=fuzzer "$top/tests/fuzz/fuzz_$1.c" "$tmp/layers.a" $libs -llmdb -laio \
		-lm -lpthread -o "$tmp/fuzz_$1"
}

run_target() { # name
	local seeds="$top/tests/fuzz/corpus/$1" began=$SECONDS status=0 limit
	mkdir -p "$tmp/found-$1"
	[ -d "$seeds" ] || seeds=
	limit=(-max_total_time="$seconds")
	[ "$seconds" -gt 0 ] || limit=(-runs=0)
	"$tmp/fuzz_$1" "${limit[@]}" -max_len=65536 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
		"$tmp/found-$1" ${seeds:+"$seeds"} >"$tmp/$1.log" 2>&1 || status=1
	echo "$1 $((SECONDS - began)) s $(sed -n 's/^stat::number_of_executed_units: *//p' "$tmp/$1.log") inputs, status $status" >>"$tmp/ledger"
	if [ "$status" -ne 0 ]; then
		cat "$tmp/$1.log"
		return 1
	fi
	grep -aE 'number_of_executed_units|DONE' "$tmp/$1.log"
}

build_layers || { echo "the layers do not build" >&2; exit 1; }
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for source in "$top"/tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		targets+=("${name#fuzz_}")
	done
fi
passed=0 failed=0
for name in "${targets[@]}"; do
	echo "== $name, $seconds s"
	if build_target "$name" && run_target "$name"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
