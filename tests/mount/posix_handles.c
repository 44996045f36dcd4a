// SPDX-License-Identifier: Apache-2.0
/*
 * File handles, as an NFS server keeps them.
 *
 *   posix_handles save MNT PATH...       prints one line per path: handle and inode number
 *   posix_handles open MNT [text|stale]  reads such lines: each handle must open the same inode
 * (and hold its own name as text), or be refused with ESTALE
 */
#include "posix.h"

union handle {
	struct file_handle head;
	char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static void save(const char *path)
{
	union handle handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0) != 0)
		check_failed(__FILE__, __LINE__, "name_to_handle_at %s", path);
	printf("%d %llu ", handle.head.handle_type, (unsigned long long)stat_of(path).st_ino);
	for (unsigned i = 0; i < handle.head.handle_bytes; i++)
		printf("%02x", handle.head.f_handle[i]);
	printf(" %s\n", path);
}

static void check_open(int mount, union handle *handle, unsigned long long ino, const char *path,
		       const char *what)
{
	char buf[4096] = {0};
	struct stat st;
	int fd = open_by_handle_at(mount, &handle->head, O_RDONLY);

	if (!strcmp(what, "stale")) {
		if (fd >= 0 || errno != ESTALE)
			check_failed(__FILE__, __LINE__, "handle of %s is not stale", path);
		return;
	}
	if (fd < 0)
		check_failed(__FILE__, __LINE__, "handle of %s", path);
	CHECK(fstat(fd, &st) == 0 && st.st_ino == ino);
	if (S_ISREG(st.st_mode) && !strcmp(what, "text"))
		CHECK(read(fd, buf, sizeof(buf) - 1) > 0 && !strcmp(buf, path));
	close(fd);
}

int main(int argc, char **argv)
{
	char line[4096], hex[512], path[2048];
	unsigned long long ino;
	union handle handle;
	int mount, type, n = 0;

	CHECK(argc >= 3);
	if (!strcmp(argv[1], "save")) {
		for (int i = 3; i < argc; i++)
			save(argv[i]);
		return 0;
	}
	mount = open(argv[2], O_RDONLY | O_DIRECTORY);
	CHECK(mount >= 0);
	for (; fgets(line, sizeof(line), stdin); n++) {
		CHECK(sscanf(line, "%d %llu %511s %2047s", &type, &ino, hex, path) == 4);
		handle.head.handle_type = type;
		handle.head.handle_bytes = (unsigned)strlen(hex) / 2;
		for (unsigned i = 0; i < handle.head.handle_bytes; i++)
			CHECK(sscanf(hex + 2 * i, "%2hhx", &handle.head.f_handle[i]) == 1);
		check_open(mount, &handle, ino, path, argc > 3 ? argv[3] : "text");
	}
	CHECK(n > 0);
	return 0;
}
