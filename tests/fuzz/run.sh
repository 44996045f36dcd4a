#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs every tests/fuzz/fuzz_*.c with libFuzzer, ASan and UBSan.
#   tests/fuzz/run.sh [SECONDS_PER_TARGET] [TARGET...]     (default: 60 s, all targets)
# Seeds are taken from tests/fuzz/corpus/TARGET/; what the run finds beside them stays in a
# temporary folder. A failing input is kept as crash-* in the current directory, with its path shown.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
seconds=${1:-60}
[ $# -gt 0 ] && shift
case $seconds in '' | *[!0-9]*) echo "usage: $0 [SECONDS_PER_TARGET] [TARGET...]" >&2; exit 2 ;; esac

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
libs=$(pkg-config --cflags --libs liblz4 libzstd liblzma libxxhash inih jansson libbsd) || exit 2
# NDEBUG stays unset: the targets check with assert().
flags="-std=gnu17 -g -O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DTERRACE_VERSION=\"fuzz\""
flags="$flags -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -I$top"

# One archive of both layers, so that each target draws what it needs.
build_layers() {
	local source
	for source in "$top"/compress/*.c "$top"/tiers/*.c "$top"/tiers/*/*.c; do
		printf '%s\0' "$source"
	done | xargs -0 -P 2 -I{} sh -c '
		out=$1/$(basename "$(dirname "$2")")-$(basename "$2" .c).o
		exec clang $3 -fsanitize=fuzzer-no-link -c "$2" -o "$out"' sh "$tmp" {} "$flags" &&
		ar rcs "$tmp/layers.a" "$tmp"/*.o
}

run_target() { # name
	local source="$top/tests/fuzz/fuzz_$1.c" seeds="$top/tests/fuzz/corpus/$1"
	mkdir -p "$tmp/found-$1"
	[ -d "$seeds" ] || seeds=
	# shellcheck disable=SC2086
	clang $flags -fsanitize=fuzzer "$source" "$tmp/layers.a" $libs -llmdb -laio -lpthread \
		-o "$tmp/fuzz_$1" || return 1
	"$tmp/fuzz_$1" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=20 \
		-print_final_stats=1 "$tmp/found-$1" ${seeds:+"$seeds"} >"$tmp/$1.log" 2>&1 || {
		cat "$tmp/$1.log"
		return 1
	}
	grep -E 'number_of_executed_units|DONE' "$tmp/$1.log"
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
	if run_target "$name"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
