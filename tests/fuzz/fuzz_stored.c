// SPDX-License-Identifier: Apache-2.0
/*
 * What fs/ keeps beside files, as the metadata may hold it: records and requests of jobs, and pins,
 * codecs and states of files and folders. Any bytes: the filesystem opens or says why not, what it
 * has taken up is shown as JSON and as text, and goes on through a second opening. Jobs run.
 *
 * The input is records, each: what (0 a job's record, 1 a part of its request, 2 settings, 3 any
 * key with the prefix of these), the number, a version, a length (2 bytes), the bytes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <jansson.h>

#include "compress/bytes.h"
#include "fs/control.h"
#include "fs/fs.h"
#include "fs/policy.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 16u

static struct pool *pool;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void start(void)
{
	static struct pool_config config;
	struct pool_open_options options = {.no_background = true};
	const char *dir = fix_folder_new(), *const tiers[] = {"ram", "ssd", "hdd"};
	char text[256], message[256];

	fix_quiet();
	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%s/%s", dir, tiers[i]);
		must(mkdir(text, 0700) == 0);
		snprintf(text, sizeof(text),
			 i ? "%s:path=%s/%s,segment=4M" : "%s:path=%s/%s,size=16M", tiers[i], dir,
			 tiers[i]);
		must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	}
	must(config_finish(&config, message, sizeof(message)) == 0);
	config.threads = 1;
	config.journal_bytes = 1 << 20;
	must(!pool_create(&config) && !pool_open(&config, &options, &pool));
}

/* Also from the last input. */
static void forget(const char *prefix)
{
	struct meta_batch *batch;
	struct meta_cursor *cursor;
	struct meta_item item;

	must(!meta_batch_new(&batch));
	must(!meta_cursor_open(pool_meta(pool), prefix, strlen(prefix), NULL, 0, &cursor));
	while (!meta_cursor_next(cursor, &item))
		must(!meta_batch_del(batch, item.key, item.key_len));
	meta_cursor_close(cursor);
	if (!meta_batch_empty(batch))
		must(!meta_apply(pool_meta(pool), batch, NULL));
	meta_batch_free(batch);
}

static size_t make_key(uint8_t key[static 64], unsigned what, uint64_t number, struct input *input)
{
	size_t len = (size_t)snprintf((char *)key, 64, "P%s", what == 2 ? "fs.policy." : "fs.job.");

	if (what == 3) {
		size_t n;
		const uint8_t *bytes = input_bytes(input, input_u8(input) % 24, &n);

		memcpy(key + len, bytes, n);
		return len + n;
	}
	put_be64(key + len, number);
	if (what == 2)
		return len + 8;
	key[len + 8] = 0;
	key[len + 9] = what == 1;
	return len + 10;
}

static void put_record(struct input *input, struct meta_batch *batch)
{
	unsigned what = input_u8(input) % 4;
	uint64_t number = input_u8(input);
	uint8_t key[64], *value, version = input_u8(input);
	size_t key_len = make_key(key, what, number, input), len;
	const uint8_t *bytes = input_bytes(input, input_u16(input), &len);

	value = malloc(1 + len);
	must(value);
	value[0] = version;
	memcpy(value + 1, bytes, len);
	(void)meta_batch_put(batch, key, key_len, value, 1 + len);
	free(value);
}

/* A file of .terrace as JSON. */
static void check_json(struct fs *fs, uint64_t folder, const char *name)
{
	static char text[1 << 20];
	struct control_file *file;
	struct stat st;
	size_t len = 0, got;
	json_t *json;

	if (control_lookup(fs->control, folder, name, &st) ||
	    control_open(fs->control, st.st_ino, O_RDONLY, &file))
		return;
	do {
		must(!control_read(file, text + len, sizeof(text) - len, len, &got));
		len += got;
	} while (got && len < sizeof(text));
	control_close(file);
	json = json_loadb(text, len, JSON_DECODE_ANY, NULL);
	assert(json);
	json_decref(json);
}

static int each_setting(void *arg, const struct policy_item *item)
{
	unsigned *n = arg;

	for (unsigned kind = 0; kind < POLICY_KINDS; kind++)
		assert(memchr(item->text[kind], '\0', POLICY_TEXT_MAX));
	return ++*n > 256;
}

static void look(struct fs *fs)
{
	static char value[4096];
	struct object_policy policy;
	struct stat jobs;
	char name[24];
	unsigned n = 0;
	size_t len;

	must(!control_lookup(fs->control, CONTROL_BASE, "jobs", &jobs));
	for (unsigned number = 0; number < 256; number++) {
		snprintf(name, sizeof(name), "%u", number);
		check_json(fs, jobs.st_ino, name);
	}
	check_json(fs, CONTROL_BASE, "pins");
	(void)policy_each(fs->policy, each_setting, &n);
	policy_effective(fs->policy, 1, 0, &policy);
	(void)fs_getxattr(fs, 1, "user.terrace.effective.pin", value, sizeof(value), &len);
	(void)fs_getxattr(fs, 1, "user.terrace.job", value, sizeof(value), &len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct meta_batch *batch;
	struct fs *fs;

	if (!pool)
		start();
	must(!meta_batch_new(&batch));
	for (unsigned i = 0; input.left && i < RECORDS_MAX; i++)
		put_record(&input, batch);
	if (!meta_batch_empty(batch))
		(void)meta_apply(pool_meta(pool), batch, NULL);
	meta_batch_free(batch);
	for (unsigned i = 0; i < 2 && !fs_open(pool, "/mnt", &fs); i++) {
		look(fs);
		fs_close(fs);
	}
	forget("Pfs.job.");
	forget("Pfs.policy.");
	return 0;
}
