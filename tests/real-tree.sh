# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# real_tree FOLDER FILES MB: copies of this machine's own /usr trees until both amounts are reached.
real_tree() {
	local folder=$1 files=$2 mb=$3 from n=0 have=0
	mkdir -p "$folder"
	for from in /usr/include /usr/share/doc /usr/share/man /usr/share/perl /usr/lib/python3 \
		/usr/lib/gcc /usr/share/cmake-* /usr/lib/git-core /usr/share/locale /usr/bin \
		/usr/lib/x86_64-linux-gnu /usr/share /usr/lib; do
		[ -d "$from" ] || continue
		[ "$n" -lt "$files" ] || [ "$have" -lt "$mb" ] || break
		mkdir -p "$folder$from"
		cp -a "$from/." "$folder$from/"
		n=$(find "$folder" -type f | wc -l)
		have=$(du -sm "$folder" | cut -f1)
	done
	echo "tree of $n files, $have MB" >&2
}
