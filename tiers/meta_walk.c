// SPDX-License-Identifier: Apache-2.0
/*
 * LMDB's file format (data version 1, pages as a 64-bit little-endian machine writes them), read
 * with pread and never trusted.
 *
 * Invariants:
 *  1. No byte of the file is used as an offset, a length or a page number before it was compared
 *     with what it may be at most.
 *  2. Each page is visited once: a second visit is damage. So the walk ends, and a page cannot be
 *     both in use and free.
 *  3. What LMDB asserts is checked: pages' own numbers, their kinds, room inside them without gaps,
 *     two keys or more in a branch of the store's database.
 *
 * Walking with LMDB itself in a child process was rejected: its cursors do not look at separators
 * nor at the free pages, and it may loop.
 */
#include "tiers/meta_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/meta_tree.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "LMDB's files have the machine's order");

#define LMDB_MAGIC   0xBEEFC0DEu
#define LMDB_VERSION 1u
#define PAGE_HEAD    16u
#define NODE_HEAD    8u
#define META_LEN     136u
#define DB_LEN	     48u
#define DEPTH_MAX    32u
#define PAGES_MAX    ((uint64_t)1 << 31)
#define PAGE_MIN     512u
#define PAGE_MAX     65536u
#define NO_PAGE	     UINT64_MAX
#define KEY_MAX	     511u

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum { NODE_BIG = 1 };
enum { DB_INTEGER_KEY = 8, DB_NOSUBDIR = 0x4000 };

struct db { /* one of the file's two databases */
	uint16_t flags, depth;
	uint64_t branches, leaves, overflows, items, root;
	bool free_list;
};

struct walk {
	const char *path;
	int fd;
	uint32_t page_size;
	uint64_t pages, txn; /* pages: in use or free, in the newest state */
	struct db free_db, main_db;
	uint8_t *seen; /* a bit for each page */
	struct db count;
	uint8_t *big; /* a value with pages of its own */
	size_t big_cap;
	bool has_state, clean;
	int (*damaged)(void *arg, const void *key, size_t key_len); /* NULL: a value is damage */
	void *damaged_arg;
};

struct span { /* a key inside a page */
	const uint8_t *bytes;
	size_t len;
};

static int damage(const struct walk *walk, uint64_t page, const char *what)
{
	log_error("%s: damaged: page %llu: %s; bring the metadata back from its copies with "
		  "`terrace restore-metadata POOL`",
		  walk->path, (unsigned long long)page, what);
	return -EUCLEAN;
}

static int read_at(const struct walk *walk, void *buf, size_t len, uint64_t off)
{
	int rc = io_pread_all(walk->fd, buf, len, off);

	if (rc == -ENODATA)
		return damage(walk, off / walk->page_size, "the file ends before it");
	if (rc < 0)
		log_error("%s: cannot be read at %llu: %s", walk->path, (unsigned long long)off,
			  strerror(-rc));
	return rc;
}

/* Head pages. ---------------------------------------------------------------------------------- */

static struct db db_parse(const uint8_t *p)
{
	return (struct db){.flags = get_le16(p + 4),
			   .depth = get_le16(p + 6),
			   .branches = get_le64(p + 8),
			   .leaves = get_le64(p + 16),
			   .overflows = get_le64(p + 24),
			   .items = get_le64(p + 32),
			   .root = get_le64(p + 40)};
}

struct head {
	uint32_t page_size;
	uint64_t last_page, txn;
	struct db free_db, main_db;
};

/* p has PAGE_HEAD + META_LEN bytes. */
static int head_parse(const struct walk *walk, const uint8_t *p, uint64_t page, struct head *out)
{
	const uint8_t *meta = p + PAGE_HEAD;

	if (get_le64(p) != page || get_le16(p + 10) != PAGE_META || get_le32(meta) != LMDB_MAGIC ||
	    get_le32(meta + 4) != LMDB_VERSION)
		return damage(walk, page, "no head page of a database");
	out->page_size = get_le32(meta + 24);
	out->free_db = db_parse(meta + 24);
	out->main_db = db_parse(meta + 24 + DB_LEN);
	out->free_db.free_list = true;
	out->last_page = get_le64(meta + 24 + 2 * DB_LEN);
	out->txn = get_le64(meta + 32 + 2 * DB_LEN);
	if (out->page_size < PAGE_MIN || out->page_size > PAGE_MAX ||
	    out->page_size & (out->page_size - 1))
		return damage(walk, page, "impossible size of pages");
	if ((out->free_db.flags & ~DB_NOSUBDIR) != DB_INTEGER_KEY || out->main_db.flags ||
	    get_le32(meta + 24 + DB_LEN))
		return damage(walk, page, "unknown flags");
	if (out->last_page < 1 || out->last_page >= PAGES_MAX)
		return damage(walk, page, "impossible number of pages");
	return 0;
}

/* The head pages take turns, so a number that does not follow the other's is no older state. */
static int heads_read(struct walk *walk)
{
	uint8_t buf[PAGE_HEAD + META_LEN];
	struct head heads[2];
	const struct head *newest;
	int rc;

	walk->page_size = PAGE_MIN; /* for messages */
	for (unsigned i = 0; i < 2; i++) {
		rc = read_at(walk, buf, sizeof(buf), i ? heads[0].page_size : 0);
		if (!rc)
			rc = head_parse(walk, buf, i, &heads[i]);
		if (rc)
			return rc;
		walk->page_size = heads[0].page_size;
	}
	newest = &heads[heads[0].txn < heads[1].txn];
	if (heads[0].page_size != heads[1].page_size ||
	    heads[0].free_db.flags != heads[1].free_db.flags)
		return damage(walk, 1, "the two head pages contradict each other");
	if (newest->txn && (newest->txn != (newest == heads ? heads[1].txn : heads[0].txn) + 1 ||
			    (newest->txn & 1) != (newest != heads)))
		return damage(walk, newest != heads, "the two head pages do not follow each other");
	walk->pages = newest->last_page + 1;
	walk->txn = newest->txn;
	walk->free_db = newest->free_db;
	walk->main_db = newest->main_db;
	return 0;
}

/* Pages. --------------------------------------------------------------------------------------- */

static int visit(struct walk *walk, uint64_t page, uint64_t count)
{
	if (page < 2 || count > walk->pages || page > walk->pages - count)
		return damage(walk, page, "no such page");
	if (!walk->seen)
		return 0;
	for (uint64_t i = page; i < page + count; i++) {
		if (walk->seen[i / 8] >> i % 8 & 1)
			return damage(walk, i, "is used twice");
		walk->seen[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return 0;
}

struct page {
	uint8_t *bytes;
	uint64_t number;
	unsigned count;
	bool branch;
};

struct node {
	struct span key;
	const uint8_t *data;
	size_t len; /* of the value, inside the page or not */
	uint64_t child;
	bool big;
};

/* Where node i begins and ends; 0 is no node. */
static size_t node_bytes(const struct walk *walk, const struct page *page, unsigned i, size_t upper,
			 struct node *out)
{
	size_t at = get_le16(page->bytes + PAGE_HEAD + 2 * i), size, inside;
	const uint8_t *p = page->bytes + at;
	uint16_t flags;

	if (at < upper || at + NODE_HEAD > walk->page_size)
		return 0;
	flags = get_le16(p + 4);
	*out = (struct node){.key = {p + NODE_HEAD, get_le16(p + 6)}};
	out->data = p + NODE_HEAD + out->key.len;
	size = NODE_HEAD + out->key.len;
	if (page->branch) {
		out->child = get_le32(p) | (uint64_t)flags << 32;
	} else {
		if (flags & ~NODE_BIG)
			return 0;
		out->len = get_le32(p);
		out->big = flags & NODE_BIG;
		inside = out->big ? 8 : out->len;
		if (inside > walk->page_size)
			return 0;
		size += inside;
	}
	size += size & 1;
	return out->key.len <= KEY_MAX && at + size <= walk->page_size ? size : 0;
}

/* Nodes fill the page from `upper` to its end: that LMDB keeps so. */
static int page_check(const struct walk *walk, struct page *page, const struct db *db)
{
	const uint8_t *p = page->bytes;
	size_t lower = get_le16(p + 12), upper = get_le16(p + 14), sum = 0;
	uint16_t flags = get_le16(p + 10);
	struct node node;

	if (get_le64(p) != page->number)
		return damage(walk, page->number, "is another page");
	if (flags != PAGE_BRANCH && flags != PAGE_LEAF)
		return damage(walk, page->number, "is no page of a tree");
	page->branch = flags == PAGE_BRANCH;
	if (lower < PAGE_HEAD || lower & 1 || upper < lower || upper > walk->page_size)
		return damage(walk, page->number, "impossible limits");
	page->count = (unsigned)(lower - PAGE_HEAD) / 2;
	if (page->count < (page->branch && !db->free_list ? 2 : 1))
		return damage(walk, page->number, "too few keys");
	for (unsigned i = 0; i < page->count; i++) {
		size_t size = node_bytes(walk, page, i, upper, &node);

		if (!size)
			return damage(walk, page->number, "impossible node");
		sum += size;
	}
	if (sum != walk->page_size - upper)
		return damage(walk, page->number, "nodes that do not fill it");
	return 0;
}

static int page_read(struct walk *walk, uint64_t number, const struct db *db, struct page *out)
{
	int rc = visit(walk, number, 1);

	out->number = number;
	if (!rc)
		rc = read_at(walk, out->bytes, walk->page_size, number * walk->page_size);
	return rc ? rc : page_check(walk, out, db);
}

static void node_get(const struct walk *walk, const struct page *page, unsigned i, struct node *out)
{
	(void)node_bytes(walk, page, i, get_le16(page->bytes + 14), out);
}

/* Values. -------------------------------------------------------------------------------------- */

/* A value with pages of its own. */
static int big_read(struct walk *walk, struct node *node)
{
	uint64_t page = get_le64(node->data);
	uint64_t count = (PAGE_HEAD - 1 + node->len) / walk->page_size + 1;
	uint8_t head[PAGE_HEAD];
	int rc = visit(walk, page, count);

	if (!rc)
		rc = read_at(walk, head, sizeof(head), page * walk->page_size);
	if (rc)
		return rc;
	if (get_le64(head) != page || get_le16(head + 10) != PAGE_OVERFLOW ||
	    get_le32(head + 12) != count)
		return damage(walk, page, "is not the value that belongs here");
	walk->count.overflows += count;
	if (node->len > walk->big_cap) {
		uint8_t *big = realloc(walk->big, node->len);

		if (!big)
			return -ENOMEM;
		walk->big = big;
		walk->big_cap = node->len;
	}
	node->data = walk->big;
	return read_at(walk, walk->big, node->len, page * walk->page_size + PAGE_HEAD);
}

/* Numbers of free pages: how many, then each, falling. */
static int free_list_check(struct walk *walk, const struct page *page, const struct node *node)
{
	uint64_t count = node->len >= 8 ? get_le64(node->data) : 0, last = NO_PAGE;

	if (node->key.len != 8 || node->len < 8 || count > node->len / 8 - 1 ||
	    get_le64(node->key.bytes) > walk->txn)
		return damage(walk, page->number, "impossible list of free pages");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = get_le64(node->data + 8 + 8 * i);
		int rc = at < last ? visit(walk, at, 1)
				   : damage(walk, page->number, "unordered list of free pages");

		if (rc)
			return rc;
		last = at;
	}
	return 0;
}

/* Its neighbours are whole: a copy of all of the metadata, which is older, may be more than needed.
 */
static int value_damage(const struct walk *walk, uint64_t page)
{
	log_error("%s: damaged: page %llu: a value's checksum; `terrace check --repair POOL` drops "
		  "the value and mends what hangs on it (with --dry-run it only says what that "
		  "is), `terrace restore-metadata POOL` brings all back from a copy",
		  walk->path, (unsigned long long)page);
	return -EUCLEAN;
}

static int value_check(struct walk *walk, const struct page *page, const struct node *node)
{
	size_t len = node->len;

	if (tree_state_is(node->key.bytes, node->key.len)) {
		walk->has_state = tree_state_sound(node->data, len, &walk->clean);
		return walk->has_state ? 0 : damage(walk, page->number, "the state record");
	}
	if (len < TREE_SUM_LEN ||
	    get_le32(node->data + len - TREE_SUM_LEN) !=
		    tree_value_sum(node->key.bytes, node->key.len, node->data, len - TREE_SUM_LEN))
		return walk->damaged
			       ? walk->damaged(walk->damaged_arg, node->key.bytes, node->key.len)
			       : value_damage(walk, page->number);
	return 0;
}

/* Trees. --------------------------------------------------------------------------------------- */

static int compare(const struct db *db, struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order;

	if (db->free_list && a.len == 8 && b.len == 8) {
		uint64_t x = get_le64(a.bytes), y = get_le64(b.bytes);

		return x < y ? -1 : x > y;
	}
	order = memcmp(a.bytes, b.bytes, len);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Keys rise and stay in [low, high); NULL: no such limit. A branch's first key is not looked at by
 * LMDB. */
static int keys_check(const struct walk *walk, const struct page *page, const struct db *db,
		      const struct span *low, const struct span *high)
{
	struct node node, last = {0};

	for (unsigned i = page->branch; i < page->count; i++) {
		node_get(walk, page, i, &node);
		if (!node.key.len ||
		    (i > (unsigned)page->branch && compare(db, last.key, node.key) >= 0) ||
		    (low && compare(db, node.key, *low) < 0) ||
		    (high && compare(db, node.key, *high) >= 0))
			return damage(walk, page->number, "keys out of order");
		last = node;
	}
	return 0;
}

static int leaf_walk(struct walk *walk, const struct page *page, const struct db *db)
{
	int rc = 0;

	for (unsigned i = 0; i < page->count && !rc; i++) {
		struct node node;

		node_get(walk, page, i, &node);
		if (node.big)
			rc = big_read(walk, &node);
		if (!rc)
			rc = db->free_list ? free_list_check(walk, page, &node)
					   : value_check(walk, page, &node);
	}
	walk->count.items += page->count;
	return rc;
}

static int page_walk(struct walk *walk, uint64_t number, const struct db *db, unsigned depth,
		     const struct span *low, const struct span *high)
{
	struct page page = {.bytes = malloc(walk->page_size)};
	int rc = page.bytes ? page_read(walk, number, db, &page) : -ENOMEM;

	if (!rc)
		rc = keys_check(walk, &page, db, low, high);
	if (!rc && page.branch == (depth == db->depth))
		rc = damage(walk, number, "at the wrong depth");
	if (rc)
		goto out;
	*(page.branch ? &walk->count.branches : &walk->count.leaves) += 1;
	if (!page.branch) {
		rc = leaf_walk(walk, &page, db);
		goto out;
	}
	for (unsigned i = 0; i < page.count && !rc; i++) {
		struct node node, next;

		node_get(walk, &page, i, &node);
		if (i + 1 < page.count)
			node_get(walk, &page, i + 1, &next);
		rc = page_walk(walk, node.child, db, depth + 1, i ? &node.key : low,
			       i + 1 < page.count ? &next.key : high);
	}
out:
	free(page.bytes);
	return rc;
}

static int db_walk(struct walk *walk, const struct db *db)
{
	const struct db *count = &walk->count;
	int rc = 0;

	walk->count = (struct db){0};
	if (db->depth > DEPTH_MAX || (db->root == NO_PAGE) != (db->depth == 0))
		return damage(walk, walk->txn & 1, "impossible depth");
	if (db->depth)
		rc = page_walk(walk, db->root, db, 1, NULL, NULL);
	if (!rc && (count->branches != db->branches || count->leaves != db->leaves ||
		    count->overflows != db->overflows || count->items != db->items))
		rc = damage(walk, walk->txn & 1, "the number of its pages or keys");
	return rc;
}

/* The last key of all is the state record's. */
static int state_find(struct walk *walk)
{
	const struct db *db = &walk->main_db;
	struct page page = {.bytes = malloc(walk->page_size)};
	uint64_t number = db->root;
	struct node node = {0};
	int rc = page.bytes ? 0 : -ENOMEM;

	if (!rc && (db->depth == 0 || db->depth > DEPTH_MAX))
		rc = damage(walk, walk->txn & 1, "no state record");
	for (unsigned depth = 1; !rc && depth <= db->depth; depth++) {
		rc = page_read(walk, number, db, &page);
		if (!rc && page.branch == (depth == db->depth))
			rc = damage(walk, number, "at the wrong depth");
		if (rc)
			break;
		node_get(walk, &page, page.count - 1, &node);
		number = node.child;
	}
	if (!rc && (node.big || !tree_state_is(node.key.bytes, node.key.len)))
		rc = damage(walk, page.number, "no state record");
	if (!rc)
		rc = value_check(walk, &page, &node);
	free(page.bytes);
	return rc;
}

static int whole_walk(struct walk *walk)
{
	int rc;

	walk->has_state = false;
	walk->seen = calloc(walk->pages / 8 + 1, 1);
	if (!walk->seen)
		return -ENOMEM;
	rc = db_walk(walk, &walk->main_db);
	if (!rc && !walk->has_state)
		rc = damage(walk, walk->main_db.root, "no state record");
	return rc ? rc : db_walk(walk, &walk->free_db);
}

static int walk_file(struct walk *walk, uint64_t always_bytes, struct tree_walk_counts *counts)
{
	int rc;

	walk->fd = io_open(walk->path, O_RDONLY, 0);
	if (walk->fd < 0) {
		log_file_error(walk->path, walk->fd);
		return walk->fd;
	}
	rc = heads_read(walk);
	if (!rc &&
	    walk->main_db.root != NO_PAGE) /* else never completely made: tree_open() says so */
		rc = state_find(walk);
	if (counts)
		*counts = (struct tree_walk_counts){.pages = walk->pages,
						    .items = walk->main_db.items};
	if (!rc && walk->main_db.root != NO_PAGE &&
	    (!walk->clean || walk->pages * walk->page_size <= always_bytes)) {
		rc = whole_walk(walk);
		if (counts)
			counts->whole = true;
	}
	io_close(walk->fd);
	free(walk->seen);
	free(walk->big);
	return rc;
}

int tree_walk(const char *path, uint64_t always_bytes, struct tree_walk_counts *counts)
{
	struct walk walk = {.path = path};

	return walk_file(&walk, always_bytes, counts);
}

int tree_walk_values(const char *path, int (*each)(void *arg, const void *key, size_t key_len),
		     void *arg, struct tree_walk_counts *counts)
{
	struct walk walk = {.path = path, .damaged = each, .damaged_arg = arg};

	return walk_file(&walk, UINT64_MAX, counts);
}
