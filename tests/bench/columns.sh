# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # what run.sh sets
# The columns, for run.sh: column_up makes one, D is where its rows work, DAEMON and DEVICE are what
# measure.sh looks at. All are mounted noatime.

all_columns=ext4,btrfs,mergerfs,floor,terrace
disk_device=$(basename "$(findmnt -n -o SOURCE -T "$T")")
[ -e "/sys/class/block/$disk_device/stat" ] || disk_device=
DAEMON=
DEVICE=
MOUNT_OPTIONS="-o noatime"
SSD=codec=lz4
HDD=codec=zstd:12

# The disk's own filesystem, without access times.
disk_folder() { # FOLDER
	mkdir "$1"
	mount --bind "$1" "$1"
	mount -o remount,bind,noatime "$1"
}

disk_folder_gone() { # FOLDER
	umount "$1"
	rm -rf --one-file-system "$1"
}

until_mounted() { # FOLDER LOG
	local i
	for i in $(seq 1 600); do
		! mountpoint -q "$1" || return 0
		alive "$DAEMON" || break
		sleep 0.05
	done
	fail "$1 is not mounted: $(cat "$2")"
}

mergerfs_on() {
	mergerfs -f -o noatime,allow_other,cache.files=auto-full,cache.writeback=true,cache.readdir=true,cache.attr=120,cache.entry=120,cache.symlinks=true,cache.statfs=10,category.create=mfs \
		"$T/under" "$T/mergerfs" >"$T/mergerfs.log" 2>&1 &
	DAEMON=$!
	until_mounted "$T/mergerfs" "$T/mergerfs.log"
}

mergerfs_off() {
	umount "$T/mergerfs"
	wait "$DAEMON" || true
	DAEMON=
}

floor_on() {
	local memory=64
	! wanted_group file || memory=$((mb + 64))
	"$HELPERS/floor" "$D" "$memory" 2>"$T/floor.log" &
	DAEMON=$!
	until_mounted "$D" "$T/floor.log"
}

terrace_on() {
	local MOUNT_OPTIONS=$MOUNT_OPTIONS
	[ "$column" != plain ] || MOUNT_OPTIONS+=,passthrough
	pool_mount
	DAEMON=$PID
}

# A pool of files that are kept raw; the folders of the rows inherit it.
plain_on() {
	terrace_on
	setfattr -n user.terrace.layout -v plain "$D" || fail "this terracefs has no plain files"
}

is_pool() { [ "$column" = terrace ] || [ "$column" = plain ]; }

btrfs_on() { # on a loop file of the disk
	local loop
	truncate -s $((mb * 4 + 6000))M "$T/btrfs.image"
	mkfs.btrfs -q "$T/btrfs.image" >/dev/null 2>&1
	loop=$(losetup --direct-io=on --show -f "$T/btrfs.image")
	mount -o noatime,compress=zstd:3 "$loop" "$D"
	DEVICE=$(basename "$loop")
}

terrace_pool() {
	pool_new "ram:path=$RAM,size=1G" "ssd:path=$T/ssd,$SSD" "hdd:path=$T/hdd,$HDD" >/dev/null
}

column_up() {
	DAEMON=
	DEVICE=$disk_device
	case $column in
	ext4) D=$T/ext4 && disk_folder "$D" ;;
	btrfs)
		D=$T/btrfs
		mkdir "$D"
		btrfs_on
		;;
	mergerfs)
		D=$T/mergerfs
		mkdir "$D"
		disk_folder "$T/under"
		mergerfs_on
		;;
	floor)
		D=$T/floor
		DEVICE=
		mkdir "$D"
		floor_on
		;;
	terrace)
		D=$M
		terrace_pool
		terrace_on
		;;
	plain)
		D=$M
		terrace_pool
		plain_on
		;;
	esac
}

column_down() {
	case $column in
	ext4) disk_folder_gone "$T/ext4" ;;
	btrfs)
		umount "$T/btrfs"
		losetup -d "/dev/$DEVICE"
		rm -rf "$T/btrfs.image" "$T/btrfs"
		;;
	mergerfs)
		mergerfs_off
		rmdir "$T/mergerfs"
		disk_folder_gone "$T/under"
		;;
	floor)
		umount "$T/floor"
		wait "$DAEMON"
		rmdir "$T/floor"
		;;
	terrace | plain) pool_gone ;;
	esac
	DAEMON=
	sync -f "$T"
}

pool_gone() {
	pool_umount
	rm -rf --one-file-system "$T/ssd" "$T/hdd" "$POOL"
	find "$RAM" -mindepth 1 -delete
}

# What the kernel holds of the file and of what it is stored in, in bytes.
cached() {
	local stored=()
	case $column in
	mergerfs) stored=("$T/under/file") ;;
	terrace | plain) mapfile -t stored < <(find "$T/ssd" "$T/hdd" -path '*/segments/*' -type f) ;;
	esac
	fincore -b -n -o RES "$D/file" "${stored[@]}" | awk '{ n += $1 } END { printf "%d\n", n }'
}

# Everything is on media, the daemons' own caches are gone, and the kernel's; looks at it, where
# there is a file to look at.
chill() {
	sync -f "$T"
	case $column in
	mergerfs) mergerfs_off && mergerfs_on ;;
	terrace | plain) pool_umount && terrace_on ;;
	*) settle ;;
	esac
	drop_caches
	[ ! -e "$D/file" ] || [ "$(cached)" -le $((mb << 20 >> 6)) ] || fail "$column: $(cached) bytes of the file are still cached"
}

taken() { # bytes on the disk
	settle
	sync -f "$T"
	case $column in
	ext4) disk_bytes "$T/ext4" ;;
	mergerfs) disk_bytes "$T/under" ;;
	floor) echo 1 ;; # of no disk
	btrfs) btrfs filesystem usage -b "$D" | awk '/^ *Used:/ { print $2; exit }' ;;
	terrace | plain) disk_bytes "$T/ssd" "$T/hdd" ;;
	esac
}
