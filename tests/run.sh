#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and tests everything, as root on Debian 12: installs what is missing, builds asan, tsan and
# release, checks layers, format, manual pages, scripts and that clang takes the sources too, runs the
# unit tests (asan, tsan) and the mount tests (asan, release). Goes on after a failure; the last line
# is the count.
#
#   tests/run.sh [-k PATTERN]    only the steps whose name matches (extended regular expression),
#                                and the builds
#
# Logs are in build/test-logs. Nothing else is written into the source tree but build/.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C CI="${CI:-}" DEBIAN_FRONTEND=noninteractive
pattern=.
if [ "${1:-}" = -k ] && [ $# -eq 2 ]; then
	pattern=$2
elif [ $# -ne 0 ]; then
	sed -n '3,12s/^# \{0,1\}//p' "$0"
	exit 2
fi

logs=$PWD/build/test-logs
rm -rf "$logs"
mkdir -p "$logs"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/terrace-run.XXXXXX")
passed=0
failed=()
skipped=()
declare -A running=() # process id -> "name start"

# Mounts take requests over io_uring where the kernel can; the switch goes back to what it was.
uring=/sys/module/fuse/parameters/enable_uring
uring_was=
if [ -w "$uring" ]; then
	uring_was=$(cat "$uring")
	echo Y >"$uring"
fi

finish() {
	local pid
	[ -z "$uring_was" ] || echo "$uring_was" >"$uring"
	for pid in "${!running[@]}"; do kill "$pid" 2>/dev/null; done
	wait
	sweep "$scratch"
	rm -rf --one-file-system "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Takes away what a test left under a folder; says so.
sweep() {
	local left=0 where
	while read -r where; do
		echo "left mounted: $where"
		umount -l "$where"
		left=1
	done < <(awk -v t="$1/" 'index($2, t) == 1 { print $2 }' /proc/self/mounts | tac)
	return $left
}

# result NAME STATUS SECONDS
result() {
	local log=$logs/$1.log
	case $2 in
	0)
		passed=$((passed + 1))
		echo "ok    $1 ($3 s)"
		;;
	77)
		skipped+=("$1")
		echo "skip  $1: $(sed -n 's/^SKIPPED: //p' "$log" | tail -n 1)"
		;;
	*)
		failed+=("$1")
		echo "FAIL  $1 ($3 s, exit code $2), build/test-logs/$1.log ends:"
		tail -n 25 "$log" | sed 's/^/      | /'
		;;
	esac
}

wanted() { [[ $1 =~ $pattern ]]; }

# step NAME COMMAND...: runs now.
step() {
	local name=$1 start=$SECONDS status=0
	shift
	"$@" </dev/null >"$logs/$name.log" 2>&1 || status=$?
	result "$name" "$status" $((SECONDS - start))
	return "$status"
}

# background NAME COMMAND...: two of these run side by side: some go by the clock.
background() {
	local name=$1
	shift
	while [ ${#running[@]} -ge 2 ]; do reap; done
	"$@" </dev/null >"$logs/$name.log" 2>&1 &
	running[$!]="$name $SECONDS"
}

reap() {
	local pid status=0 name start
	wait -n -p pid "${!running[@]}" || status=$?
	read -r name start <<<"${running[$pid]}"
	unset "running[$pid]"
	result "$name" "$status" $((SECONDS - start))
}

build() { # PRESET [TARGET]
	cmake --preset "$1" && cmake --build --preset "$1" -j "$(nproc)" ${2:+--target "$2"}
}

format() {
	git ls-files -z '*.c' '*.h' | xargs -0 -r clang-format --dry-run -Werror
}

# The fuzzers are built by clang, which refuses some of what gcc takes.
clang_too() {
	local flags
	read -ra flags < <(pkg-config --cflags fuse3)
	git ls-files -z '*.c' | xargs -0 -n 16 -P "$(nproc)" clang -fsyntax-only -std=gnu17 -D_GNU_SOURCE \
		-D_FILE_OFFSET_BITS=64 '-DTERRACE_VERSION=""' -I. -Ilib "${flags[@]}"
}

manuals() {
	local status=0 page
	for page in man/*.[1-8]; do
		[ -e "$page" ] || continue
		mandoc -Tlint -Wwarning "$page" || status=1
	done
	return $status
}

scripts() {
	local status=0 file
	while read -r file; do
		case $(head -n 1 "$file") in
		*bash*) bash -n "$file" || status=1 ;;
		*python3*) python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || status=1 ;;
		'#!/bin/sh'*) sh -n "$file" || status=1 ;;
		*) case $file in *.sh) bash -n "$file" || status=1 ;; esac ;;
		esac
	done < <(git ls-files -s tests tools .ci | sed -nE 's/^100755 [^\t]*\t//p; s/^100644 [^\t]*\t(.*\.(sh|py))$/\1/p')
	git ls-files 'tests/*.sh' 'tools/*.sh' | xargs -r shellcheck -x -S warning -e SC2034,SC2089,SC2090 || status=1
	return $status
}

# The unit tests of one build, each counted for itself.
units() { # PRESET
	local log=$logs/unit-$1.log name verdict before=${#failed[@]}
	# ThreadSanitizer of gcc 12 needs memory laid out as it was in its day
	setarch -R ctest --test-dir "build/$1" -j3 --output-on-failure </dev/null >"$log" 2>&1
	while read -r name verdict; do
		if [ "$verdict" = Passed ]; then
			passed=$((passed + 1))
		else
			failed+=("unit-$1:$name")
		fi
	done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.* *(\*\*\*)?([A-Za-z]+).*/\1 \3/p' "$log")
	if [ ${#failed[@]} -gt "$before" ]; then
		echo "FAIL  ${failed[*]:$before}, build/test-logs/unit-$1.log:"
		grep -aE -A 12 'FAILED|ERROR|WARNING: ThreadSan|runtime error' "$log" | head -n 60 | sed 's/^/      | /'
	elif ! grep -q '100% tests passed' "$log"; then
		failed+=("unit-$1")
		tail -n 20 "$log" | sed 's/^/      | /'
	else
		echo "ok    unit-$1: $(grep 'tests passed' "$log")"
	fi
}

# One mount test; what it leaves behind is a failure too. A test names the builds it is for in a
# line "# flavors: asan release" (the default).
mount_test() { # FLAVOR SCRIPT
	local status=0 own
	own=$(mktemp -d "$scratch/XXXXXX")
	chmod 755 "$scratch" "$own" # some tests look at a mount as another user
	TMPDIR=$own TERRACE_BUILD=$PWD/build/$1 timeout -k 30 300 bash "$2" || status=$?
	[ "$status" -ne 124 ] || echo "not done after 300 s"
	sweep "$own" || status=1
	rm -rf --one-file-system "$own"
	return $status
}

mount_tests() { # FLAVOR
	local script name flavors
	for script in tests/mount/t-*.sh; do
		name=mount-$1-$(basename "$script" .sh | sed 's/^t-//')
		flavors=$(sed -n 's/^# flavors: //p' "$script")
		[[ " ${flavors:-asan release} " == *" $1 "* ]] && wanted "$name" || continue
		background "$name" mount_test "$1" "$script"
	done
}

if [ -x tools/install-deps.sh ]; then
	step install-deps tools/install-deps.sh
fi
step build-release build release
step build-asan build asan
step build-tsan build tsan units
for check in layers format clang_too manuals scripts; do
	wanted "$check" || continue
	case $check in
	layers) step layers tests/check-layers.sh ;;
	*) step "$check" "$check" ;;
	esac
done
for preset in asan tsan; do
	if wanted "unit-$preset"; then units "$preset"; fi
done
for preset in release asan; do
	if [ -x "build/$preset/terracefs" ]; then
		mount_tests "$preset"
	elif wanted "mount-$preset"; then
		failed+=("mount-$preset")
		echo "FAIL  mount-$preset: there is no build/$preset/terracefs"
	fi
done
while [ ${#running[@]} -gt 0 ]; do reap; done

[ ${#skipped[@]} -eq 0 ] || printf 'skipped: %s\n' "${skipped[@]}"
[ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[@]}"
echo "$((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
