// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fs/inode.h"

#define NAMES_MAX 2000

int fix_fs_setup(void **state)
{
	struct fix_fs *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	fix->cred = (struct fs_cred){.umask = 022};
	fix_pool_new(&fix->pool, 64 << 20, false);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
	*state = fix;
	return 0;
}

int fix_fs_teardown(void **state)
{
	struct fix_fs *fix = *state;

	fs_close(fix->fs);
	fix_pool_verify(&fix->pool);
	fix_pool_free(&fix->pool);
	free(fix);
	return 0;
}

void fix_fs_crash(struct fix_fs *fix)
{
	fs_close(fix->fs);
	fix_pool_crash(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

void fix_fs_power(struct fix_fs *fix)
{
	fs_close(fix->fs);
	fix_pool_power(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

void fix_fs_remount(struct fix_fs *fix)
{
	fs_close(fix->fs);
	fix_pool_close(&fix->pool);
	fix_pool_open(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

uint64_t fix_file(struct fix_fs *fix, uint64_t parent, const char *name, const char *content)
{
	struct inode *inode;
	struct stat st;

	assert_int_equal(fs_create(fix->fs, parent, name, 0666, O_RDWR, &fix->cred, &st, &inode),
			 0);
	assert_int_equal(fs_write(fix->fs, inode, content, strlen(content), 0, 0), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	return st.st_ino;
}

uint64_t fix_folder(struct fix_fs *fix, uint64_t parent, const char *name)
{
	struct stat st;

	assert_int_equal(fs_mkdir(fix->fs, parent, name, 0777, &fix->cred, &st), 0);
	return st.st_ino;
}

uint64_t fix_id(struct fix_fs *fix, uint64_t parent, const char *name)
{
	struct stat st;
	int r = fs_lookup(fix->fs, parent, name, &st);

	assert_true(!r || r == -ENOENT);
	return r ? 0 : st.st_ino;
}

struct stat fix_stat(struct fix_fs *fix, uint64_t id)
{
	struct stat st;

	assert_int_equal(fs_getattr(fix->fs, id, &st), 0);
	return st;
}

void fix_content(struct fix_fs *fix, uint64_t id, const char *content)
{
	struct inode *inode;
	char buf[4096];
	size_t got;

	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	assert_int_equal(fs_read(fix->fs, inode, buf, sizeof(buf), 0, &got), 0);
	fs_file_close(fix->fs, inode, O_RDONLY);
	assert_int_equal(got, strlen(content));
	assert_memory_equal(buf, content, got);
}

struct names {
	char *list[NAMES_MAX];
	size_t len;
	uint64_t next;
	bool resume;
};

static int add(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct names *names = arg;

	assert_true(next > names->next);
	names->next = next;
	if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
		assert_true(st->st_ino && names->len < NAMES_MAX);
		names->list[names->len++] = strdup(name);
	}
	return names->resume;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

const char *fix_list(struct fix_fs *fix, uint64_t id, bool resume)
{
	static char text[NAMES_MAX * 8];
	struct names *names = calloc(1, sizeof(*names));
	uint64_t before;

	assert_non_null(names);
	names->resume = resume;
	do {
		before = names->next;
		assert_int_equal(fs_readdir(fix->fs, id, before, true, add, names), 0);
	} while (resume && names->next != before);
	qsort(names->list, names->len, sizeof(names->list[0]), compare);
	*text = '\0';
	for (size_t i = 0; i < names->len; i++) {
		assert_true(strlen(text) + strlen(names->list[i]) + 2 < sizeof(text));
		strcat(strcat(text, *text ? " " : ""), names->list[i]);
		free(names->list[i]);
	}
	free(names);
	return text;
}
