// SPDX-License-Identifier: Apache-2.0
/*
 * Who may do what: owners, groups, sticky folders, and what takes suid and sgid away. Run as root.
 */
#include "posix.h"

static void mine_ok(void)
{
	int fd = open("shared", O_RDWR);

	CHECK(fd >= 0);
	close(fd);
	CHECK_ERRNO(open("others", O_RDWR), EACCES);
	fd = open("others", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	CHECK(access("shared", R_OK | W_OK) == 0);
	CHECK_ERRNO(access("others", W_OK), EACCES);
	CHECK_ERRNO(access("shared", X_OK), EACCES);
}

static void nothing_ok(void)
{
	CHECK_ERRNO(open("shared", O_RDONLY), EACCES);
	CHECK_ERRNO(open("shared", O_WRONLY), EACCES);
	CHECK_ERRNO(truncate("shared", 0), EACCES);
}

static void case_groups(void)
{
	make_file("shared", "x", 0660);
	make_file("others", "x", 0644);
	CHECK(chown("shared", 0, GROUP_A) == 0);
	as_user(USER_A, GROUP_A, 0, mine_ok);	    /* by its group */
	as_user(USER_A, GROUP_B, GROUP_A, mine_ok); /* by a supplementary one */
	as_user(USER_A, GROUP_B, 0, nothing_ok);
	CHECK(chown("shared", USER_A, GROUP_A) == 0 && chmod("shared", 0070) == 0);
	as_user(USER_A, GROUP_A, 0, nothing_ok); /* the owner's bits count, not the group's */
}

static void use_search_only(void)
{
	CHECK(stat_of("search/file").st_size == 1);
	CHECK_ERRNO(open("search", O_RDONLY | O_DIRECTORY), EACCES);
	CHECK_ERRNO(open("read/file", O_RDONLY), EACCES);
	CHECK_ERRNO(open("search/new", O_WRONLY | O_CREAT, 0644), EACCES);
	CHECK_ERRNO(rename("search/file", "search/other"), EACCES);
	CHECK(link("search/file", "search/second") == -1); /* EPERM: protected_hardlinks */
	CHECK_ERRNO(symlink("x", "search/soft"), EACCES);
	CHECK_ERRNO(rmdir("search/below"), EACCES);
	CHECK_ERRNO(mkfifo("search/fifo", 0644), EACCES);
	CHECK_ERRNO(chdir("read"), EACCES);
	CHECK(close(open("read", O_RDONLY | O_DIRECTORY)) == 0);
}

static void case_folders(void)
{
	CHECK(mkdir("search", 0711) == 0 && mkdir("read", 0744) == 0);
	make_file("search/file", "x", 0644);
	make_file("read/file", "x", 0644);
	CHECK(mkdir("search/below", 0755) == 0);
	CHECK(chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 0, use_search_only);
}

static void change_others(void)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

	CHECK_ERRNO(chmod("root", 0600), EPERM);
	CHECK_ERRNO(chown("root", USER_A, GROUP_A), EPERM);
	CHECK_ERRNO(chown("own", USER_B, (gid_t)-1), EPERM); /* gives nothing away */
	CHECK_ERRNO(chown("own", (uid_t)-1, GROUP_B), EPERM);
	CHECK(chown("own", (uid_t)-1, GROUP_A) == 0);
	CHECK(chown("own", USER_A, 2003) == 0); /* to a group it is in */
	CHECK(chown("own", (uid_t)-1, (gid_t)-1) == 0);
	CHECK_ERRNO(utimensat(AT_FDCWD, "root", times, 0), EPERM);
	CHECK_ERRNO(utimensat(AT_FDCWD, "root", NULL, 0), EACCES);
	CHECK_ERRNO(utimensat(AT_FDCWD, "writable", times, 0), EPERM);
	CHECK(utimensat(AT_FDCWD, "writable", now, 0) == 0);
	CHECK(utimensat(AT_FDCWD, "writable", NULL, 0) == 0);
	now[0].tv_nsec = UTIME_OMIT; /* one "now" alone is setting */
	CHECK_ERRNO(utimensat(AT_FDCWD, "writable", now, 0), EPERM);
	now[1].tv_nsec = UTIME_OMIT; /* nothing to do: allowed */
	CHECK(utimensat(AT_FDCWD, "root", now, 0) == 0);
}

static void case_owners(void)
{
	make_file("root", "x", 0644);
	make_file("own", "x", 0644);
	make_file("writable", "x", 0666);
	CHECK(chown("own", USER_A, GROUP_A) == 0 && chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 2003, change_others);
	CHECK(stat_of("own").st_gid == 2003);
}

static void sticky_other(void)
{
	CHECK_ERRNO(unlink("tmp/a"), EPERM);
	CHECK_ERRNO(rename("tmp/a", "tmp/c"), EPERM);
	CHECK_ERRNO(rename("tmp/b", "tmp/a"), EPERM);
	CHECK_ERRNO(rmdir("tmp/a-folder"), EPERM);
	CHECK_ERRNO(renameat2(AT_FDCWD, "tmp/b", AT_FDCWD, "tmp/a", RENAME_EXCHANGE), EPERM);
	CHECK(rename("tmp/b", "tmp/bb") == 0 && unlink("tmp/bb") == 0);
}

static void sticky_owner(void)
{
	CHECK(unlink("tmp/root") == 0); /* the folder's owner may */
}

static void case_sticky(void)
{
	CHECK(chmod(".", 0755) == 0 && mkdir("tmp", 0777) == 0 && chmod("tmp", 01777) == 0);
	CHECK(chown("tmp", USER_B + 5, 0) == 0);
	make_file("tmp/a", "a", 0666);
	make_file("tmp/b", "b", 0666);
	make_file("tmp/root", "r", 0666);
	CHECK(mkdir("tmp/a-folder", 0777) == 0);
	CHECK(chown("tmp/a", USER_A, 0) == 0 && chown("tmp/b", USER_B, 0) == 0);
	CHECK(chown("tmp/a-folder", USER_A, 0) == 0);
	as_user(USER_B, GROUP_B, 0, sticky_other);
	as_user(USER_B + 5, GROUP_B, 0, sticky_owner);
	CHECK(mode_of("tmp") == 01777);
}

static void set_bits(void)
{
	CHECK(chmod("own", 02755) == 0);
	CHECK(mode_of("own") == 0755); /* not in its group: sgid goes */
	CHECK(chmod("own-in", 06755) == 0 && mode_of("own-in") == 06755);
	CHECK(chmod("own", 04755) == 0 && mode_of("own") == 04755);
	CHECK(chmod("own", 01644) == 0 && mode_of("own") == 01644);
	make_file("group/made", "x", 0755);
	CHECK(stat_of("group/made").st_gid == GROUP_B);
	CHECK(mkdir("group/folder", 0755) == 0);
	CHECK(mode_of("group/folder") == 02755);
	CHECK(close(open("group/sgid", O_WRONLY | O_CREAT, 02775)) == 0);
	CHECK(!(mode_of("group/sgid") & 02000)); /* nor is it given at the start */
}

static void case_set_bits(void)
{
	make_file("own", "x", 0644);
	make_file("own-in", "x", 0644);
	CHECK(chown("own", USER_A, GROUP_B) == 0 && chown("own-in", USER_A, GROUP_A) == 0);
	CHECK(mkdir("group", 0777) == 0 && chown("group", 0, GROUP_B) == 0);
	CHECK(chmod("group", 02777) == 0 && chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 0, set_bits);
}

static void own_chown(void)
{
	CHECK(chown("own", (uid_t)-1, GROUP_A) == 0);
	CHECK(mode_of("own") == 0777);
	CHECK(chmod("own", 06777) == 0 && chown("own", USER_A, (gid_t)-1) == 0);
	CHECK(mode_of("own") == 0777);
}

static void case_chown_kills(void)
{
	make_file("own", "x", 0644);
	CHECK(chown("own", USER_A, GROUP_A) == 0 && chmod("own", 06777) == 0);
	CHECK(chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 0, own_chown);
	CHECK(chmod("own", 06777) == 0 && chown("own", 5, 5) == 0);
	CHECK(mode_of("own") == 0777); /* by root, too */
	CHECK(chmod("own", 02764) == 0 && chown("own", 6, 6) == 0);
	CHECK(mode_of("own") == 02764); /* no group execution: it is a mark of mandatory locks */
	CHECK(mkdir("folder", 0755) == 0 && chmod("folder", 06755) == 0);
	CHECK(chown("folder", 5, 5) == 0 && mode_of("folder") == 06755);
	CHECK(chmod("own", 06777) == 0);
	CHECK(fchownat(AT_FDCWD, "own", 7, 7, AT_SYMLINK_NOFOLLOW) == 0 && mode_of("own") == 0777);
}

static void write_as_other(void)
{
	int fd = open("prog", O_RDWR);

	CHECK(fd >= 0 && pwrite(fd, "y", 1, 0) == 1);
	CHECK((mode_of("prog") & 06000) == 0); /* at once, not at close */
	close(fd);
	CHECK(mode_of("prog") == 0777);
}

static void append_as_other(void)
{
	int fd = open("prog", O_WRONLY | O_APPEND);

	CHECK(fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0);
	CHECK(mode_of("prog") == 0777);
}

static void open_trunc_as_other(void)
{
	CHECK(close(open("prog", O_WRONLY | O_TRUNC)) == 0);
	CHECK(mode_of("prog") == 0777);
}

static void case_write_kills(void)
{
	make_file("prog", "some text", 06777);
	CHECK(chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 0, write_as_other);
	CHECK(chmod("prog", 06777) == 0);
	as_user(USER_A, GROUP_A, 0, append_as_other);
	CHECK(chmod("prog", 06777) == 0);
	as_user(USER_A, GROUP_A, 0, open_trunc_as_other);
	CHECK(chmod("prog", 06777) == 0);
	CHECK(truncate("prog", 3) == 0 && mode_of("prog") == 06777); /* root keeps them */
}

static void case_umask(void)
{
	umask(027);
	CHECK(close(open("file", O_WRONLY | O_CREAT, 0666)) == 0 && mode_of("file") == 0640);
	CHECK(mkdir("folder", 0777) == 0 && mode_of("folder") == 0750);
	CHECK(mkfifo("fifo", 0666) == 0 && mode_of("fifo") == 0640);
	CHECK(symlink("x", "soft") == 0 && mode_of("soft") == 0777);
	umask(0);
	CHECK(close(open("all", O_WRONLY | O_CREAT, 07777)) == 0 && mode_of("all") == 07777);
	CHECK(mkdir("sticky", 01777) == 0 && mode_of("sticky") == 01777);
	/* a mode without writing does not hinder who makes the file */
	int fd = open("shut", O_RDWR | O_CREAT, 0);

	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 && mode_of("shut") == 0);
}

static void link_others(void)
{
	CHECK_ERRNO(open("closed/new", O_WRONLY | O_CREAT, 0644), EACCES);
	CHECK_ERRNO(link("closed-file", "open/second"), EPERM); /* protected_hardlinks */
}

static void move_folder_up(void)
{
	/* a folder whose ".." changes must be writable itself */
	CHECK_ERRNO(rename("open/not-mine", "other/not-mine"), EACCES);
	CHECK(rename("open/not-mine", "open/renamed") == 0);
	CHECK_ERRNO(rename("open/renamed", "closed/renamed"), EACCES);
}

static void case_rename_rights(void)
{
	CHECK(chmod(".", 0755) == 0 && mkdir("open", 0777) == 0 && mkdir("other", 0777) == 0);
	CHECK(chmod("open", 0777) == 0 && chmod("other", 0777) == 0 && mkdir("closed", 0755) == 0);
	CHECK(mkdir("open/not-mine", 0755) == 0);
	make_file("closed-file", "x", 0600);
	as_user(USER_A, GROUP_A, 0, move_folder_up);
	as_user(USER_A, GROUP_A, 0, link_others);
}

static void run_it(void)
{
	execl("./tool", "tool", (char *)NULL);
	CHECK(errno == EACCES);
}

static void case_execute(void)
{
	make_file("tool", "#!/bin/true\n", 0644);
	CHECK(chmod(".", 0755) == 0);
	as_user(USER_A, GROUP_A, 0, run_it);
	run_it(); /* also root needs one x */
	CHECK(chmod("tool", 0100) == 0);
	as_user(USER_A, GROUP_A, 0, run_it);
	CHECK(access("tool", X_OK) == 0);
}

static const struct posix_case cases[] = {
	{"groups", case_groups},     {"folders", case_folders},
	{"owners", case_owners},     {"sticky", case_sticky},
	{"set_bits", case_set_bits}, {"chown_kills", case_chown_kills},
	{"umask", case_umask},	     {"write_kills", case_write_kills},
	{"execute", case_execute},   {"rename_rights", case_rename_rights},
};

POSIX_MAIN(cases)
