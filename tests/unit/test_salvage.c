// SPDX-License-Identifier: Apache-2.0
/*
 * Reading what is left of a pool (tiers/salvage.h): all of a healthy one; of one that is broken in
 * each way that the breaking tool knows, no wrong byte; what synchronous writes left in the
 * journal; and what is refused. Nothing of the pool is changed by it. Of the kinds of damage some
 * are drawn; TERRACE_STEP=1 tries all.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_break_impl.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_children.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "compress/frame.h"
#include "tiers/copier.h"
#include "tiers/meta_restore.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/salvage.h"
#include "tiers/segment_file.h"

#define CAP   (512u << 10)
#define FILES 7u

static struct fix_break_pool pool;
static uint8_t known[FILES][CAP]; /* what the files hold */
static uint64_t known_size[FILES];
static char work[96];

struct seen {
	uint8_t bytes[CAP];
	uint8_t put[CAP]; /* 1: these bytes were given */
	uint64_t size, lost;
	int fails; /* what put() returns from the second call on */
	unsigned calls;
};
static struct seen seen;

static uint64_t file_id(unsigned i)
{
	const uint64_t ids[FILES] = {pool.small, pool.inner, pool.leaf,	 pool.big,
				     pool.large, pool.clone, pool.pinned};

	return ids[i];
}

/* Salvaging -------------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static int take(struct salvage **out, const struct pool_config *config,
		struct salvage_source *source)
{
	nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(work, 0700), 0);
	return salvage_open(out, config, work, source);
}

static int put(void *arg, uint64_t off, const void *data, size_t len)
{
	struct seen *to = arg;

	if (to->calls++ && to->fails)
		return to->fails;
	assert_true(off <= CAP && len <= CAP - off);
	if (data)
		memcpy(to->bytes + off, data, len);
	else
		memset(to->bytes + off, 0, len);
	memset(to->put + off, 1, len);
	return 0;
}

static void lost(void *arg, uint64_t off, uint64_t len)
{
	(void)off;
	((struct seen *)arg)->lost += len;
}

static int file_read(struct salvage *salvage, uint64_t id)
{
	struct salvage_sink sink = {put, lost, &seen};
	int fails = seen.fails;

	memset(&seen, 0, sizeof(seen));
	seen.fails = fails;
	return salvage_data(salvage, id, &sink, &seen.size);
}

static void right_or_missing(const char *what, unsigned i)
{
	for (size_t k = 0; k < CAP; k++)
		if (seen.put[k] && k < seen.size && seen.bytes[k] != known[i][k])
			fail_msg("%s: byte %zu of file %u is wrong", what, k, i);
}

static void whole(unsigned i)
{
	assert_int_equal(seen.lost, 0);
	assert_int_equal(seen.size, known_size[i]);
	assert_memory_equal(seen.bytes, known[i], CAP);
}

/* The pool ---------------------------------------------------------------------------------------
 */

static void begin(void)
{
	fix_break_new(&pool);
	snprintf(work, sizeof(work), "%s/work", pool.fix.pool.ram);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (pool.fix.pool.pool)
		pool_abandon(pool.fix.pool.pool);
	pool.fix.pool.pool = NULL;
	fix_break_free(&pool);
	log_release();
	return 0;
}

/* The pool as a daemon that died leaves it. */
static void die(void)
{
	fs_close(pool.fix.fs);
	pool_abandon(pool.fix.pool.pool);
	pool.fix.pool.pool = NULL;
}

static void away(const char *name, bool go)
{
	char here[128], there[160];

	snprintf(here, sizeof(here), "%s/%s", pool.fix.pool.dir, name);
	snprintf(there, sizeof(there), "%s/away-%s", pool.fix.pool.dir, name);
	assert_int_equal(go ? rename(here, there) : rename(there, here), 0);
}

/* What the files hold, as read from the pool when nothing is wrong with it. */
static int learn(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;

	(void)state;
	setup(NULL);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(file_read(salvage, file_id(i)), 0);
		assert_int_equal(seen.lost, 0);
		memcpy(known[i], seen.bytes, CAP);
		known_size[i] = seen.size;
	}
	salvage_close(salvage);
	return teardown(NULL);
}

static void test_healthy(void **state)
{
	static const char *const texts[] = {"small content", "inner content", "leaf content"};
	int fds = fault_open_fds();
	struct salvage_source source;
	struct object_record record;
	struct salvage *salvage;

	(void)state;
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_false(source.copy || source.none || source.damaged || source.unclean);
	assert_int_equal(source.missing, 0);
	assert_non_null(strstr(source.path, "metadata.mdb"));
	assert_non_null(salvage_meta(salvage));
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(file_read(salvage, file_id(i)), 0);
		whole(i);
		assert_int_equal(salvage_record(salvage, file_id(i), &record), 0);
		assert_int_equal(record.size, seen.size);
		if (i < 3)
			assert_string_equal((char *)seen.bytes, texts[i]);
		if (file_id(i) == pool.large || file_id(i) == pool.clone)
			fix_break_is_large(seen.bytes, seen.size);
	}
	assert_int_equal(salvage_record(salvage, NOBODY, &record), -ENOENT);
	assert_int_equal(file_read(salvage, NOBODY), -ENOENT);
	salvage_close(salvage);
	assert_int_equal(fault_open_fds(), fds);
}

/* Damage -----------------------------------------------------------------------------------------
 */

/* These say something wrong that is right by all that is known. */
static bool is_credible(const struct fix_break *kind)
{
	return kind->code == CHECK_OVERLAP || kind->code == CHECK_OTHER_BYTES;
}

/* All other kinds leave all bytes of all files. */
static bool hits_frames(const struct fix_break *kind)
{
	return kind->loses || kind->code == CHECK_VALUE || kind->code == CHECK_FRAME ||
	       kind->code == CHECK_FRAME_PLACE;
}

static void one_kind(const struct fix_break *kind)
{
	struct salvage_source source;
	struct salvage *salvage;

	begin();
	kind->run(&pool);
	if (take(&salvage, &pool.fix.pool.config, &source) == 0) {
		assert_true(!source.missing || kind->code == CHECK_DIRECTORY ||
			    kind->code == CHECK_LABEL_MISSING ||
			    kind->code == CHECK_LABEL_DAMAGED || kind->code == CHECK_LABEL_FOREIGN);
		for (unsigned i = 0; i < FILES && !source.none; i++) {
			int rc = file_read(salvage, file_id(i));

			if (rc == 0 && !is_credible(kind))
				right_or_missing(kind->name, i);
			if (rc == 0 && !hits_frames(kind) && !source.missing && seen.lost)
				fail_msg("%s: %llu bytes of file %u are lost", kind->name,
					 (unsigned long long)seen.lost, i);
		}
		salvage_close(salvage);
	}
	fix_break_free(&pool);
}

static void test_every_damage(void **state)
{
	const char *step = getenv("TERRACE_STEP");
	unsigned stride = step ? (unsigned)atoi(step) : 6;
	struct dice dice;

	(void)state;
	dice_init(&dice, "every damage");
	log_capture();
	for (unsigned i = (unsigned)dice_roll(&dice, stride); i < fix_breaks_count; i += stride)
		one_kind(&fix_breaks[i]);
	log_release();
}

/* The journal's good beginning is newer than the copy. */
static void test_journal(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;

	(void)state;
	pool.fix.pool.config.metadata_copies = 1;
	fix_break_open(&pool);
	copier_last(pool.fix.pool.pool);
	fix_break_close(&pool);
	break_journal(&pool);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_true(source.damaged && !source.copy);
	assert_true(source.info.seq > 0);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(file_read(salvage, file_id(i)), 0);
		whole(i);
	}
	salvage_close(salvage);
}

/* A record that cannot be right: its bytes are lost, and no others. */
static void test_frame_record(void **state)
{
	for (unsigned way = 0; way < 4; way++) {
		struct salvage_source source;
		struct frame_record record;
		struct salvage *salvage;
		struct edit edit;
		uint64_t frame;

		if (way)
			setup(state);
		edit_begin(&pool, &edit);
		frame = frame_of(&edit, pool.large);
		frame_get_record(&edit, frame, &record);
		if (way == 0)
			record.raw_len = FRAME_RAW_MAX + 1;
		else if (way == 1)
			record.raw_len--;
		else if (way == 2)
			record.stored_len = 4 * FRAME_RAW_MAX;
		else
			record.off += 4096;
		frame_put_record(&edit, frame, &record);
		edit_end(&edit);
		assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
		assert_int_equal(file_read(salvage, pool.large), 0);
		assert_true(seen.lost > 0);
		right_or_missing("a frame's record", 4);
		assert_int_equal(file_read(salvage, pool.small), 0);
		whole(0);
		salvage_close(salvage);
		if (way < 3)
			teardown(state);
	}
}

/* Directories ------------------------------------------------------------------------------------
 */

static void test_directories(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;

	(void)state;
	away("ssd", true);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_int_equal(source.missing, 1);
	assert_non_null(strstr(log_captured(), "ssd"));
	assert_int_equal(file_read(salvage, pool.large), 0);
	assert_int_equal(seen.lost, known_size[4]);
	salvage_close(salvage);
	away("hdd", true);
	away("meta", true);
	salvage = NULL;
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), -ENOENT);
	assert_null(salvage);
	assert_int_equal(source.missing, 2);
	assert_non_null(strstr(log_captured(), "no directory of the pool is there"));
	away("ssd", false);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_true(source.none);
	salvage_close(salvage);
}

/* A segment that an earlier restore has put aside is read where it is; a restore puts it back. */
static void test_aside(void **state)
{
	char from[4096], to[4096], folder[160];
	struct restore_options options = {.config = &pool.fix.pool.config};
	static struct restore_result result;
	struct salvage_source source;
	struct frame_record record;
	struct salvage *salvage;

	(void)state;
	pool.fix.pool.config.metadata_copies = 1;
	fix_break_open(&pool);
	copier_last(pool.fix.pool.pool);
	fix_break_close(&pool);
	frame_file(&pool, pool.large, from, sizeof(from), &record);
	snprintf(folder, sizeof(folder), "%s/ssd/segments.newer", pool.fix.pool.dir);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(to, sizeof(to), "%s/ssd", pool.fix.pool.dir);
	assert_int_equal(segment_aside_path(folder, sizeof(folder), to, record.segment), 0);
	assert_int_equal(rename(from, folder), 0);
	away("meta", true);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_true(source.copy);
	assert_int_equal(source.newer_bytes, 0);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(file_read(salvage, file_id(i)), 0);
		whole(i);
	}
	salvage_close(salvage);
	assert_int_equal(access(folder, F_OK), 0);
	assert_int_equal(access(from, F_OK), -1);
	assert_int_equal(meta_restore(&options, &result), 0);
	assert_int_equal(result.lost_bytes, 0);
	assert_int_equal(result.lost_segments, 0);
	assert_int_equal(access(folder, F_OK), -1);
	assert_int_equal(access(from, F_OK), 0);
	fix_break_open(&pool);
	fix_break_verify(&pool, false);
	fix_break_close(&pool);
}

/* Refused ----------------------------------------------------------------------------------------
 */

static void test_in_use(void **state)
{
	struct salvage *salvage = NULL;
	struct salvage_source source;

	(void)state;
	fix_break_open(&pool);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), -EBUSY);
	assert_null(salvage);
	assert_non_null(strstr(log_captured(), "metadata.lock: the pool is in use: unmount it"));
	fix_break_close(&pool);
}

static void test_not_allowed(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;
	int status;
	pid_t pid;

	(void)state;
	if (getuid() != 0)
		skip();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (setuid(65534) < 0)
			_exit(2);
		_exit(salvage_open(&salvage, &pool.fix.pool.config, work, &source) != -EACCES ||
		      !strstr(log_captured(), "metadata.mdb: Permission denied"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Whoever takes the bytes may say that it is enough. */
static void test_sink_fails(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;

	(void)state;
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	seen.fails = -EDQUOT;
	assert_int_equal(file_read(salvage, pool.big), -EDQUOT);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(file_read(salvage, pool.large), -EDQUOT);
	seen.fails = 0;
	assert_int_equal(file_read(salvage, pool.large), 0);
	whole(4);
	salvage_close(salvage);
}

/* No memory is no loss: it is said, and nothing is called damaged. */
static void test_no_memory(void **state)
{
	unsigned long failed = 1;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	assert_int_equal(mkdir(work, 0700), 0);
	for (unsigned long n = 1; failed; n++) {
		struct salvage_source *source = malloc(sizeof(*source));
		int fds = fault_open_fds(), rc;
		struct salvage *salvage;

		assert_non_null(source);
		alloc_arm((n + 1) / 2, n % 2);
		rc = salvage_open(&salvage, &pool.fix.pool.config, work, source);
		if (rc == 0) {
			for (unsigned i = 0; i < FILES && rc == 0; i++) {
				rc = file_read(salvage, file_id(i));
				right_or_missing("no memory", i);
				if (rc == 0)
					assert_int_equal(seen.lost, 0);
			}
			salvage_close(salvage);
		}
		failed = alloc_disarm();
		assert_int_equal(alloc_live, 0);
		assert_int_equal(fault_open_fds(), fds);
		assert_int_equal(rc, failed ? rc == 0 ? 0 : -ENOMEM : 0);
		free(source);
	}
}

/* Synchronous writes -----------------------------------------------------------------------------
 */

static struct object *base(void)
{
	struct txn *txn = txn_begin(pool.fix.pool.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	bytes_fill_text(known[0], 30000, 3);
	assert_int_equal(object_write(object, known[0], 30000, 0), 0);
	assert_int_equal(pool_sync(pool.fix.pool.pool), 0);
	return object;
}

/* What was synced and is in no frame yet is replayed in its order: a write, a hole, a write beyond
 * the end, a size, and growing again. */
static void test_synced(void **state)
{
	struct salvage_source source;
	struct salvage *salvage;
	struct object *object;
	uint64_t id;

	(void)state;
	fix_break_open(&pool);
	memset(known[0], 0, CAP);
	object = base();
	id = object_id(object);
	memcpy(known[0] + 100, "one", 3);
	assert_int_equal(object_write(object, "one", 3, 100), 0);
	assert_int_equal(object_sync(object), 0);
	memset(known[0] + 5000, 0, 2000);
	assert_int_equal(object_punch(object, 2000, 5000), 0);
	memcpy(known[0] + 31000, "two", 3);
	assert_int_equal(object_write(object, "two", 3, 31000), 0);
	assert_int_equal(object_sync(object), 0);
	memset(known[0] + 20000, 0, CAP - 20000);
	assert_int_equal(object_truncate(object, 20000), 0);
	memcpy(known[0] + 25000, "three", 5);
	assert_int_equal(object_write(object, "three", 5, 25000), 0);
	assert_int_equal(object_sync(object), 0);
	assert_true(synced_any(object));
	object_put(object);
	die();
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	assert_true(source.unclean);
	assert_int_equal(file_read(salvage, id), 0);
	assert_int_equal(seen.lost, 0);
	assert_int_equal(seen.size, 25005);
	assert_memory_equal(seen.bytes, known[0], CAP);
	seen.fails = -EIO;
	assert_int_equal(file_read(salvage, id), -EIO);
	seen.fails = 0;
	salvage_close(salvage);
}

/* A medium whose plain file does not say where its bytes are, from some place on: what comes before
 * is given, and the rest told as lost. */
static off_t no_seek = INT64_MAX;
static int no_whence;

off_t lseek(int fd, off_t off, int whence)
{
	if (whence == no_whence && off >= no_seek) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_lseek, fd, off, whence);
}

static void test_no_seek(void **state)
{
	enum { DATA = 65536, SIZE = 5 * DATA }; /* two pieces, and a hole between them */
	static const struct {
		off_t from;
		int whence;
		size_t given;
	} tries[] = {{0, SEEK_DATA, 0},	      {0, SEEK_HOLE, 0},
		     {1, SEEK_DATA, DATA},    {DATA + 1, SEEK_HOLE, DATA},
		     {SIZE, SEEK_DATA, SIZE}, {SIZE + 1, SEEK_DATA, SIZE}};
	static uint8_t bytes[SIZE];
	struct salvage_source source;
	struct salvage *salvage;
	struct object *object;

	(void)state;
	bytes_fill_random(bytes, DATA, 1);
	bytes_fill_random(bytes + 4 * DATA, DATA, 2);
	fix_break_open(&pool);
	assert_int_equal(object_get(pool.fix.pool.pool, pool.raw, &object), 0);
	assert_int_equal(object_truncate(object, 0), 0);
	assert_int_equal(object_write(object, bytes, DATA, 0), 0);
	assert_int_equal(object_write(object, bytes + 4 * DATA, DATA, 4 * DATA), 0);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	fix_break_close(&pool);
	assert_int_equal(take(&salvage, &pool.fix.pool.config, &source), 0);
	for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		no_seek = tries[i].from;
		no_whence = tries[i].whence;
		assert_int_equal(file_read(salvage, pool.raw), 0);
		no_seek = INT64_MAX;
		assert_int_equal(seen.size, SIZE);
		assert_int_equal(seen.lost, SIZE - tries[i].given);
		assert_memory_equal(seen.bytes, bytes, tries[i].given);
	}
	salvage_close(salvage);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_healthy),	cmocka_unit_test(test_every_damage),
		TEST(test_journal),	TEST(test_frame_record),
		TEST(test_directories), TEST(test_aside),
		TEST(test_in_use),	TEST(test_not_allowed),
		TEST(test_sink_fails),	TEST(test_no_memory),
		TEST(test_no_seek),	TEST(test_synced), /* last: it takes `known` */
	};

	return cmocka_run_group_tests(tests, learn, NULL);
}
