// SPDX-License-Identifier: Apache-2.0
/* What others may have put where the daemon's own folder belongs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tiers/folder.h"
#include "tiers/io.h"

struct fixture {
	struct dir_fixture dir;
	char path[256], other[256]; /* what is claimed; a folder beside it */
};

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	dir_fixture_make(&fix->dir, "/tmp");
	snprintf(fix->path, sizeof(fix->path), "%s/own", fix->dir.paths[0]);
	snprintf(fix->other, sizeof(fix->other), "%s/other", fix->dir.paths[0]);
	assert_int_equal(mkdir(fix->other, 0700), 0);
	log_capture();
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	log_release();
	dir_fixture_remove(&fix->dir);
	free(fix);
	return 0;
}

static void refused(struct fixture *fix, const char *trusted, int error, const char *why)
{
	bool made = true;

	log_captured();
	assert_int_equal(folder_claim(fix->path, trusted, &made), error);
	assert_false(made);
	assert_non_null(strstr(log_captured(), why));
}

static void made_or_taken(void **state)
{
	struct fixture *fix = *state;
	struct stat st;
	bool made;

	assert_int_equal(folder_claim(fix->path, NULL, &made), 0);
	assert_true(made);
	assert_int_equal(stat(fix->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(folder_claim(fix->path, NULL, &made), 0);
	assert_false(made);
}

static void link_there(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(symlink(fix->other, fix->path), 0);
	refused(fix, NULL, -ENOTDIR, "no folder");
}

static void file_there(void **state)
{
	struct fixture *fix = *state;

	close(open(fix->path, O_CREAT | O_WRONLY, 0600));
	refused(fix, NULL, -ENOTDIR, "no folder");
}

static void open_to_others(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(mkdir(fix->path, 0700), 0);
	assert_int_equal(chmod(fix->path, 0720), 0);
	refused(fix, NULL, -EPERM, "mode 720");
	assert_int_equal(chmod(fix->path, 0702), 0);
	refused(fix, NULL, -EPERM, "mode 702");
}

static void of_another_user(void **state)
{
	struct fixture *fix = *state;
	bool made;

	if (geteuid())
		skip();
	assert_int_equal(mkdir(fix->path, 0700), 0);
	assert_int_equal(chown(fix->path, 65534, 65534), 0);
	refused(fix, NULL, -EPERM, "belongs to user 65534");
	refused(fix, fix->other, -EPERM, "belongs to user 65534");
	/* Whose pool it is may have made it. */
	assert_int_equal(chown(fix->other, 65534, 65534), 0);
	assert_int_equal(folder_claim(fix->path, fix->other, &made), 0);
}

static void above_open_to_all(void **state)
{
	struct fixture *fix = *state;
	bool made;

	assert_int_equal(chmod(fix->dir.paths[0], 0777), 0);
	refused(fix, NULL, -EPERM, "sticky");
	assert_int_equal(access(fix->path, F_OK), -1);
	assert_int_equal(chmod(fix->dir.paths[0], 01777), 0);
	assert_int_equal(folder_claim(fix->path, NULL, &made), 0);
}

static void removal_follows_no_link(void **state)
{
	struct fixture *fix = *state;
	char file[300];

	snprintf(file, sizeof(file), "%s/precious", fix->other);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(fix->other, fix->path), 0);
	folder_remove(fix->path);
	assert_int_equal(access(file, F_OK), 0);
	if (!geteuid()) {
		assert_int_equal(chown(fix->other, 65534, 65534), 0);
		folder_remove(fix->other);
		assert_int_equal(access(file, F_OK), 0);
		assert_int_equal(chown(fix->other, 0, 0), 0);
	}
	folder_remove(fix->other);
	assert_int_equal(access(fix->other, F_OK), -1);
}

/* tiers/io.h: a file of the pool is no link. */
static void files_are_no_links(void **state)
{
	struct fixture *fix = *state;
	char file[300];
	int fd;

	snprintf(file, sizeof(file), "%s/precious", fix->other);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(file, fix->path), 0);
	assert_int_equal(io_open(fix->path, O_RDWR, 0), -ELOOP);
	assert_int_equal(io_open(fix->path, O_RDWR | O_CREAT | O_TRUNC, 0600), -ELOOP);
	fd = io_open(file, O_RDWR, 0);
	assert_true(fd >= 0);
	io_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(made_or_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(link_there, setup, teardown),
		cmocka_unit_test_setup_teardown(file_there, setup, teardown),
		cmocka_unit_test_setup_teardown(open_to_others, setup, teardown),
		cmocka_unit_test_setup_teardown(of_another_user, setup, teardown),
		cmocka_unit_test_setup_teardown(above_open_to_all, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_follows_no_link, setup, teardown),
		cmocka_unit_test_setup_teardown(files_are_no_links, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
