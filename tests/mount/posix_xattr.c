// SPDX-License-Identifier: Apache-2.0
/* Extended attributes of all classes, up to 64 KiB, and POSIX ACLs as the kernel keeps them. */
#include <endian.h>
#include <sys/xattr.h>

#include "posix.h"

#define VALUE_MAX 65536u

static char value[VALUE_MAX + 1], got[VALUE_MAX + 1];

static void case_sizes(void)
{
	static const size_t sizes[] = {0, 1, 255, 4000, 4096, 20000, 65535, 65536};

	make_file("file", "x", 0644);
	for (size_t i = 0; i < VALUE_MAX; i++)
		value[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (setxattr("file", "user.v", value, sizes[i], 0) != 0) {
			CHECK(errno == ENOSPC && sizes[i] > 4000); /* ext4 keeps them in a block */
			continue;
		}
		CHECK(getxattr("file", "user.v", NULL, 0) == (ssize_t)sizes[i]);
		CHECK(getxattr("file", "user.v", got, VALUE_MAX) == (ssize_t)sizes[i]);
		CHECK(memcmp(got, value, sizes[i]) == 0);
		if (sizes[i] > 1)
			CHECK_ERRNO(getxattr("file", "user.v", got, sizes[i] - 1), ERANGE);
	}
	CHECK_ERRNO(setxattr("file", "user.v", value, VALUE_MAX + 1, 0), E2BIG);
	CHECK(removexattr("file", "user.v") == 0 && listxattr("file", NULL, 0) == 0);
}

static void case_names(void)
{
	char name[300] = "user.", list[65536];
	ssize_t len;

	make_file("file", "x", 0644);
	memset(name + 5, 'n', 251);
	CHECK_ERRNO(setxattr("file", name, "x", 1, 0), ERANGE);
	CHECK_ERRNO(getxattr("file", name, got, 10), ERANGE);
	name[255] = '\0';
	CHECK(setxattr("file", name, "x", 1, 0) == 0);
	CHECK(listxattr("file", list, sizeof(list)) == 256 && strcmp(list, name) == 0);
	CHECK_ERRNO(setxattr("file", "", "x", 1, 0), ERANGE);
	CHECK_ERRNO(setxattr("file", "nonsense", "x", 1, 0), EOPNOTSUPP);
	CHECK(setxattr("file", "user.", "x", 1, 0) == -1 && errno == EINVAL);
	CHECK_ERRNO(setxattr("file", "user.x", "x", 1, XATTR_CREATE | XATTR_REPLACE | 8), EINVAL);
	CHECK_ERRNO(setxattr("missing", "user.x", "x", 1, 0), ENOENT);
	CHECK_ERRNO(removexattr("file", "user.none"), ENODATA);
	CHECK(removexattr("file", name) == 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.number-%d", i);
		CHECK(setxattr("file", name, name, strlen(name), XATTR_CREATE) == 0);
	}
	len = listxattr("file", list, sizeof(list));
	CHECK(len > 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.number-%d", i);
		CHECK(memmem(list, (size_t)len, name, strlen(name) + 1) != NULL);
		CHECK(getxattr("file", name, got, sizeof(got)) == (ssize_t)strlen(name));
	}
}

static void classes_as_user(void)
{
	CHECK_ERRNO(setxattr("own", "trusted.x", "x", 1, 0), EPERM);
	CHECK_ERRNO(getxattr("own", "trusted.hidden", got, 10), ENODATA);
	CHECK(setxattr("own", "user.x", "x", 1, 0) == 0);
	CHECK(listxattr("own", got, sizeof(got)) == 7); /* trusted ones are not shown */
	CHECK_ERRNO(setxattr("own", "security.x", "x", 1, 0), EPERM);
	CHECK_ERRNO(setxattr("root", "user.x", "x", 1, 0), EACCES);
	CHECK(getxattr("root", "user.seen", got, 10) == 1);
	CHECK_ERRNO(getxattr("shut", "user.seen", got, 10), EACCES);
	CHECK(getxattr("shut", "security.seen", got, 10) == 1);
	CHECK_ERRNO(setxattr("sticky", "user.x", "x", 1, 0), EPERM);
}

static void case_classes(void)
{
	make_file("own", "x", 0644);
	make_file("root", "x", 0644);
	make_file("shut", "x", 0600);
	CHECK(chown("own", USER_A, GROUP_A) == 0 && chmod(".", 0755) == 0);
	CHECK(mkdir("sticky", 0777) == 0 && chmod("sticky", 01777) == 0);
	CHECK(setxattr("own", "trusted.hidden", "x", 1, 0) == 0);
	CHECK(setxattr("root", "user.seen", "x", 1, 0) == 0);
	CHECK(setxattr("shut", "user.seen", "x", 1, 0) == 0);
	CHECK(setxattr("shut", "security.seen", "x", 1, 0) == 0);
	as_user(USER_A, GROUP_A, 0, classes_as_user);
	CHECK(symlink("own", "soft") == 0 && mkfifo("fifo", 0666) == 0);
	CHECK_ERRNO(lsetxattr("soft", "user.x", "x", 1, 0), EPERM);
	CHECK_ERRNO(setxattr("fifo", "user.x", "x", 1, 0), EPERM);
	CHECK(lsetxattr("soft", "trusted.x", "y", 1, 0) == 0);
	CHECK(lgetxattr("soft", "trusted.x", got, 10) == 1 && *got == 'y');
	CHECK_ERRNO(getxattr("own", "trusted.x", got, 10), ENODATA);
	CHECK(setxattr("fifo", "trusted.x", "x", 1, 0) == 0);
}

/* A capability goes when its file is written; a chown takes it, too. */
static void case_capability(void)
{
	static const uint32_t caps[5] = {0x02000001, 1u << 13, 0, 0, 0};
	int fd;

	make_file("prog", "x", 0755);
	CHECK(setxattr("prog", "security.capability", caps, sizeof(caps), 0) == 0);
	CHECK(getxattr("prog", "security.capability", got, 100) == 20);
	fd = open("prog", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0);
	CHECK_ERRNO(getxattr("prog", "security.capability", got, 100), ENODATA);
	CHECK(setxattr("prog", "security.capability", caps, sizeof(caps), 0) == 0);
	CHECK(chown("prog", 5, 5) == 0);
	CHECK_ERRNO(getxattr("prog", "security.capability", got, 100), ENODATA);
	CHECK(setxattr("prog", "security.capability", caps, sizeof(caps), 0) == 0);
	CHECK(truncate("prog", 0) == 0);
	CHECK_ERRNO(getxattr("prog", "security.capability", got, 100), ENODATA);
}

/* ACLs: entries of "tag perm id", as the kernel has them. -----------------------------------------
 */

enum { OWNER = 1, USER = 2, GROUP_OWNER = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static size_t acl_of(const struct entry *entries, size_t n, char *out)
{
	uint32_t version = htole32(2);

	memcpy(out, &version, 4);
	memcpy(out + 4, entries, n * sizeof(*entries));
	return 4 + n * sizeof(*entries);
}

static const struct entry given[] = {
	{OWNER, 6, (uint32_t)-1}, {USER, 6, USER_B},	    {GROUP_OWNER, 4, (uint32_t)-1},
	{MASK, 6, (uint32_t)-1},  {OTHER, 0, (uint32_t)-1},
};

static void set_acl(const char *path, const char *name, const struct entry *entries, size_t n)
{
	size_t len = acl_of(entries, n, value);

	CHECK(setxattr(path, name, value, len, 0) == 0);
}

#define ACCESS	"system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static void read_write_acl(void)
{
	CHECK(close(open("file", O_RDWR)) == 0);
}

static void read_only_acl(void)
{
	CHECK(close(open("file", O_RDONLY)) == 0);
	CHECK_ERRNO(open("file", O_WRONLY), EACCES);
}

static void nothing_acl(void)
{
	CHECK_ERRNO(open("file", O_RDONLY), EACCES);
}

static void chmod_own(void)
{
	CHECK_ERRNO(setxattr("file", ACCESS, value, 4, 0), EPERM);
}

static void case_acl_access(void)
{
	make_file("file", "x", 0600);
	CHECK(chmod(".", 0755) == 0 && chown("file", USER_A, GROUP_A) == 0);
	set_acl("file", ACCESS, given, 5);
	CHECK(mode_of("file") == 0660); /* the mask is the group's bits */
	as_user(USER_A, GROUP_A, 0, read_write_acl);
	as_user(USER_B, GROUP_B, 0, read_write_acl);
	as_user(USER_B + 1, GROUP_B, GROUP_A, read_only_acl);
	as_user(USER_B + 1, GROUP_B, 0, nothing_acl);
	CHECK(chmod("file", 0640) == 0); /* sets the mask */
	as_user(USER_B, GROUP_B, 0, read_only_acl);
	CHECK(getxattr("file", ACCESS, got, sizeof(got)) == 4 + 5 * 8);
	CHECK(((const struct entry *)(const void *)(got + 4))[3].perm == 4);
	CHECK(((const struct entry *)(const void *)(got + 4))[2].perm == 4);
	as_user(USER_B, GROUP_B, 0, chmod_own);
	CHECK(removexattr("file", ACCESS) == 0);
	CHECK_ERRNO(getxattr("file", ACCESS, got, sizeof(got)), ENODATA);
	as_user(USER_B, GROUP_B, 0, nothing_acl);
	CHECK_ERRNO(setxattr("file", DEFAULT, value, acl_of(given, 5, value), 0), EACCES);
	CHECK_ERRNO(setxattr("file", ACCESS, value, acl_of(given, 2, value), 0), EINVAL);
	CHECK_ERRNO(setxattr("file", ACCESS, "xx", 2, 0), EINVAL);
	CHECK(symlink("file", "soft") == 0);
	CHECK_ERRNO(lsetxattr("soft", ACCESS, value, acl_of(given, 5, value), 0), EOPNOTSUPP);
}

static void case_acl_default(void)
{
	CHECK(mkdir("d", 0755) == 0);
	set_acl("d", DEFAULT, given, 5);
	CHECK(mode_of("d") == 0755);
	CHECK_ERRNO(getxattr("d", ACCESS, got, sizeof(got)), ENODATA);
	umask(077); /* does not count where there is a default ACL */
	CHECK(close(open("d/file", O_WRONLY | O_CREAT, 0666)) == 0);
	CHECK(mode_of("d/file") == 0660);
	CHECK(getxattr("d/file", ACCESS, got, sizeof(got)) == 4 + 5 * 8);
	CHECK_ERRNO(getxattr("d/file", DEFAULT, got, sizeof(got)), ENODATA);
	CHECK(close(open("d/less", O_WRONLY | O_CREAT, 0604)) == 0);
	CHECK(mode_of("d/less") == 0600); /* the mode asked for is an upper limit */
	CHECK(mkdir("d/sub", 0777) == 0 && mode_of("d/sub") == 0660);
	CHECK(getxattr("d/sub", DEFAULT, got, sizeof(got)) == 4 + 5 * 8);
	CHECK(getxattr("d/sub", ACCESS, got, sizeof(got)) == 4 + 5 * 8);
	CHECK(mkfifo("d/fifo", 0666) == 0 && mode_of("d/fifo") == 0660);
	CHECK(mknod("d/sub/deep", S_IFREG | 0666, 0) == 0 && mode_of("d/sub/deep") == 0660);
	CHECK(symlink("x", "d/soft") == 0 && mode_of("d/soft") == 0777);
	CHECK_ERRNO(lgetxattr("d/soft", ACCESS, got, sizeof(got)), EOPNOTSUPP);
	CHECK(rename("d/file", "moved") == 0); /* what is moved keeps its own */
	CHECK(getxattr("moved", ACCESS, got, sizeof(got)) == 4 + 5 * 8);
	CHECK(removexattr("d", DEFAULT) == 0);
	CHECK(close(open("d/plain", O_WRONLY | O_CREAT, 0666)) == 0 && mode_of("d/plain") == 0600);
}

static void set_foreign(void)
{
	static const struct entry plain[] = {
		{OWNER, 7, (uint32_t)-1}, {GROUP_OWNER, 5, (uint32_t)-1}, {OTHER, 5, (uint32_t)-1}};

	set_acl("own", ACCESS, plain, 3);
	CHECK(mode_of("own") == 0755); /* not in its group: sgid goes */
	set_acl("own-in", ACCESS, plain, 3);
	CHECK(mode_of("own-in") == 02755);
}

static void case_acl_sgid(void)
{
	make_file("own", "x", 0755);
	make_file("own-in", "x", 0755);
	CHECK(chown("own", USER_A, GROUP_B) == 0 && chown("own-in", USER_A, GROUP_A) == 0);
	CHECK(chmod("own", 02755) == 0 && chmod("own-in", 02755) == 0 && chmod(".", 0755) == 0);
	as_user(USER_A, 2005, GROUP_A, set_foreign);
}

static const struct posix_case cases[] = {
	{"sizes", case_sizes},		 {"names", case_names},
	{"classes", case_classes},	 {"capability", case_capability},
	{"acl_access", case_acl_access}, {"acl_default", case_acl_default},
	{"acl_sgid", case_acl_sgid},
};

POSIX_MAIN(cases)
