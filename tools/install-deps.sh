#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what Terrace is built and tested with, on Debian 12 and its like, as root. Silent when
# everything is there.
#
#   tools/install-deps.sh            everything but what only some rows of the benchmark need
#   tools/install-deps.sh build      only what building and running needs
#   tools/install-deps.sh bench      what only some rows of the benchmark need
#   tools/install-deps.sh PACKAGE    one of these
#   tools/install-deps.sh --list     the packages and what each is for
set -euo pipefail

build='gcc                 the C compiler
libc6-dev           the C library
cmake               configures the build
ninja-build         runs the build
pkg-config          finds the libraries below
libfuse3-dev        FUSE: how the kernel asks the daemon
liburing-dev        FUSE over io_uring: requests without a wake-up on another processor
fuse3               fusermount3 and mount.fuse3: mounting as a user, mount -t, fstab
liblz4-dev          codec lz4
libzstd-dev         codec zstd
liblzma-dev         codec lzma
libxxhash-dev       checksums
liblmdb-dev         the store of the metadata
libaio-dev          several disk requests at once
libinih-dev         configuration files
libjansson-dev      JSON: statistics and jobs
libbsd-dev          lists and trees
libncurses-dev      terrace top: a screen that is refreshed in place
libcmocka-dev       unit tests (the build makes them too)'
tests='mold                links the test programs fast
clang               fuzzing
clang-format        the style of the code
libclang-rt-dev     sanitizers of clang
valgrind            leaks
gcovr               tests/coverage.sh: which lines the tests run
mandoc              checks the manual pages
shellcheck          checks the scripts
acl                 tests: getfacl, setfacl
attr                tests: getfattr, setfattr
fio                 tests and the benchmark: load
git                 tests: a repository on a mount
jq                  tests: read JSON
python3             tests: exact system calls
sqlite3             tests: a database on a mount
xz-utils            traces of real accesses for the simulations
e2fsprogs           tests: small filesystems to fill
libcap2-bin         tests: setcap
procps              tests: pgrep
util-linux          tests: losetup, findmnt, setpriv
btrfs-progs         the benchmark: a column
zstd                the benchmark: migration beside it
util-linux-extra    the benchmark: fincore, is it cold?
mergerfs            the benchmark: a column'
bench='gnuplot-nox         tests/bench/run.sh --svg: bar charts
postgresql          tests/bench/run.sh --pgbench'

case ${1:-all} in
all) wanted="$build
$tests" ;;
build) wanted=$build ;;
bench) wanted=$bench ;;
--list)
	printf '%s\n' "$build" "$tests" "$bench"
	exit 0
	;;
*)
	wanted=$(grep -E "^$1 " <<<"$build
$tests
$bench") || {
		sed -n '3,10s/^# \{0,1\}//p' "$0" >&2
		exit 2
	}
	;;
esac

# A package is there when it, or another that provides it, is installed.
installed() {
	dpkg-query -W -f '${db:Status-Status} ${Package}\n${db:Status-Status} ${Provides}\n' 2>/dev/null |
		sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr -s ', ' '\n\n' | sort -u
}

command -v dpkg-query >/dev/null || {
	echo "install-deps.sh knows apt only; install by hand what '$0 --list' names" >&2
	exit 1
}
have=$(installed)
missing=()
while read -r package what; do
	grep -qxF -- "$package" <<<"$have" && continue
	missing+=("$package")
	printf 'missing: %-18s %s\n' "$package" "$what"
done <<<"$wanted"
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "run as root: apt-get install ${missing[*]}" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get -q update >"$log" 2>&1 || {
	tail -n 5 "$log" >&2
	echo "apt-get update failed; trying with the lists that are here" >&2
}
# One by one after a failure: a package that this release does not have should cost only itself.
if ! apt-get -qy install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
	failed=()
	for package in "${missing[@]}"; do
		apt-get -qy install --no-install-recommends "$package" >"$log" 2>&1 && continue
		tail -n 3 "$log" >&2
		failed+=("$package")
	done
	[ ${#failed[@]} -eq 0 ] || {
		echo "could not be installed: ${failed[*]}" >&2
		exit 1
	}
fi
echo "installed: ${missing[*]}"
