// SPDX-License-Identifier: Apache-2.0
/*
 * Requests of users to a mounted pool: any bytes written to .terrace/jobs/new, .terrace/policy and
 * the attributes user.terrace.*. Each is done or refused with one line of reason, and what the
 * files say afterwards is JSON. The pool stays open from input to input; jobs run.
 *
 * The first byte says where to: 0 jobs/new, 1 policy, 2 an attribute (the second byte says which).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <jansson.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pool *pool;
static struct fs *fs;
static uint64_t file_id, folder_id;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void finish(void)
{
	fs_close(fs);
	must(pool_close(pool) == 0);
}

static void make_pool(const char *dir)
{
	static struct pool_config config;
	struct pool_open_options options = {.no_background = true};
	char text[256], message[256], path[256];
	const char *const tiers[] = {"ram", "ssd", "hdd"};

	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%s/%s", dir, tiers[i]);
		must(mkdir(text, 0700) == 0);
	}
	snprintf(text, sizeof(text), "ram:path=%s/ram,size=16M", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	snprintf(text, sizeof(text), "ssd:path=%s/ssd,segment=4M", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	snprintf(text, sizeof(text), "hdd:path=%s/hdd,codec=zstd:1,segment=4M", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	must(config_finish(&config, message, sizeof(message)) == 0);
	snprintf(path, sizeof(path), "%s/pool.conf", dir);
	must(config_save_new(&config, path) == 0);
	config_release(&config);
	must(config_load(path, &config, message, sizeof(message)) == 0);
	config.threads = 1;
	must(!pool_create(&config) && !pool_open(&config, &options, &pool));
	must(!fs_open(pool, "/mnt", &fs));
}

static void start(void)
{
	struct fs_cred cred = {.umask = 022};
	struct inode *inode;
	struct stat st;

	fix_quiet();
	make_pool(fix_folder_new());
	must(!fs_mkdir(fs, 1, "d", 0755, &cred, &st));
	folder_id = st.st_ino;
	must(!fs_create(fs, folder_id, "f", 0644, O_RDWR, &cred, &st, &inode));
	file_id = st.st_ino;
	must(!fs_write(fs, inode, "content", 7, 0, 0));
	fs_file_close(fs, inode, O_RDWR);
	must(!pool_sync(pool));
	atexit(finish);
}

/* The whole file as JSON, with its error, if that is what it says, checked. */
static json_t *read_json(struct control_file *file)
{
	static char text[4 << 20];
	size_t len = 0, got;
	const char *error;
	json_t *json;

	do {
		must(!control_read(file, text + len, sizeof(text) - len, len, &got));
		len += got;
	} while (got);
	json = json_loadb(text, len, 0, NULL);
	assert(json);
	error = json_string_value(json_object_get(json, "error"));
	for (; error && *error; error++)
		assert((unsigned char)*error >= 0x20 && *error != 0x7f);
	return json;
}

/* So that the queue does not fill up. */
static void cancel(json_int_t number)
{
	struct control_file *file;
	char name[24];
	struct stat jobs, st;
	json_t *json;

	snprintf(name, sizeof(name), "%lld", (long long)number);
	must(!control_lookup(fs->control, CONTROL_BASE, "jobs", &jobs));
	if (control_lookup(fs->control, jobs.st_ino, name, &st))
		return;
	must(!control_open(fs->control, st.st_ino, O_RDWR, &file));
	json = read_json(file);
	json_decref(json);
	must(!control_write(file, "cancel\n", 7));
	control_close(file);
}

static void write_control(const char *folder, const char *name, const uint8_t *data, size_t size)
{
	struct control_file *file;
	struct stat above = {.st_ino = CONTROL_BASE}, st;
	json_t *json;
	int rc;

	if (folder)
		must(!control_lookup(fs->control, CONTROL_BASE, folder, &above));
	must(!control_lookup(fs->control, above.st_ino, name, &st));
	must(!control_open(fs->control, st.st_ino, O_RDWR, &file));
	rc = control_write(file, data, size);
	json = read_json(file);
	assert((rc != 0) == (json_object_get(json, "error") != NULL));
	if (rc == 0 && folder)
		cancel(json_integer_value(json_object_get(json, "job")));
	json_decref(json);
	control_close(file);
}

static void set_attribute(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"pin", "codec", "state", "tier", "effective.pin", "x"};
	struct fs_cred cred = {.umask = 022};
	char name[64], value[256];
	size_t len;
	uint64_t id = data[0] & 1 ? folder_id : file_id;

	snprintf(name, sizeof(name), "user.terrace.%s", names[(data[0] >> 1) % 6]);
	if (fs_setxattr(fs, id, name, data + 1, size - 1, 0, &cred) == 0) {
		must(!fs_getxattr(fs, id, name, value, sizeof(value), &len));
		must(!fs_removexattr(fs, id, name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return -1;
	if (!fs)
		start();
	if (data[0] % 3 == 0)
		write_control("jobs", "new", data + 1, size - 1);
	else if (data[0] % 3 == 1)
		write_control(NULL, "policy", data + 1, size - 1);
	else
		set_attribute(data + 1, size - 1);
	return 0;
}
