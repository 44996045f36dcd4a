// SPDX-License-Identifier: Apache-2.0
#include "tiers/ram_look.h"

#include <errno.h>
#include <stdlib.h>

#include "tiers/idmap.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/pool_impl.h"
#include "tiers/record_get.h"
#include "tiers/session.h"

struct ram_look {
	char *dir;
	struct ramlog *log; /* NULL: there is none */
	uint64_t epoch;
	struct idmap objects; /* id -> struct entry */
	uint64_t writes, bytes;
};

struct entry {
	struct object_record record; /* as the metadata has it */
	bool none; /* there is none, or it is plain: the log has only older things */
	struct ram_object object;
};

/* The rules. ----------------------------------------------------------------------------------- */

bool ram_record_valid(const struct ramlog_record *record)
{
	return record->off <= OBJECT_SIZE_MAX && record->len <= OBJECT_SIZE_MAX - record->off;
}

/* A clone's record is committed after its transaction: it is always shown. */
bool ram_record_shown(const struct ramlog_record *record, const struct object_record *object,
		      uint64_t epoch)
{
	return record->op == RAMLOG_CLONE ||
	       (object->log_epoch == epoch && record->pos <= object->log_pos);
}

uint64_t ram_record_size(const struct ramlog_record *record, uint64_t size)
{
	uint64_t end = record->off + record->len;

	if (record->op == RAMLOG_SIZE)
		return record->off;
	return record->op != RAMLOG_PUNCH && end > size ? end : size;
}

/* Opening. ------------------------------------------------------------------------------------- */

static int log_look(struct ram_look *look, const struct pool_config *config)
{
	struct ramlog_options options = {.dir = look->dir, .pool_uuid = config->uuid, .look = true};
	bool found;
	int rc = ramlog_open(&look->log, &options, &found);

	return rc == -ENOENT ? 0 : rc;
}

int ram_look_open(struct ram_look **out, const struct pool_config *config)
{
	struct ram_look *look = calloc(1, sizeof(*look));
	bool current = false;
	int rc = -ENOMEM;

	*out = NULL;
	if (look) {
		idmap_init(&look->objects);
		look->dir = pool_ram_dir(config);
	}
	if (look && look->dir)
		rc = session_look(config->meta_path, look->dir, config->uuid, &current);
	if (rc == 0 && current)
		rc = log_look(look, config);
	if (rc == 0 && current)
		*out = look;
	else
		ram_look_close(look);
	return rc;
}

static void release_nothing(void *arg, uint64_t pos, uint64_t bytes)
{
	(void)arg;
	(void)pos;
	(void)bytes;
}

static const struct dirty_sink no_sink = {.released = release_nothing};

void ram_look_close(struct ram_look *look)
{
	struct entry *entry;
	size_t at = 0;

	if (!look)
		return;
	while ((entry = idmap_each(&look->objects, &at))) {
		dirty_release(&entry->object.ranges, &no_sink);
		free(entry);
	}
	idmap_release(&look->objects);
	ramlog_close(look->log, false);
	free(look->dir);
	free(look);
}

const char *ram_look_dir(const struct ram_look *look)
{
	return look->dir;
}

bool ram_look_has_log(const struct ram_look *look)
{
	return look->log;
}

/* Replaying. ----------------------------------------------------------------------------------- */

static int epoch_read(struct ram_look *look, struct meta *meta)
{
	struct pool_counts counts;
	int rc = pool_counts_get(meta, &counts);

	if (rc == 0)
		look->epoch = counts.log_epoch;
	return rc == -ENOENT ? -EUCLEAN : rc;
}

static int entry_get(struct ram_look *look, struct meta *meta, uint64_t id, struct entry **out)
{
	struct entry *entry = idmap_get(&look->objects, id);
	int rc;

	*out = entry;
	if (entry)
		return 0;
	if (!id) /* no program makes it; a mount finds no such object either */
		return -ENOENT;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	dirty_init(&entry->object.ranges);
	rc = object_record_get(meta, id, &entry->record);
	entry->none = rc == -ENOENT || entry->record.plain.set;
	entry->object.size = entry->record.size;
	entry->object.write_time = entry->record.write_time;
	if (rc == 0 || rc == -ENOENT)
		rc = idmap_put(&look->objects, id, entry);
	if (rc < 0)
		free(entry);
	else
		*out = entry;
	return rc;
}

/* Returns the bytes of the write. */
static uint64_t entry_change(struct entry *entry, const struct ramlog_record *record,
			     uint64_t epoch)
{
	struct dirty_map *ranges = &entry->object.ranges;
	uint64_t len = record->op == RAMLOG_SIZE ? OBJECT_SIZE_MAX - record->off : record->len;

	entry->object.size = ram_record_size(record, entry->object.size);
	if (record->time_ns > entry->object.write_time)
		entry->object.write_time = record->time_ns;
	if (!len)
		return 0;
	if (record->op == RAMLOG_WRITE || !ram_record_shown(record, &entry->record, epoch))
		dirty_insert(ranges, record->off, len, record->data, record->pos, &no_sink);
	else
		dirty_remove(ranges, record->off, len, &no_sink);
	return record->op == RAMLOG_WRITE ? len : 0;
}

static int replay(struct ram_look *look, struct meta *meta, const struct ramlog_record *record)
{
	struct entry *entry;
	uint64_t bytes;
	int rc;

	if (!ram_record_valid(record)) {
		log_error("%s: the RAM log has a change of object %llu beyond the largest file",
			  look->dir, (unsigned long long)record->object);
		return -EUCLEAN;
	}
	rc = entry_get(look, meta, record->object, &entry);
	if (rc < 0 || entry->none)
		return rc == -ENOENT ? 0 : rc;
	rc = dirty_prepare(&entry->object.ranges);
	if (rc < 0)
		return rc;
	bytes = entry_change(entry, record, look->epoch);
	look->writes += bytes > 0;
	look->bytes += bytes;
	return 0;
}

int ram_look_replay(struct ram_look *look, struct meta *meta)
{
	struct ramlog_record record;
	uint64_t at = 0, next;
	int rc;

	if (!look->log)
		return 0;
	rc = epoch_read(look, meta);
	while (rc == 0 && ramlog_walk(look->log, at, &record, &next) == 0) {
		rc = replay(look, meta, &record);
		at = next;
	}
	return rc;
}

void ram_look_count(const struct ram_look *look, uint64_t *writes, uint64_t *bytes)
{
	*writes = look->writes;
	*bytes = look->bytes;
}

const struct ram_object *ram_look_object(const struct ram_look *look, uint64_t object)
{
	const struct entry *entry = idmap_get(&look->objects, object);

	return entry && !entry->none ? &entry->object : NULL;
}
