// SPDX-License-Identifier: Apache-2.0
/*
 * LMDB as the metadata's tree.
 *
 * Invariants:
 *  1. One database holds the store's keys and one reserved key, longer than META_KEY_MAX allows, so
 *     it can be nobody's: the state record (terrace-format(5)).
 *  2. A checkpoint is cut into transactions of CHUNK_ITEMS, since LMDB keeps every page a
 *     transaction touches in memory (4 KiB for each random key: 600 MiB for a full memtable). The
 *     first sets to_seq, the last sets seq; in between the journal, durable up to to_seq, is what
 *     makes the state whole.
 *  3. Readers are renewed for one look and reset after it, so no reader keeps old pages from being
 *     used again.
 *  4. Blocks for what is to be written are allocated behind the file's end beforehand. LMDB takes
 *     pages from its free list first, so what is allocated is more than what is needed.
 * Threads: `lock` guards the pool of readers, `room_lock` the numbers of room.
 */
#include "tiers/meta_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/ahead.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/memtable.h"
#include "tiers/meta.h"
#include "tiers/meta_walk.h"

#define PAGE_BYTES     4096u
#define CHUNK_ITEMS    2048u
#define READERS_MAX    120u /* LMDB's table has 126 */
#define MAP_BYTES_MAX  ((size_t)1 << 40)
#define MAP_BYTES_MIN  ((size_t)1 << 30)
#define OVERFLOW_BYTES 2000u /* a key with its value beyond this gets pages of its own */
#define STEP_BYTES     ((uint64_t)8 << 20)
#define HEADROOM_BYTES ((uint64_t)4 << 20)
#define SPARE_PAGES    64u /* branches, the free list, the file's first pages */

#define STATE_KEY_LEN 300u
#define STATE_LEN     96u
#define STATE_MAGIC   "TERRMETA"
#define STATE_VERSION 1u

struct tree_read {
	struct tree *tree;
	struct tree_read *next;
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
};

struct tree {
	char path[4096];
	uint8_t uuid[16];
	MDB_env *env;
	MDB_dbi dbi;
	int fd; /* LMDB's */
	struct tree_state state;
	pthread_mutex_t lock; /* guards idle, nreaders */
	pthread_cond_t returned;
	struct tree_read *idle;
	struct tree_read *look; /* the one reader of tree_open_look(), never renewed */
	uint32_t nreaders;
	struct ahead ahead;	   /* the map is MDB_NORDAHEAD */
	pthread_mutex_t room_lock; /* guards what follows */
	uint64_t end;		   /* file bytes in use after the last tree_write() */
	uint64_t allocated;	   /* file bytes with blocks */
	bool no_allocate;
};

_Static_assert(STATE_KEY_LEN > META_KEY_MAX, "the reserved key must be out of the store's reach");

/* LMDB's errors as ours; logs all but "not there". A limit on file size is a full disk to us. */
static int tree_error(const struct tree *tree, const char *what, int rc)
{
	int error = -EIO;

	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		error = -ENOSPC;
		break;
	case ENOMEM:
		error = -ENOMEM;
		break;
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:
	case MDB_VERSION_MISMATCH:
		error = -EUCLEAN;
		break;
	default:
		if (rc > 0)
			error = -rc;
	}
	log_error("%s: %s: %s", tree->path, what, mdb_strerror(rc));
	return error;
}

uint32_t tree_value_sum(const void *key, size_t key_len, const void *value, size_t len)
{
	return (uint32_t)checksum64_seed(value, len, checksum64(key, key_len));
}

/* Checks and cuts off the checksum behind a stored value. */
static int value_check(const struct tree *tree, const MDB_val *key, const MDB_val *stored,
		       size_t *len)
{
	const uint8_t *bytes = stored->mv_data;
	const uint8_t *k = key->mv_data;

	if (stored->mv_size >= TREE_SUM_LEN) {
		*len = stored->mv_size - TREE_SUM_LEN;
		if (get_le32(bytes + *len) == tree_value_sum(k, key->mv_size, bytes, *len))
			return 0;
	}
	log_error("%s: the value of key '%c' %02x%02x%02x%02x%02x%02x%02x%02x (%zu bytes) is "
		  "damaged",
		  tree->path, k[0] >= ' ' && k[0] < 127 ? k[0] : '?', key->mv_size > 1 ? k[1] : 0,
		  key->mv_size > 2 ? k[2] : 0, key->mv_size > 3 ? k[3] : 0,
		  key->mv_size > 4 ? k[4] : 0, key->mv_size > 5 ? k[5] : 0,
		  key->mv_size > 6 ? k[6] : 0, key->mv_size > 7 ? k[7] : 0,
		  key->mv_size > 8 ? k[8] : 0, key->mv_size);
	return -EBADMSG;
}

/* The state record. ---------------------------------------------------------------------------- */

/* Sorts behind every other key, out of the way of walks. */
static void state_key(uint8_t key[STATE_KEY_LEN])
{
	memset(key, 0xff, STATE_KEY_LEN);
}

bool tree_state_is(const void *key, size_t key_len)
{
	uint8_t bytes[STATE_KEY_LEN];

	state_key(bytes);
	return key_len == sizeof(bytes) && !memcmp(key, bytes, sizeof(bytes));
}

bool tree_state_sound(const void *value, size_t len, bool *clean)
{
	const uint8_t *bytes = value;

	if (len != STATE_LEN || memcmp(bytes, STATE_MAGIC, 8) ||
	    get_le64(bytes + 88) != checksum64(bytes, 88))
		return false;
	*clean = bytes[72];
	return true;
}

/* In the same transaction as the batches it speaks of. */
static int state_put(struct tree *tree, MDB_txn *txn, const struct tree_state *state)
{
	uint8_t key_bytes[STATE_KEY_LEN], bytes[STATE_LEN] = {0};
	MDB_val key = {sizeof(key_bytes), key_bytes}, value = {sizeof(bytes), bytes};

	state_key(key_bytes);
	memcpy(bytes, STATE_MAGIC, 8);
	put_le32(bytes + 8, STATE_VERSION);
	memcpy(bytes + 40, tree->uuid, 16);
	put_le64(bytes + 56, state->seq);
	put_le64(bytes + 64, state->to_seq);
	bytes[72] = state->clean;
	put_le64(bytes + 88, checksum64(bytes, 88));
	return mdb_put(txn, tree->dbi, &key, &value, 0);
}

static int state_get(struct tree *tree, MDB_txn *txn, struct tree_state *state)
{
	uint8_t key_bytes[STATE_KEY_LEN];
	MDB_val key = {sizeof(key_bytes), key_bytes}, value;
	const uint8_t *bytes;
	bool clean;
	int rc;

	state_key(key_bytes);
	rc = mdb_get(txn, tree->dbi, &key, &value);
	if (rc)
		return rc == MDB_NOTFOUND ? -ENOENT : tree_error(tree, "state", rc);
	bytes = value.mv_data;
	if (!tree_state_sound(bytes, value.mv_size, &clean)) {
		log_error("%s: the state record is damaged; bring the metadata back from its "
			  "copies with `terrace restore-metadata POOL`",
			  tree->path);
		return -EUCLEAN;
	}
	if (memcmp(bytes + 40, tree->uuid, 16)) {
		log_error("%s: belongs to another pool", tree->path);
		return -ENOTUNIQ;
	}
	if (get_le32(bytes + 8) != STATE_VERSION || get_le64(bytes + 16) || get_le64(bytes + 24)) {
		log_error("%s: written by a newer version of Terrace", tree->path);
		return -ENOTSUP;
	}
	state->seq = get_le64(bytes + 56);
	state->to_seq = get_le64(bytes + 64);
	state->clean = clean;
	return 0;
}

/* Opening. ------------------------------------------------------------------------------------- */

/* The map is address space, not memory; where even that is short, a smaller one does. */
static int env_open(struct tree *tree, unsigned flags)
{
	size_t map = MAP_BYTES_MAX;
	char lock[sizeof(tree->path) + 8];
	int rc;

	snprintf(lock, sizeof(lock), "%s-lock", tree->path);
	if (!(flags & MDB_NOLOCK)) /* LMDB's own call may leave it to root */
		(void)io_touch(lock, true);
	for (;; map /= 2) {
		rc = mdb_env_create(&tree->env);
		if (rc)
			return rc;
		rc = mdb_env_set_mapsize(tree->env, map);
		if (!rc)
			rc = mdb_env_open(tree->env, tree->path, MDB_NOSUBDIR | MDB_NOTLS | flags,
					  0600);
		if (!rc)
			return 0;
		mdb_env_close(tree->env);
		tree->env = NULL;
		if (rc != ENOMEM || map <= MAP_BYTES_MIN)
			return rc;
	}
}

/* Pages behind this one have never been used. */
static uint64_t env_end(struct tree *tree)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(tree->env, &info) || mdb_env_stat(tree->env, &stat))
		return 0;
	return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

/* Opens the database, reads the state or makes it. */
static int state_open(struct tree *tree, bool create)
{
	MDB_txn *txn = NULL;
	int dead, rc;

	mdb_reader_check(tree->env, &dead);
	rc = mdb_txn_begin(tree->env, NULL, 0, &txn);
	if (!rc)
		rc = mdb_dbi_open(txn, NULL, 0, &tree->dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return tree_error(tree, "open", rc);
	}
	rc = state_get(tree, txn, &tree->state);
	if (rc == -ENOENT && create) {
		rc = tree_error(tree, "create", state_put(tree, txn, &tree->state));
		if (!rc)
			return tree_error(tree, "create", mdb_txn_commit(txn));
	} else if (rc == -ENOENT) {
		log_error("%s: never completely made; remove it and create the pool again",
			  tree->path);
		rc = -EUCLEAN;
	} else if (!rc && create) {
		rc = -EEXIST;
	}
	mdb_txn_abort(txn);
	return rc;
}

static int value_passed(void *arg, const void *key, size_t key_len)
{
	(void)arg;
	(void)key;
	(void)key_len;
	return 0;
}

static int tree_new(struct tree **out, const char *dir, const uint8_t *pool_uuid)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	pthread_mutex_init(&tree->lock, NULL);
	pthread_mutex_init(&tree->room_lock, NULL);
	pthread_cond_init(&tree->returned, NULL);
	memcpy(tree->uuid, pool_uuid, 16);
	if ((size_t)snprintf(tree->path, sizeof(tree->path), "%s/metadata.mdb", dir) >=
	    sizeof(tree->path) - 8) {
		tree_close(tree);
		return -ENAMETOOLONG;
	}
	*out = tree;
	return 0;
}

int tree_open(struct tree **out, const char *dir, const uint8_t *pool_uuid, bool create,
	      bool damaged_values, struct tree_state *state)
{
	struct tree *tree;
	int rc = tree_new(&tree, dir, pool_uuid);

	if (rc)
		return rc;
	rc = io_touch(tree->path, create);
	if (rc)
		log_file_error(tree->path, rc);
	if (!rc && !create)
		rc = damaged_values ? tree_walk_values(tree->path, value_passed, NULL, NULL)
				    : tree_walk(tree->path, TREE_WALK_ALWAYS_BYTES, NULL);
	if (!rc)
		rc = tree_error(tree, "open", env_open(tree, MDB_NORDAHEAD));
	if (!rc)
		rc = tree_error(tree, "open", mdb_env_get_fd(tree->env, &tree->fd));
	if (!rc)
		rc = state_open(tree, create);
	if (!rc && create)
		rc = io_sync_folder(dir);
	if (rc)
		goto out;
	tree->end = env_end(tree);
	tree->allocated = tree->end;
	*state = tree->state;
out:
	if (rc)
		tree_close(tree);
	else
		*out = tree;
	return rc;
}

void tree_close(struct tree *tree)
{
	struct tree_read *read, *next;

	if (!tree)
		return;
	if (tree->look) {
		tree->look->next = tree->idle;
		tree->idle = tree->look;
	}
	for (read = tree->idle; read; read = next) {
		next = read->next;
		mdb_cursor_close(read->cursor);
		mdb_txn_abort(read->txn);
		free(read);
	}
	if (tree->env)
		mdb_env_close(tree->env);
	pthread_mutex_destroy(&tree->lock);
	pthread_mutex_destroy(&tree->room_lock);
	pthread_cond_destroy(&tree->returned);
	free(tree);
}

/* Reading. ------------------------------------------------------------------------------------- */

/* A reader and its cursor are made once and renewed for each look: that takes no lock of LMDB. */
static int read_new(struct tree *tree, struct tree_read **out)
{
	struct tree_read *read = calloc(1, sizeof(*read));
	int rc;

	if (!read)
		return -ENOMEM;
	read->tree = tree;
	rc = mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &read->txn);
	if (!rc)
		rc = mdb_cursor_open(read->txn, tree->dbi, &read->cursor);
	if (rc) {
		mdb_txn_abort(read->txn);
		free(read);
		return tree_error(tree, "read", rc);
	}
	mdb_txn_reset(read->txn);
	*out = read;
	return 0;
}

/* The most recently used one, whose slot in LMDB's table is in the cache. */
static int read_take(struct tree *tree, struct tree_read **out)
{
	struct tree_read *read;
	int rc = 0;

	pthread_mutex_lock(&tree->lock);
	while (!tree->idle && tree->nreaders >= READERS_MAX)
		pthread_cond_wait(&tree->returned, &tree->lock);
	read = tree->idle;
	if (read)
		tree->idle = read->next;
	else
		tree->nreaders++;
	pthread_mutex_unlock(&tree->lock);
	if (!read) {
		rc = read_new(tree, &read);
		if (rc) {
			pthread_mutex_lock(&tree->lock);
			tree->nreaders--;
			pthread_cond_signal(&tree->returned);
			pthread_mutex_unlock(&tree->lock);
			return rc;
		}
	}
	*out = read;
	return 0;
}

static void read_return(struct tree_read *read)
{
	struct tree *tree = read->tree;

	pthread_mutex_lock(&tree->lock);
	read->next = tree->idle;
	tree->idle = read;
	pthread_cond_signal(&tree->returned);
	pthread_mutex_unlock(&tree->lock);
}

static int read_renew(struct tree *tree, struct tree_read **out)
{
	struct tree_read *read;
	int rc;

	if (tree->look) {
		*out = tree->look;
		return 0;
	}
	rc = read_take(tree, &read);
	if (rc)
		return rc;
	rc = mdb_txn_renew(read->txn);
	if (rc) {
		read_return(read);
		return tree_error(tree, "read", rc);
	}
	*out = read;
	return 0;
}

/* Reset, not aborted: the old state's pages are free for use from here on. */
void tree_read_end(struct tree_read *read)
{
	if (read == read->tree->look)
		return;
	mdb_txn_reset(read->txn);
	read_return(read);
}

/* The transaction that stays: what it saw first is all that is seen. */
static int look_begin(struct tree *tree)
{
	struct tree_read *read = calloc(1, sizeof(*read));
	int rc;

	if (!read)
		return -ENOMEM;
	read->tree = tree;
	rc = mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &read->txn);
	if (!rc)
		rc = mdb_dbi_open(read->txn, NULL, 0, &tree->dbi);
	if (!rc)
		rc = mdb_cursor_open(read->txn, tree->dbi, &read->cursor);
	if (rc) {
		mdb_txn_abort(read->txn);
		free(read);
		return tree_error(tree, "read", rc);
	}
	tree->look = read;
	rc = state_get(tree, read->txn, &tree->state);
	if (rc == -ENOENT) {
		log_error("%s: never completely made", tree->path);
		rc = -EUCLEAN;
	}
	return rc;
}

int tree_open_look(struct tree **out, const char *dir, const uint8_t *pool_uuid, bool live,
		   struct tree_state *state)
{
	struct tree *tree;
	int rc = tree_new(&tree, dir, pool_uuid);

	if (rc)
		return rc;
	rc = tree_error(tree, "open", env_open(tree, MDB_RDONLY | (live ? 0u : MDB_NOLOCK)));
	if (!rc)
		rc = look_begin(tree);
	if (rc) {
		tree_close(tree);
		return rc;
	}
	*state = tree->state;
	*out = tree;
	return 0;
}

int tree_get(struct tree *tree, const void *key, size_t key_len, void *buf, size_t cap, size_t *len)
{
	MDB_val k = {key_len, (void *)(uintptr_t)key}, v;
	struct tree_read *read;
	int rc = read_renew(tree, &read);

	if (rc)
		return rc;
	rc = mdb_get(read->txn, tree->dbi, &k, &v);
	if (rc) {
		rc = tree_error(tree, "get", rc);
		goto out;
	}
	ahead_look(&tree->ahead, v.mv_data);
	rc = value_check(tree, &k, &v, len);
	if (!rc && *len > cap)
		rc = -ERANGE;
	if (!rc)
		memcpy(buf, v.mv_data, *len);
out:
	tree_read_end(read);
	return rc;
}

int tree_read_begin(struct tree *tree, struct tree_read **out)
{
	int rc = read_renew(tree, out);

	if (rc)
		return rc;
	rc = mdb_cursor_renew((*out)->txn, (*out)->cursor);
	if (rc)
		tree_read_end(*out);
	return tree_error(tree, "cursor", rc);
}

static int cursor_step(struct tree_read *read, MDB_cursor_op op, const uint8_t **found,
		       size_t *found_len)
{
	int rc = mdb_cursor_get(read->cursor, &read->key, &read->value, op);

	if (rc)
		return tree_error(read->tree, "cursor", rc);
	ahead_look(&read->tree->ahead, read->key.mv_data);
	*found = read->key.mv_data;
	*found_len = read->key.mv_size;
	/* The state record: the last key there can be, but for longer ones, and there are none. */
	return *found_len > META_KEY_MAX ? cursor_step(read, MDB_NEXT, found, found_len) : 0;
}

int tree_read_seek(struct tree_read *read, const void *key, size_t key_len, bool after,
		   const uint8_t **found, size_t *found_len)
{
	int rc;

	if (!key_len) /* LMDB has no empty key to seek */
		return cursor_step(read, MDB_FIRST, found, found_len);
	read->key = (MDB_val){key_len, (void *)(uintptr_t)key};
	rc = cursor_step(read, MDB_SET_RANGE, found, found_len);
	if (!rc && after && *found_len == key_len && !memcmp(*found, key, key_len))
		rc = cursor_step(read, MDB_NEXT, found, found_len);
	return rc;
}

int tree_read_next(struct tree_read *read, const uint8_t **found, size_t *found_len)
{
	return cursor_step(read, MDB_NEXT, found, found_len);
}

int tree_read_value(struct tree_read *read, const uint8_t **value, size_t *len)
{
	*value = read->value.mv_data;
	return value_check(read->tree, &read->key, &read->value, len);
}

/* Writing. ------------------------------------------------------------------------------------- */

/* MDB_RESERVE: value and checksum are put straight into the page. */
static int item_write(struct tree *tree, MDB_txn *txn, const struct memtable_view *view)
{
	MDB_val key = {view->key_len, (void *)(uintptr_t)view->key};
	MDB_val value = {view->len + TREE_SUM_LEN, NULL};
	uint8_t *room;
	int rc;

	if (!view->value) {
		rc = mdb_del(txn, tree->dbi, &key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	rc = mdb_put(txn, tree->dbi, &key, &value, MDB_RESERVE);
	if (rc)
		return rc;
	room = value.mv_data;
	memcpy(room, view->value, view->len);
	put_le32(room + view->len,
		 tree_value_sum(view->key, view->key_len, view->value, view->len));
	return 0;
}

/* One transaction from *item on; *item is where the next one begins. */
static int chunk_write(struct tree *tree, struct memtable_item **item, uint64_t seq)
{
	struct tree_state state = {.seq = tree->state.seq, .to_seq = seq};
	struct memtable_item *at = *item;
	MDB_txn *txn = NULL;
	uint32_t n;
	int rc;

	rc = mdb_txn_begin(tree->env, NULL, 0, &txn);
	if (rc)
		return tree_error(tree, "checkpoint", rc);
	for (n = 0; at && n < CHUNK_ITEMS; n++) {
		struct memtable_view view;

		memtable_view(at, &view);
		rc = item_write(tree, txn, &view);
		if (rc)
			goto out;
		at = memtable_next(at);
	}
	if (!at)
		state.seq = seq;
	rc = state_put(tree, txn, &state);
	if (rc)
		goto out;
	rc = mdb_txn_commit(txn);
	txn = NULL;
	if (rc)
		goto out;
	tree->state = state;
	*item = at;
out:
	if (txn)
		mdb_txn_abort(txn);
	return tree_error(tree, "checkpoint", rc);
}

/* In key order, so that neighbours share pages and each page is touched in one transaction. */
int tree_write(struct tree *tree, struct memtable *table, uint64_t seq)
{
	struct memtable_item *item = memtable_seek(table, "", 0, false);
	int rc;

	do {
		rc = chunk_write(tree, &item, seq);
	} while (!rc && item);
	if (rc)
		return rc;
	pthread_mutex_lock(&tree->room_lock);
	tree->end = env_end(tree);
	if (tree->allocated < tree->end)
		tree->allocated = tree->end;
	pthread_mutex_unlock(&tree->room_lock);
	return 0;
}

uint64_t tree_seq(const struct tree *tree)
{
	return tree->state.seq;
}

/* Only the flag changes; what batches the tree has stays as it is. */
int tree_mark(struct tree *tree, bool clean)
{
	struct tree_state state = tree->state;
	MDB_txn *txn = NULL;
	int rc;

	if (state.clean == clean)
		return 0;
	state.clean = clean;
	rc = mdb_txn_begin(tree->env, NULL, 0, &txn);
	if (rc)
		return tree_error(tree, "mark", rc);
	rc = state_put(tree, txn, &state);
	if (rc)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
	if (!rc)
		tree->state = state;
	return tree_error(tree, "mark", rc);
}

/* Room. ---------------------------------------------------------------------------------------- */

uint64_t tree_grow(size_t key_len, size_t len)
{
	uint64_t bytes = key_len + len + TREE_SUM_LEN + 16;

	/* Pages are at least about half full; a large value has pages of its own. */
	if (bytes > OVERFLOW_BYTES)
		return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES + 2 * (key_len + 16);
	return 2 * bytes;
}

/* Copies of pages that a write touches: a transaction's are free again in the next but one. */
static uint64_t copies_bytes(const struct tree *tree, uint64_t grow, uint64_t items)
{
	uint64_t pages = (tree->end + grow) / PAGE_BYTES;
	uint64_t touched = items < CHUNK_ITEMS ? items : CHUNK_ITEMS;

	return (3 * (touched < pages ? touched : pages) + SPARE_PAGES) * PAGE_BYTES;
}

/* KEEP_SIZE: LMDB takes the file's length for nothing, but copies and backups would carry zeros. */
static int allocate_locked(struct tree *tree, uint64_t upto)
{
	int rc;

	if (upto <= tree->allocated || tree->no_allocate)
		return 0;
	rc = io_allocate(tree->fd, FALLOC_FL_KEEP_SIZE, upto - tree->allocated, tree->allocated);
	if (rc == -EOPNOTSUPP) {
		log_info("%s: the filesystem cannot reserve room; a full disk may show late",
			 tree->path);
		tree->no_allocate = true;
		return 0;
	}
	if (!rc)
		tree->allocated = upto;
	return rc == -EDQUOT ? -ENOSPC : rc;
}

/* In steps, so that hardly any batch pays for a system call; when the disk is nearly full, just
 * what is needed. room_lock may be held over fallocate: appliers hold apply_lock anyway. */
int tree_reserve(struct tree *tree, uint64_t grow, uint64_t items, bool frees)
{
	uint64_t need;
	int rc = 0;

	pthread_mutex_lock(&tree->room_lock);
	need = tree->end + grow + copies_bytes(tree, grow, items);
	if (need + HEADROOM_BYTES <= tree->allocated)
		goto out;
	rc = allocate_locked(tree, need + HEADROOM_BYTES + STEP_BYTES);
	if (rc == -ENOSPC)
		rc = allocate_locked(tree, need + HEADROOM_BYTES);
	if (rc == -ENOSPC && frees)
		rc = allocate_locked(tree, need);
out:
	pthread_mutex_unlock(&tree->room_lock);
	return rc;
}

/* Truncating to the length that the file has frees the blocks behind it. */
void tree_trim(struct tree *tree, uint64_t grow, uint64_t items)
{
	struct stat st;
	uint64_t need;

	pthread_mutex_lock(&tree->room_lock);
	need = tree->end + grow + copies_bytes(tree, grow, items) + HEADROOM_BYTES + STEP_BYTES;
	if (tree->no_allocate || tree->allocated <= need + 2 * STEP_BYTES)
		goto out;
	if (io_stat(tree->fd, &st) || (uint64_t)st.st_size > need ||
	    io_truncate(tree->fd, (uint64_t)st.st_size))
		goto out; /* blocks in reserve do no harm */
	tree->allocated = (uint64_t)st.st_size;
	if (allocate_locked(tree, need))
		log_warning("%s: room that was given back is gone: others fill the disk",
			    tree->path);
out:
	pthread_mutex_unlock(&tree->room_lock);
}

uint64_t tree_bytes(struct tree *tree)
{
	MDB_stat stat;

	if (mdb_env_stat(tree->env, &stat))
		return 0;
	return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
	       (uint64_t)stat.ms_psize;
}

uint64_t tree_disk_bytes(struct tree *tree)
{
	struct stat st;

	return io_stat(tree->fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}
