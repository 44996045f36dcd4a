// SPDX-License-Identifier: Apache-2.0
/*
 * The two files that say whether a RAM folder is of the daemon before this one, with any bytes in
 * them: an opening uses the folder, moves it aside or refuses; what it used or renewed is used by
 * the next one, too.
 *
 * The first byte: bit 0 mends the checksum of the metadata's file, bit 1 that of the RAM folder's,
 * bit 2 gives the RAM folder something to be replayed. The second says how many of the bytes that
 * follow are the metadata's file; the others are the RAM folder's.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_LEN 64u /* terrace-format(5), SESSION */
#define SUM_AT	 56u

static const uint8_t uuid[16] = "fuzz the session";
static struct image *folders;
static char meta_dir[128], ram_dir[128], meta_file[192], ram_file[192], tail_file[192];

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void start(void)
{
	const char *dir = fix_folder_new();

	fix_quiet();
	snprintf(meta_dir, sizeof(meta_dir), "%s/meta", dir);
	snprintf(ram_dir, sizeof(ram_dir), "%s/ram", dir);
	snprintf(meta_file, sizeof(meta_file), "%s/metadata.session", meta_dir);
	snprintf(ram_file, sizeof(ram_file), "%s/session", ram_dir);
	snprintf(tail_file, sizeof(tail_file), "%s/journal.tail", ram_dir);
	must(!mkdir(meta_dir, 0700) && !mkdir(ram_dir, 0700));
	folders = image_take(dir);
}

static void put_file(const char *path, const uint8_t *bytes, size_t len, bool mend)
{
	uint8_t own[256];

	len = len < sizeof(own) ? len : sizeof(own);
	memcpy(own, bytes, len);
	if (mend && len >= FILE_LEN)
		put_le64(own + SUM_AT, checksum64(own, SUM_AT));
	fix_patch(path, own, len, 0);
}

/* A whole opening and the one after it. */
static void check_next(void)
{
	struct session *session;
	bool current = false;

	must(!session_look(meta_dir, ram_dir, uuid, &current));
	assert(current);
	must(!session_begin(&session, meta_dir, ram_dir, uuid));
	assert(access(ram_dir, F_OK) == 0);
	session_end(session, true);
	assert(access(meta_file, F_OK) != 0 && access(ram_file, F_OK) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session *session;
	bool current = false, aside;
	size_t first;
	int looked, rc;

	if (size < 2)
		return -1;
	if (!folders)
		start();
	image_put(folders);
	first = data[1] < size - 2 ? data[1] : size - 2;
	put_file(meta_file, data + 2, first, data[0] & 1);
	put_file(ram_file, data + 2 + first, size - 2 - first, data[0] & 2);
	if (data[0] & 4)
		fix_patch(tail_file, "something", 9, 0);
	looked = session_look(meta_dir, ram_dir, uuid, &current);
	rc = session_begin(&session, meta_dir, ram_dir, uuid);
	assert(looked == rc);
	if (rc)
		return 0;
	aside = data[0] & 4 && access(tail_file, F_OK) != 0;
	assert(aside == (data[0] & 4 && !current));
	must(!session_renew(session));
	session_end(session, false);
	if (access(ram_file, F_OK) == 0)
		check_next();
	return 0;
}
