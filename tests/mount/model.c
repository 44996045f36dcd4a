// SPDX-License-Identifier: Apache-2.0
/*
 * Random operations by several processes against a model in memory.
 *
 *   model FOLDER SECONDS [SEED [DUMP]]
 *
 * Each process works in a folder of its own on a handful of files; every read and every attribute
 * is compared at once, everything once more at the end. With DUMP (a folder elsewhere) the final
 * contents are written there too, to be compared after a remount. Meanwhile the caller moves frames
 * about. Two threads of one more process write interleaved stripes of one shared file.
 *
 * The seed is printed first; a difference prints the worker's last operations on that file. The
 * same seed gives the same operations, not the same interleaving with the moves.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define WORKERS	 3
#define FILES	 12
#define FILE_MAX (3L << 20)
#define HISTORY	 40
#define STRIPE	 1000
#define STRIPES	 600

struct model_file {
	char name[32];
	char *bytes; /* FILE_MAX; what lies behind size is zero */
	long size;
	bool exists;
	int fd; /* kept open over operations, -1 if not */
	char history[HISTORY][80];
	unsigned steps;
};

static struct model_file files[FILES];
static char scratch[FILE_MAX];
static uint64_t state;
static int worker;
static unsigned long seed;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

__attribute__((format(printf, 2, 3))) static void did(struct model_file *file, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(file->history[file->steps++ % HISTORY], sizeof(file->history[0]), format, args);
	va_end(args);
}

static void wrong(struct model_file *file, const char *what, long off, int got, int expected)
{
	unsigned first = file->steps > HISTORY ? file->steps - HISTORY : 0;

	fprintf(stderr, "model: seed %lu worker %d file %s: %s at %ld: %d instead of %d\n", seed,
		worker, file->name, what, off, got, expected);
	for (unsigned i = first; i < file->steps; i++)
		fprintf(stderr, "  %u %s\n", i, file->history[i % HISTORY]);
	exit(1);
}

static void must(struct model_file *file, bool condition, const char *what)
{
	if (!condition)
		wrong(file, what, 0, errno, 0);
}

static int handle(struct model_file *file)
{
	if (file->fd < 0) {
		file->fd = open(file->name, O_RDWR | O_CREAT, 0644);
		must(file, file->fd >= 0, "open: errno");
		if (!file->exists) {
			file->exists = true;
			file->size = 0;
			memset(file->bytes, 0, (size_t)FILE_MAX);
		}
	}
	return file->fd;
}

static void drop_handle(struct model_file *file)
{
	if (file->fd >= 0)
		must(file, close(file->fd) == 0, "close: errno");
	file->fd = -1;
}

/* Half the offsets are page-aligned, half the lengths small: both kinds of edges are met. */
static void range(long limit, long *off, long *len)
{
	*off = (long)draw((uint64_t)limit);
	if (draw(2))
		*off &= ~4095L;
	*len = 1 + (long)(draw(3) ? draw(9000) : draw((uint64_t)FILE_MAX));
	if (*off + *len > FILE_MAX)
		*len = FILE_MAX - *off;
}

static void fill(char *to, long len)
{
	uint64_t kind = draw(3);
	char byte = (char)draw(256);

	for (long i = 0; i < len; i++) { /* constant, text-like, random */
		if (kind == 0)
			to[i] = byte;
		else if (kind == 1)
			to[i] = (char)('a' + (i * 7 + byte + (i >> 5) * 3) % 26);
		else
			to[i] = (char)draw(256);
	}
}

static void compare(struct model_file *file, const char *got, long len, long off)
{
	if (memcmp(got, file->bytes + off, (size_t)len) == 0)
		return;
	for (long i = 0; i < len; i++)
		if (got[i] != file->bytes[off + i])
			wrong(file, "byte", off + i, (unsigned char)got[i],
			      (unsigned char)file->bytes[off + i]);
}

static void step_write(struct model_file *file)
{
	long off, len;

	range(FILE_MAX, &off, &len);
	fill(scratch, len);
	did(file, "write %ld %ld", off, len);
	must(file, pwrite(handle(file), scratch, (size_t)len, off) == len, "write: errno");
	memcpy(file->bytes + off, scratch, (size_t)len);
	if (off + len > file->size)
		file->size = off + len;
}

static void step_read(struct model_file *file)
{
	long off, len, expected;
	ssize_t n;

	range(FILE_MAX, &off, &len);
	did(file, "read %ld %ld", off, len);
	n = pread(handle(file), scratch, (size_t)len, off);
	expected = off >= file->size ? 0 : (off + len > file->size ? file->size - off : len);
	if (n != expected)
		wrong(file, "read length", off, (int)n, (int)expected);
	compare(file, scratch, (long)n, off);
}

static void step_truncate(struct model_file *file)
{
	long size = draw(3) ? (long)draw((uint64_t)FILE_MAX) : 0;

	did(file, "truncate %ld", size);
	must(file, ftruncate(handle(file), size) == 0, "truncate: errno");
	if (size < file->size)
		memset(file->bytes + size, 0, (size_t)(file->size - size));
	file->size = size;
}

static void step_punch(struct model_file *file)
{
	bool zero = draw(2) == 0;
	long off, len;

	range(FILE_MAX, &off, &len);
	did(file, "%s %ld %ld", zero ? "zero" : "punch", off, len);
	must(file,
	     fallocate(handle(file),
		       zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       off, len) == 0,
	     "fallocate: errno");
	memset(file->bytes + off, 0, (size_t)len);
	if (zero && off + len > file->size)
		file->size = off + len;
}

static void step_map(struct model_file *file)
{
	long off, len;
	char *map;

	if (!file->exists || file->size == 0)
		return;
	range(file->size, &off, &len);
	if (off + len > file->size)
		len = file->size - off;
	did(file, "mmap write %ld %ld", off, len);
	map = mmap(NULL, (size_t)file->size, PROT_READ | PROT_WRITE, MAP_SHARED, handle(file), 0);
	must(file, map != MAP_FAILED, "mmap: errno");
	compare(file, map + off, len, off);
	fill(scratch, len);
	memcpy(map + off, scratch, (size_t)len);
	memcpy(file->bytes + off, scratch, (size_t)len);
	munmap(map, (size_t)file->size);
}

static void step_clone(struct model_file *file)
{
	struct model_file *from = &files[draw(FILES)];
	off_t in, out;
	long off, len, to;

	if (from == file || !from->exists || from->size == 0)
		return;
	range(from->size, &off, &len);
	if (off + len > from->size)
		len = from->size - off;
	to = draw(2) ? off : (long)draw((uint64_t)(FILE_MAX - len + 1));
	did(file, "clone of %s %ld %ld to %ld", from->name, off, len, to);
	did(from, "cloned to %s %ld %ld to %ld", file->name, off, len, to);
	handle(file);
	for (long done = 0; done < len;) {
		ssize_t n;

		in = off + done;
		out = to + done;
		n = copy_file_range(handle(from), &in, file->fd, &out, (size_t)(len - done), 0);
		must(file, n > 0, "copy_file_range: errno");
		done += n;
	}
	memcpy(file->bytes + to, from->bytes + off, (size_t)len);
	if (to + len > file->size)
		file->size = to + len;
}

static void step_rename(struct model_file *file)
{
	struct model_file *onto = &files[draw(FILES)], moved;

	if (onto == file || !file->exists)
		return;
	did(onto, "replaced by %s", file->name);
	did(file, "renamed over %s", onto->name);
	must(file, rename(file->name, onto->name) == 0, "rename: errno");
	drop_handle(onto);
	moved = *onto; /* contents change places, names and histories stay */
	onto->bytes = file->bytes;
	onto->size = file->size;
	onto->exists = true;
	onto->fd = file->fd;
	file->bytes = moved.bytes;
	file->exists = false;
	file->fd = -1;
}

static void step_unlink(struct model_file *file)
{
	if (!file->exists)
		return;
	did(file, "unlink%s", file->fd >= 0 ? " while open" : "");
	must(file, unlink(file->name) == 0, "unlink: errno");
	if (file->fd >= 0) { /* the contents live until the last close */
		ssize_t n = pread(file->fd, scratch, (size_t)FILE_MAX, 0);

		if (n != file->size)
			wrong(file, "unlinked read length", 0, (int)n, (int)file->size);
		compare(file, scratch, (long)n, 0);
	}
	drop_handle(file);
	file->exists = false;
}

static void step_sync(struct model_file *file)
{
	did(file, "fsync");
	must(file, fsync(handle(file)) == 0, "fsync: errno");
}

static void step_close(struct model_file *file)
{
	did(file, "close");
	drop_handle(file);
}

static void step_stat(struct model_file *file)
{
	struct stat st;

	if (!file->exists) {
		must(file, stat(file->name, &st) == -1 && errno == ENOENT, "stat of a missing one");
		return;
	}
	must(file, stat(file->name, &st) == 0, "stat: errno");
	if (st.st_size != file->size)
		wrong(file, "size", 0, (int)st.st_size, (int)file->size);
}

/* Whatever SEEK_DATA jumps over must be zero. */
static void step_holes(struct model_file *file)
{
	long at = 0, data;

	if (!file->exists)
		return;
	while (at < file->size) {
		data = lseek(handle(file), at, SEEK_DATA);
		if (data < 0) {
			must(file, errno == ENXIO, "SEEK_DATA: errno");
			data = file->size;
		}
		for (long i = at; i < data; i++)
			if (file->bytes[i] != 0)
				wrong(file, "data called a hole", i, 0,
				      (unsigned char)file->bytes[i]);
		if (data >= file->size)
			break;
		at = lseek(file->fd, data, SEEK_HOLE);
		must(file, at > data, "SEEK_HOLE");
	}
}

static void check_whole(struct model_file *file, const char *dump)
{
	char path[4200];
	ssize_t n;
	int fd;

	step_stat(file);
	if (!file->exists)
		return;
	n = pread(handle(file), scratch, (size_t)FILE_MAX, 0);
	if (n != file->size)
		wrong(file, "length at the end", 0, (int)n, (int)file->size);
	compare(file, scratch, (long)n, 0);
	drop_handle(file);
	if (dump == NULL)
		return;
	CHECK(snprintf(path, sizeof(path), "%s/w%d/%s", dump, worker, file->name) <
	      (int)sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(file, fd >= 0 && write(fd, file->bytes, (size_t)file->size) == file->size, "dump");
	close(fd);
}

static void (*const steps[])(struct model_file *) = {
	step_write,  step_write, step_write, step_read,	 step_read,	step_read,
	step_read,   step_map,	 step_clone, step_punch, step_truncate, step_rename,
	step_unlink, step_sync,	 step_close, step_close, step_stat,	step_holes,
};

static void work(const char *folder, time_t until, const char *dump)
{
	char path[4200];
	long count = 0;

	snprintf(path, sizeof(path), "%s/w%d", folder, worker);
	CHECK(mkdir(path, 0755) == 0 && chdir(path) == 0);
	if (dump != NULL) {
		snprintf(path, sizeof(path), "%s/w%d", dump, worker);
		CHECK(mkdir(path, 0755) == 0);
	}
	state = (seed + 1) * 0x9e3779b97f4a7c15u + (uint64_t)worker * 0xbf58476d1ce4e5b9u;
	for (int i = 0; i < FILES; i++) {
		snprintf(files[i].name, sizeof(files[i].name), "f%d", i);
		files[i].bytes = calloc(1, (size_t)FILE_MAX);
		files[i].fd = -1;
		CHECK(files[i].bytes != NULL);
	}
	for (; time(NULL) < until; count++)
		steps[draw(sizeof(steps) / sizeof(steps[0]))](&files[draw(FILES)]);
	for (int i = 0; i < FILES; i++)
		check_whole(&files[i], dump);
	printf("worker %d: %ld operations\n", worker, count);
}

struct stripes {
	int fd, parity;
	time_t until;
	uint64_t state;
};

/* Writes its own stripes only, reads them back at once. */
static void *write_stripes(void *arg)
{
	struct stripes *mine = arg;
	char buf[STRIPE], got[STRIPE];

	while (time(NULL) < mine->until) {
		long at;

		mine->state = mine->state * 6364136223846793005u + 1442695040888963407u;
		at = (long)((mine->state >> 33) % STRIPES) * 2 + mine->parity;
		memset(buf, (int)(mine->state >> 20) & 0xff, STRIPE);
		CHECK(pwrite(mine->fd, buf, STRIPE, at * STRIPE) == STRIPE);
		CHECK(pread(mine->fd, got, STRIPE, at * STRIPE) == STRIPE);
		if (memcmp(buf, got, STRIPE) != 0)
			check_failed(__FILE__, __LINE__, "seed %lu: stripe %ld differs", seed, at);
		if (mine->state >> 58 == 0)
			CHECK(fsync(mine->fd) == 0);
	}
	return NULL;
}

static void share(const char *folder, time_t until)
{
	struct stripes halves[2];
	pthread_t threads[2];
	char path[4200];

	snprintf(path, sizeof(path), "%s/shared", folder);
	for (int i = 0; i < 2; i++) {
		halves[i] = (struct stripes){open(path, O_RDWR | O_CREAT, 0644), i, until,
					     seed + (uint64_t)i};
		CHECK(halves[i].fd >= 0);
		CHECK(pthread_create(&threads[i], NULL, write_stripes, &halves[i]) == 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		close(halves[i].fd);
	}
}

int main(int argc, char **argv)
{
	int status, bad = 0;
	time_t until;

	if (argc < 3 || argc > 5) {
		fprintf(stderr, "usage: model FOLDER SECONDS [SEED [DUMP]]\n");
		return 2;
	}
	until = time(NULL) + atol(argv[2]);
	seed = argc > 3 ? strtoul(argv[3], NULL, 10)
			: (unsigned long)time(NULL) * 1000 + (unsigned long)getpid() % 1000;
	printf("seed %lu\n", seed);
	fflush(stdout);
	for (worker = 0; worker <= WORKERS; worker++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			if (worker == WORKERS)
				share(argv[1], until);
			else
				work(argv[1], until, argc > 4 ? argv[4] : NULL);
			fflush(stdout);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad |= status != 0;
	return bad;
}
