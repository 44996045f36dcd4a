// SPDX-License-Identifier: Apache-2.0
/* Making a pool: labels in the directories, an empty metadata store, the root object. What was made
 * is taken back on error. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <dirent.h>
#include <unistd.h>

#include "tiers/folder.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/record_get.h"

void pool_tier_options(const struct pool_config *config, uint32_t t, struct tier_dir_options *out)
{
	const struct config_tier *tier = &config->tiers[t];
	uint64_t spare = 0;

	for (uint32_t i = tier->npaths - tier->nspares; i < tier->npaths; i++)
		spare |= (uint64_t)1 << i;
	*out = (struct tier_dir_options){.name = tier->name,
					 .pool_uuid = config->uuid,
					 .tier_id = t,
					 .paths = (const char *const *)tier->paths,
					 .npaths = tier->npaths,
					 .spare = spare,
					 .optional = tier->replicas > 1 ? UINT64_MAX : spare,
					 .quota_bytes = tier->size_percent ? 0 : tier->size_bytes,
					 .quota_percent =
						 tier->size_percent < 100 ? tier->size_percent : 0,
					 .delay_ns = tier->delay_ns,
					 .bandwidth = tier->bandwidth,
					 .direct = tier->direct};
}

static int put_first_records(struct meta *meta)
{
	struct object_record root = {0};
	struct pool_counts counts = {.objects = 1,
				     .object_ids = OBJECT_ID_ROOT + 1,
				     .frame_ids = 1,
				     .segment_ids = 1,
				     .log_epoch = 1};
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	struct meta_batch *batch;
	uint64_t seq;
	int rc = meta_batch_new(&batch);

	if (rc < 0)
		return rc;
	meta_batch_put(batch, key, key_1(key, KEY_OBJECT, OBJECT_ID_ROOT), value,
		       object_record_encode(&root, value));
	pool_counts_encode(&counts, value);
	meta_batch_put(batch, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, RECORD_COUNTS_LEN);
	rc = meta_apply(meta, batch, &seq);
	if (rc == 0)
		rc = meta_sync(meta, seq);
	meta_batch_free(batch);
	return rc;
}

/* The metadata store's files, and nobody else's: the folder may be one that the user has chosen. */
static bool is_metadata(const char *name)
{
	return !strncmp(name, "metadata.", 9) || !strncmp(name, "journal.", 8);
}

static bool has_metadata(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = is_metadata(entry->d_name);
	if (dir)
		closedir(dir);
	return found;
}

/* Removes the store's files, and the folder where it was made for them. */
static void remove_metadata(const char *path, bool made)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_metadata(entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	if (made)
		rmdir(path);
}

static int make_folder(const char *path, bool *made)
{
	*made = mkdir(path, 0700) == 0;
	return *made || errno == EEXIST ? 0 : -errno;
}

static int fill_meta(const struct meta_options *options)
{
	struct meta_recovery recovery;
	struct meta *meta;
	int closed, rc = meta_open_lmdb(&meta, options, &recovery);

	if (rc < 0)
		return rc;
	rc = put_first_records(meta);
	closed = meta_close(meta);
	return rc < 0 ? rc : closed;
}

static int create_meta(const struct pool_config *config)
{
	char *tail = pool_ram_dir(config);
	struct meta_options options = {.dir = config->meta_path,
				       .tail_dir = tail,
				       .pool_uuid = config->uuid,
				       .create = true};
	bool made = false, tail_made = false, ours;
	int rc = tail ? make_folder(config->meta_path, &made) : -ENOMEM;

	if (rc < 0)
		log_error("cannot make the metadata's folder %s: %s", config->meta_path,
			  strerror(-rc));
	else
		rc = folder_claim(tail, NULL, &tail_made);
	if (rc < 0) {
		if (made)
			rmdir(config->meta_path);
		free(tail);
		return rc;
	}
	ours = !has_metadata(config->meta_path); /* else another pool's, and refused */
	rc = fill_meta(&options);
	if (rc < 0 && ours)
		remove_metadata(config->meta_path, made);
	remove_metadata(tail, tail_made);
	free(tail);
	return rc;
}

int pool_create(const struct pool_config *config)
{
	struct tier_dir_options options;
	uint32_t made = 1;
	int rc = ram_tier_check(config);

	for (; made < config->ntiers && rc == 0; made++) {
		pool_tier_options(config, made, &options);
		rc = tier_dir_format(&options);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = create_meta(config);
	while (rc < 0 && --made >= 1) {
		pool_tier_options(config, made, &options);
		tier_dir_unformat(&options);
	}
	return rc;
}
