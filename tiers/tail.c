// SPDX-License-Identifier: Apache-2.0
/*
 * The tail as chunks ("slots") of one mapped file on tmpfs.
 *
 * Invariants:
 *  1. A slot is fallocated before it is touched through the mapping, and only slots that nothing
 *     reads are punched: a full tmpfs is -EAGAIN, never SIGBUS.
 *  2. A slot's header names its place in the order (index) and its first record's seq. Slots in
 *     use have consecutive indexes; records have consecutive seqs, so whatever a reused slot still
 *     holds of its former life is recognised by its lower seq.
 *  3. A record counts when its checksum (over seq, length and operations) is right: appending one
 *     needs no order of stores, and a process killed in the middle leaves a record that does not
 *     count.
 *  4. A slot's header is wiped before the slot is punched or reused, so recovery never enters one
 *     that was given back.
 * Threads: see the header. `lock` guards the lists of slots; the appender alone owns write_slot and
 * write_off, the reader alone read_seq and read_off.
 */
#include "tiers/tail.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define TAIL_MAGIC	"TERRTAIL"
#define SLOT_MAGIC	"TERRSLOT"
#define TAIL_VERSION	1u
#define TAIL_HEADER_LEN 4096u
#define SLOT_HEADER_LEN 32u
#define CHUNK_BYTES	(2u << 20)
#define SLOTS_KEPT	2u /* stay reserved, so that a full tmpfs slows the store, not stops it */
#define SLOTS_KEPT_MAX	8u /* as many as were in use lately, up to this, too: see keep_locked() */
#define SLOTS_MAX	65536u
#define NO_SLOT		UINT32_MAX

enum slot_state { SLOT_HOLE, SLOT_FREE, SLOT_USED };

struct slot {
	enum slot_state state;
	uint64_t index;
	uint64_t first_seq;
};

struct tail {
	char path[4096];
	uint8_t uuid[16];
	int fd;
	bool look; /* nothing may change */
	uint8_t *map;
	size_t map_len;
	uint32_t nslots;
	pthread_mutex_t lock; /* guards slots, order, first, count, lately */
	struct slot *slots;
	uint32_t *order; /* ring of slots in use, oldest at `first` */
	uint32_t first, count;
	uint32_t lately; /* most of count; sinks with each tail_drop() */
	uint64_t next_index;
	uint32_t write_slot; /* the newest; NO_SLOT before the first */
	size_t write_off;    /* in it */
	uint64_t read_seq;   /* last dropped */
	size_t read_off;     /* in the oldest slot: behind read_seq's record */
	_Atomic uint64_t bytes;
};

size_t record_size(size_t len)
{
	return (RECORD_HEADER_LEN + len + 7) & ~(size_t)7;
}

void record_encode(void *room, uint64_t seq, const void *ops, size_t len)
{
	uint8_t *p = room;

	put_le64(p, checksum64_seed(ops, len, seq));
	put_le64(p + 8, seq);
	put_le32(p + 16, (uint32_t)len);
	put_le32(p + 20, 0);
	memcpy(p + RECORD_HEADER_LEN, ops, len);
	memset(p + RECORD_HEADER_LEN + len, 0, record_size(len) - RECORD_HEADER_LEN - len);
}

int record_decode(const void *buf, size_t cap, uint64_t *seq, const void **ops, size_t *len)
{
	const uint8_t *p = buf;

	if (cap < RECORD_HEADER_LEN)
		return -EBADMSG;
	*seq = get_le64(p + 8);
	*len = get_le32(p + 16);
	*ops = p + RECORD_HEADER_LEN;
	if (get_le32(p + 20) || *len == 0 || record_size(*len) > cap)
		return -EBADMSG;
	return checksum64_seed(*ops, *len, *seq) == get_le64(p) ? 0 : -EBADMSG;
}

/* The boot's uuid as 16 bytes. Not through the io seam: /proc is no medium. */
static int boot_id(uint8_t id[16])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	size_t i, n = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (i = 0; got > 0 && i < (size_t)got && n < 16; i++) {
		unsigned byte;

		if (text[i] == '-')
			continue;
		if (sscanf(text + i, "%2x", &byte) != 1)
			break;
		id[n++] = (uint8_t)byte;
		i++;
	}
	return n == 16 ? 0 : -EIO;
}

static uint64_t slot_file_off(uint32_t slot)
{
	return TAIL_HEADER_LEN + (uint64_t)slot * CHUNK_BYTES;
}

static uint8_t *slot_map(const struct tail *tail, uint32_t slot)
{
	return tail->map + slot_file_off(slot);
}

/* Written once, before the file gets its name; nothing in it changes afterwards. */
static int header_write(struct tail *tail, const uint8_t boot[16])
{
	uint8_t header[TAIL_HEADER_LEN] = {0};

	memcpy(header, TAIL_MAGIC, 8);
	put_le32(header + 8, TAIL_VERSION);
	put_le32(header + 12, CHUNK_BYTES);
	memcpy(header + 40, tail->uuid, 16);
	memcpy(header + 56, boot, 16);
	put_le32(header + 72, tail->nslots);
	put_le64(header + 80, checksum64(header, 80));
	return io_pwrite_all(tail->fd, header, sizeof(header), 0);
}

/* 0: ours and of this boot; -ESTALE: of another boot. */
static int header_check(struct tail *tail, const uint8_t boot[16])
{
	uint8_t header[TAIL_HEADER_LEN];
	struct stat st;
	int rc = io_pread_all(tail->fd, header, sizeof(header), 0);

	if (rc && rc != -ENODATA)
		return rc;
	if (rc || memcmp(header, TAIL_MAGIC, 8) || get_le64(header + 80) != checksum64(header, 80))
		goto damaged;
	if (memcmp(header + 40, tail->uuid, 16)) {
		log_error("%s: belongs to another pool; give each pool its own folder", tail->path);
		return -ENOTUNIQ;
	}
	if (memcmp(header + 56, boot, 16))
		return -ESTALE;
	if (get_le32(header + 8) != TAIL_VERSION || get_le64(header + 16) ||
	    get_le64(header + 24)) {
		log_error("%s: written by a newer version; unmount with that one first",
			  tail->path);
		return -ENOTSUP;
	}
	tail->nslots = get_le32(header + 72);
	rc = io_stat(tail->fd, &st);
	if (rc)
		return rc;
	if (get_le32(header + 12) == CHUNK_BYTES && tail->nslots >= SLOTS_KEPT &&
	    tail->nslots <= SLOTS_MAX && (uint64_t)st.st_size == slot_file_off(tail->nslots))
		return 0;
damaged:
	log_error("%s: damaged header; remove the file to go on with what is on the medium, as "
		  "after a power loss",
		  tail->path);
	return -EUCLEAN;
}

/* Under another name first: a tail that has its name has its header. */
static int file_create(struct tail *tail, const uint8_t boot[16])
{
	char fresh[sizeof(tail->path) + 8];
	int rc;

	snprintf(fresh, sizeof(fresh), "%s.new", tail->path);
	tail->fd = io_open(fresh, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (tail->fd < 0) {
		log_error("%s: %s", fresh, strerror(-tail->fd));
		return tail->fd;
	}
	rc = io_allocate(tail->fd, 0, slot_file_off(SLOTS_KEPT), 0);
	if (!rc)
		rc = io_truncate(tail->fd, slot_file_off(tail->nslots));
	if (!rc)
		rc = header_write(tail, boot);
	if (!rc)
		rc = io_rename(fresh, tail->path);
	if (rc) {
		log_error("%s: %s", fresh, strerror(-rc));
		io_remove(fresh);
	}
	return rc;
}

/* All slots at once: address space is cheap, and records never move. Holes are not touched. */
static int file_map(struct tail *tail)
{
	tail->map_len = slot_file_off(tail->nslots);
	tail->map = mmap(NULL, tail->map_len, tail->look ? PROT_READ : PROT_READ | PROT_WRITE,
			 MAP_SHARED, tail->fd, 0);
	if (tail->map == MAP_FAILED) {
		tail->map = NULL;
		log_error("%s: mmap: %s", tail->path, strerror(errno));
		return -errno;
	}
	tail->slots = calloc(tail->nslots, sizeof(*tail->slots));
	tail->order = calloc(tail->nslots, sizeof(*tail->order));
	return tail->slots && tail->order ? 0 : -ENOMEM;
}

/* Which slots hold records; the rest goes back to the system, for nobody knows what it holds. */
static int slots_load(struct tail *tail)
{
	uint32_t i, j;

	for (i = 0; i < tail->nslots; i++) {
		uint8_t header[SLOT_HEADER_LEN];
		struct slot *slot = &tail->slots[i];
		/* By pread: a read fault in a hole would make tmpfs allocate, or fail with SIGBUS.
		 */
		int rc = io_pread_all(tail->fd, header, sizeof(header), slot_file_off(i));

		if (rc)
			return rc;
		if (memcmp(header, SLOT_MAGIC, 8) ||
		    get_le64(header + 24) != checksum64(header, 24)) {
			if (i >= SLOTS_KEPT && !tail->look)
				io_allocate(tail->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    CHUNK_BYTES, slot_file_off(i));
			continue;
		}
		slot->state = SLOT_USED;
		slot->index = get_le64(header + 8);
		slot->first_seq = get_le64(header + 16);
		for (j = tail->count++; j && tail->slots[tail->order[j - 1]].index > slot->index;
		     j--)
			tail->order[j] = tail->order[j - 1];
		tail->order[j] = i;
	}
	if (tail->count)
		tail->next_index = tail->slots[tail->order[tail->count - 1]].index + 1;
	return 0;
}

/* The two that are always there. */
static int slots_keep(struct tail *tail)
{
	uint32_t i;
	int rc;

	for (i = 0; i < SLOTS_KEPT; i++) {
		if (tail->slots[i].state != SLOT_HOLE)
			continue;
		rc = io_allocate(tail->fd, 0, CHUNK_BYTES, slot_file_off(i));
		if (rc) {
			log_error("%s: no room for the journal's tail: %s", tail->path,
				  strerror(-rc));
			return rc;
		}
		tail->slots[i].state = SLOT_FREE;
	}
	return 0;
}

/* Takes up what a dead process of this boot left, or begins a fresh tail. What belongs to another
 * pool or a newer program is never overwritten, not even by create. */
static int file_open(struct tail *tail, const struct tail_options *options, bool *found)
{
	uint8_t boot[16];
	uint32_t wanted = tail->nslots;
	int rc = boot_id(boot);

	if (rc) {
		log_error("/proc/sys/kernel/random/boot_id: %s", strerror(-rc));
		return rc;
	}
	tail->fd = io_open(tail->path, O_RDWR, 0);
	if (tail->fd < 0 && tail->fd != -ENOENT) {
		log_file_error(tail->path, tail->fd);
		return tail->fd;
	}
	if (tail->fd >= 0) {
		rc = header_check(tail, boot);
		*found = !rc && !options->create;
		if (*found)
			return 0;
		if (rc && rc != -ESTALE)
			return rc;
		io_close(tail->fd);
		tail->nslots = wanted;
	}
	tail->fd = -1;
	return file_create(tail, boot);
}

static int tail_new(struct tail **out, const struct tail_options *options)
{
	uint64_t slots = options->max_bytes / CHUNK_BYTES;
	struct tail *tail = calloc(1, sizeof(*tail));

	if (!tail)
		return -ENOMEM;
	tail->fd = -1;
	tail->write_slot = NO_SLOT;
	tail->nslots = (uint32_t)(slots < SLOTS_KEPT  ? SLOTS_KEPT
				  : slots > SLOTS_MAX ? SLOTS_MAX
						      : slots);
	memcpy(tail->uuid, options->pool_uuid, 16);
	pthread_mutex_init(&tail->lock, NULL);
	if ((size_t)snprintf(tail->path, sizeof(tail->path), "%s/journal.tail", options->dir) >=
	    sizeof(tail->path)) {
		tail_close(tail, false);
		return -ENAMETOOLONG;
	}
	*out = tail;
	return 0;
}

int tail_open(struct tail **out, const struct tail_options *options, bool *found)
{
	struct tail *tail;
	int rc = tail_new(&tail, options);

	*found = false;
	if (rc)
		return rc;
	rc = file_open(tail, options, found);
	if (!rc)
		rc = file_map(tail);
	if (!rc)
		rc = slots_load(tail);
	if (!rc)
		rc = slots_keep(tail);
	if (rc) {
		tail_close(tail, false);
		return rc;
	}
	*out = tail;
	return 0;
}

void tail_close(struct tail *tail, bool remove)
{
	if (!tail)
		return;
	if (remove)
		io_remove(tail->path);
	if (tail->map)
		munmap(tail->map, tail->map_len);
	if (tail->fd >= 0)
		io_close(tail->fd);
	pthread_mutex_destroy(&tail->lock);
	free(tail->slots);
	free(tail->order);
	free(tail);
}

/* The n-th slot in use, oldest first. The oldest is moved by the reader alone. */
static struct slot *slot_at(struct tail *tail, uint32_t n)
{
	return &tail->slots[tail->order[(tail->first + n) % tail->nslots]];
}

static uint32_t slot_number(struct tail *tail, const struct slot *slot)
{
	return (uint32_t)(slot - tail->slots);
}

static uint32_t free_locked(const struct tail *tail)
{
	uint32_t count = 0, i;

	for (i = 0; i < tail->nslots; i++)
		count += tail->slots[i].state == SLOT_FREE;
	return count;
}

/* How many free slots stay reserved: fresh memory of tmpfs costs several times what the records
 * do that go there, so who changes as much again finds the slots of last time. */
static uint32_t keep_locked(const struct tail *tail)
{
	uint32_t most = tail->lately < SLOTS_KEPT_MAX ? tail->lately : SLOTS_KEPT_MAX;

	return most > SLOTS_KEPT ? most : SLOTS_KEPT;
}

/* Its memory goes back to the system. Nobody takes a slot that is neither free nor a hole. */
static void slot_punch(struct tail *tail, struct slot *slot)
{
	io_allocate(tail->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CHUNK_BYTES,
		    slot_file_off(slot_number(tail, slot)));
	pthread_mutex_lock(&tail->lock);
	slot->state = SLOT_HOLE;
	pthread_mutex_unlock(&tail->lock);
}

/* Gives the oldest slot back. */
static void slot_release(struct tail *tail)
{
	struct slot *slot = slot_at(tail, 0);
	bool kept;

	memset(slot_map(tail, slot_number(tail, slot)), 0, SLOT_HEADER_LEN);
	pthread_mutex_lock(&tail->lock);
	kept = free_locked(tail) < keep_locked(tail);
	tail->first = (tail->first + 1) % tail->nslots;
	tail->count--;
	if (kept)
		slot->state = SLOT_FREE;
	pthread_mutex_unlock(&tail->lock);
	if (!kept)
		slot_punch(tail, slot);
}

/* Slots that have not been needed for a while go one by one. */
static void slots_sink(struct tail *tail)
{
	struct slot *surplus = NULL;

	pthread_mutex_lock(&tail->lock);
	if (tail->lately > tail->count)
		tail->lately--;
	if (free_locked(tail) > keep_locked(tail)) {
		for (surplus = tail->slots; surplus->state != SLOT_FREE; surplus++)
			;
		surplus->state = SLOT_USED; /* by nobody: until it is punched */
	}
	pthread_mutex_unlock(&tail->lock);
	if (surplus)
		slot_punch(tail, surplus);
}

/* Walks one slot's records; *next_seq is the seq its first one must have. */
static int slot_replay(struct tail *tail, const struct slot *slot, uint64_t after,
		       uint64_t *next_seq,
		       int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg)
{
	const uint8_t *base = slot_map(tail, slot_number(tail, slot));
	size_t off = SLOT_HEADER_LEN, len;
	const void *ops;
	uint64_t seq;
	int rc;

	while (!record_decode(base + off, CHUNK_BYTES - off, &seq, &ops, &len) &&
	       seq == *next_seq) {
		size_t size = record_size(len);

		if (seq > after) {
			rc = each(arg, seq, ops, len);
			if (rc)
				return rc;
			atomic_fetch_add(&tail->bytes, size);
		}
		off += size;
		(*next_seq)++;
	}
	tail->write_slot = slot_number(tail, slot);
	tail->write_off = off;
	return 0;
}

/* Where the record behind (n, off) with this seq is: there, or at the next slot's beginning. */
static const uint8_t *record_at(struct tail *tail, uint32_t *n, size_t *off, uint64_t seq)
{
	const uint8_t *base;

	pthread_mutex_lock(&tail->lock);
	if (*n + 1 < tail->count && slot_at(tail, *n + 1)->first_seq == seq) {
		(*n)++;
		*off = SLOT_HEADER_LEN;
	}
	base = slot_map(tail, slot_number(tail, slot_at(tail, *n)));
	pthread_mutex_unlock(&tail->lock);
	return base + *off;
}

/* Puts the reader behind record `after`, and gives back the slots before it. */
static void read_skip(struct tail *tail, uint64_t after)
{
	uint64_t seq = tail->count ? slot_at(tail, 0)->first_seq : after + 1;
	uint32_t n = 0;

	for (; seq <= after; seq++) {
		const uint8_t *record = record_at(tail, &n, &tail->read_off, seq);

		tail->read_off += record_size(get_le32(record + 16));
	}
	while (n--)
		slot_release(tail);
}

/* All records from the oldest slot on. *next_seq: behind the last one. */
static int slots_replay(struct tail *tail, uint64_t after, uint64_t *next_seq,
			int (*each)(void *arg, uint64_t seq, const void *ops, size_t len),
			void *arg)
{
	uint32_t i;

	*next_seq = tail->count ? slot_at(tail, 0)->first_seq : after + 1;
	if (*next_seq > after + 1) {
		log_error("%s: begins at batch %llu, but the metadata on the medium ends at %llu: "
			  "the metadata folder is older than the tail. Put the newer folder back, "
			  "or remove the tail to go on with the older state",
			  tail->path, (unsigned long long)*next_seq, (unsigned long long)after);
		return -EUCLEAN;
	}
	for (i = 0; i < tail->count; i++) {
		struct slot *slot = slot_at(tail, i);
		int rc;

		if (slot->first_seq != *next_seq) {
			log_error("%s: batches %llu to %llu are damaged; remove the tail to go on "
				  "with what is on the medium",
				  tail->path, (unsigned long long)*next_seq,
				  (unsigned long long)slot->first_seq - 1);
			return -EUCLEAN;
		}
		rc = slot_replay(tail, slot, after, next_seq, each, arg);
		if (rc)
			return rc;
	}
	return 0;
}

int tail_replay(struct tail *tail, uint64_t after,
		int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg)
{
	uint64_t next_seq;
	int rc;

	tail->read_seq = after;
	tail->read_off = SLOT_HEADER_LEN;
	rc = slots_replay(tail, after, &next_seq, each, arg);
	if (rc)
		return rc;
	if (next_seq <= after) { /* nothing here continues what is on the medium */
		while (tail->count)
			slot_release(tail);
		tail->write_slot = NO_SLOT;
		return 0;
	}
	read_skip(tail, after);
	return 0;
}

int tail_look(const struct tail_options *options, uint64_t after,
	      int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
	      bool *found)
{
	struct tail *tail;
	uint64_t next_seq;
	uint8_t boot[16];
	int rc = tail_new(&tail, options);

	*found = false;
	if (rc)
		return rc;
	tail->look = true;
	rc = boot_id(boot);
	if (!rc)
		tail->fd = io_open(tail->path, O_RDONLY, 0);
	if (!rc && tail->fd < 0)
		rc = tail->fd;
	if (!rc)
		rc = header_check(tail, boot);
	if (!rc)
		rc = file_map(tail);
	if (!rc)
		rc = slots_load(tail);
	if (!rc)
		rc = slots_replay(tail, after, &next_seq, each, arg);
	tail_close(tail, false);
	*found = !rc;
	return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
}

/* Takes a slot for the records from seq on. The header comes later, with the first record. */
static int slot_take(struct tail *tail)
{
	uint32_t i, hole = UINT32_MAX;
	int rc = -EAGAIN;

	pthread_mutex_lock(&tail->lock);
	for (i = 0; i < tail->nslots; i++) {
		if (tail->slots[i].state == SLOT_FREE)
			break;
		if (tail->slots[i].state == SLOT_HOLE && hole == UINT32_MAX)
			hole = i;
	}
	if (i == tail->nslots && hole != UINT32_MAX &&
	    !io_allocate(tail->fd, 0, CHUNK_BYTES, slot_file_off(hole)))
		i = hole;
	if (i < tail->nslots) {
		tail->slots[i].state = SLOT_USED;
		tail->slots[i].index = tail->next_index++;
		tail->slots[i].first_seq = UINT64_MAX; /* until tail_append() */
		tail->order[(tail->first + tail->count++) % tail->nslots] = i;
		tail->lately = tail->lately > tail->count ? tail->lately : tail->count;
		tail->write_slot = i;
		tail->write_off = SLOT_HEADER_LEN;
		rc = 0;
	}
	pthread_mutex_unlock(&tail->lock);
	return rc;
}

/* Only the appender's own fields: the list's lock is taken once per slot, not once per record. */
int tail_reserve(struct tail *tail, size_t len)
{
	size_t size = record_size(len);

	if (size > CHUNK_BYTES - SLOT_HEADER_LEN)
		return -EINVAL;
	if (tail->write_slot != NO_SLOT && tail->write_off + size <= CHUNK_BYTES)
		return 0;
	return slot_take(tail);
}

/* The header vouches for the first record, so it comes after it. */
static void slot_begin(struct tail *tail, struct slot *slot, uint64_t seq)
{
	uint8_t *header = slot_map(tail, slot_number(tail, slot));

	pthread_mutex_lock(&tail->lock);
	slot->first_seq = seq;
	pthread_mutex_unlock(&tail->lock);
	put_le64(header + 8, slot->index);
	put_le64(header + 16, seq);
	memcpy(header, SLOT_MAGIC, 8);
	put_le64(header + 24, checksum64(header, 24));
}

void tail_append(struct tail *tail, uint64_t seq, const void *ops, size_t len)
{
	uint8_t *base = slot_map(tail, tail->write_slot);

	assert(tail->write_off + record_size(len) <= CHUNK_BYTES);
	record_encode(base + tail->write_off, seq, ops, len);
	if (tail->write_off == SLOT_HEADER_LEN)
		slot_begin(tail, &tail->slots[tail->write_slot], seq);
	tail->write_off += record_size(len);
	atomic_fetch_add_explicit(&tail->bytes, record_size(len), memory_order_relaxed);
}

int tail_read(struct tail *tail, uint64_t upto, int (*each)(void *arg, const void *buf, size_t len),
	      void *arg)
{
	size_t off = tail->read_off, run = 0;
	const uint8_t *start = NULL;
	uint64_t seq;
	uint32_t n = 0;
	int rc;

	for (seq = tail->read_seq + 1; seq <= upto; seq++) {
		const uint8_t *record = record_at(tail, &n, &off, seq);
		size_t size = record_size(get_le32(record + 16));

		assert(get_le64(record + 8) == seq);
		if (start && start + run != record) {
			rc = each(arg, start, run);
			if (rc)
				return rc;
			start = NULL;
		}
		if (!start) {
			start = record;
			run = 0;
		}
		run += size;
		off += size;
	}
	return start ? each(arg, start, run) : 0;
}

void tail_drop(struct tail *tail, uint64_t upto)
{
	uint64_t dropped = 0;
	uint32_t n = 0, i;

	for (; tail->read_seq < upto && atomic_load(&tail->bytes) > dropped; tail->read_seq++) {
		const uint8_t *record = record_at(tail, &n, &tail->read_off, tail->read_seq + 1);
		size_t size = record_size(get_le32(record + 16));

		tail->read_off += size;
		dropped += size;
	}
	atomic_fetch_sub(&tail->bytes, dropped);
	for (i = 0; i < n; i++)
		slot_release(tail);
	slots_sink(tail);
}

uint64_t tail_bytes(struct tail *tail)
{
	return atomic_load_explicit(&tail->bytes, memory_order_relaxed);
}
