// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log's head: which pool and which boot the chunks beside it belong to. Written once, by
 * rename, when a log is begun; removed first when one is discarded. So a head vouches for all the
 * chunks, and chunks without a head are nobody's.
 *
 * Threads: one at a time per folder (open and close).
 */
#include "tiers/ramlog_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define HEAD_LEN       128u
#define HEAD_CHECKSUM  120u
#define HEAD_MAGIC     UINT64_C(0x474f4c5243525254) /* "TRRCRLOG" */
#define HEAD_VERSION   1u
#define HEAD_INCOMPAT  0u /* bits this program knows */
#define HEAD_RO_COMPAT 0u
#define HEAD_RESERVED  72u

#define UUID_LEN 16u

/* The path's memory is the caller's; NULL when there is none. */
static char *path_of(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int boot_id_read(uint8_t out[UUID_LEN])
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	char text[36];
	unsigned n = 0;
	int fd, err;

	fd = io_open(path, O_RDONLY, 0);
	err = fd < 0 ? fd : io_pread_all(fd, text, sizeof(text), 0);
	if (fd >= 0)
		io_close(fd);
	for (size_t i = 0; !err && i < sizeof(text) && n < 2 * UUID_LEN; i++) {
		const char digit[2] = {text[i], 0};
		char *end;
		unsigned long value = strtoul(digit, &end, 16);

		if (*end)
			continue; /* a dash */
		out[n / 2] = (uint8_t)(n % 2 ? out[n / 2] | value : value << 4);
		n++;
	}
	if (!err && n != 2 * UUID_LEN)
		err = -EUCLEAN;
	if (err)
		log_error("%s: %s: cannot tell this boot from another", path, strerror(-err));
	return err;
}

int ramlog_id_new(uint64_t *log_id)
{
	return getrandom(log_id, sizeof(*log_id), 0) == (ssize_t)sizeof(*log_id) ? 0 : -EIO;
}

int ramlog_head_write(const char *dir, const uint8_t *pool_uuid, uint64_t log_id)
{
	uint8_t head[HEAD_LEN] = {0};
	char *path = path_of(dir, "log.head");
	char *fresh = path_of(dir, "log.head.new");
	int fd = -1, err = -ENOMEM;

	if (!path || !fresh)
		goto out;
	err = boot_id_read(head + 48);
	if (err)
		goto out;
	put_le64(head, HEAD_MAGIC);
	put_le32(head + 8, HEAD_VERSION);
	put_le32(head + 12, RAMLOG_CHUNK_BYTES);
	put_le32(head + 16, HEAD_INCOMPAT);
	memcpy(head + 32, pool_uuid, UUID_LEN);
	put_le64(head + 64, log_id);
	put_le64(head + HEAD_CHECKSUM, checksum64(head, HEAD_CHECKSUM));
	fd = io_open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	err = fd < 0 ? fd : io_pwrite_all(fd, head, sizeof(head), 0);
	if (fd >= 0) {
		int closed = io_close(fd);

		err = err ? err : closed;
	}
	/* By rename: a head is there with all its bytes, or not at all. */
	if (!err)
		err = io_rename(fresh, path);
	if (err && fd >= 0)
		io_remove(fresh);
out:
	if (err)
		log_error("RAM log in %s: cannot write its head: %s", dir, strerror(-err));
	free(path);
	free(fresh);
	return err;
}

static int head_check(const uint8_t *head, const char *path, const uint8_t *pool_uuid)
{
	static const uint8_t zeros[HEAD_CHECKSUM - HEAD_RESERVED];
	uint8_t boot[UUID_LEN];
	bool known = get_le32(head + 8) == HEAD_VERSION &&
		     !(get_le32(head + 16) & ~HEAD_INCOMPAT) &&
		     !(get_le32(head + 20) & ~HEAD_RO_COMPAT) &&
		     get_le32(head + 12) == RAMLOG_CHUNK_BYTES;
	int err;

	if (get_le64(head) != HEAD_MAGIC ||
	    get_le64(head + HEAD_CHECKSUM) != checksum64(head, HEAD_CHECKSUM) ||
	    (known &&
	     (get_le32(head + 28) || memcmp(head + HEAD_RESERVED, zeros, sizeof(zeros)) != 0))) {
		log_error("%s: damaged, or not the head of a RAM log; what was written and not yet "
			  "flushed is in log.* beside it: save the folder, remove it and mount "
			  "again, without that",
			  path);
		return -EUCLEAN;
	}
	if (!known) {
		log_error("%s: written by a newer version (version %u, features %#x, %#x); mount "
			  "with that one and unmount cleanly",
			  path, get_le32(head + 8), get_le32(head + 16), get_le32(head + 20));
		return -ENOTSUP;
	}
	if (memcmp(head + 32, pool_uuid, UUID_LEN) != 0) {
		log_error("%s: belongs to another pool; give this one a folder of its own", path);
		return -ENOTUNIQ;
	}
	err = boot_id_read(boot);
	if (err)
		return err;
	return memcmp(head + 48, boot, UUID_LEN) == 0 ? 0 : -ESTALE;
}

int ramlog_head_read(const char *dir, const uint8_t *pool_uuid, uint64_t *log_id)
{
	uint8_t head[HEAD_LEN];
	char *path = path_of(dir, "log.head");
	int fd, err;

	if (!path)
		return -ENOMEM;
	fd = io_open(path, O_RDONLY, 0);
	err = fd < 0 ? fd : io_pread_all(fd, head, sizeof(head), 0);
	if (fd >= 0)
		io_close(fd);
	if (err == -ENODATA) {
		memset(head, 0, sizeof(head)); /* too short: what the check calls damaged */
		err = 0;
	}
	if (err == 0) {
		err = head_check(head, path, pool_uuid);
		*log_id = get_le64(head + 64);
	} else if (err != -ENOENT) {
		log_file_error(path, err);
	}
	free(path);
	return err;
}

int ramlog_head_remove(const char *dir)
{
	char *path = path_of(dir, "log.head");
	int err = path ? io_remove(path) : -ENOMEM;

	free(path);
	return err == -ENOENT ? 0 : err;
}
