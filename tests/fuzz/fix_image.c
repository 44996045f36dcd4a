// SPDX-License-Identifier: Apache-2.0
/* See fix_image.h. Files are kept as runs of pages that are not all zero, as most of what a pool
 * allocates ahead is. */
#include "tests/fuzz/fix_image.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define PAGE 4096u

struct page {
	struct page *next;
	uint64_t off;
	size_t len;
	uint8_t bytes[PAGE];
};

struct image_file {
	char path[256];
	bool folder;
	uint64_t size;
	struct page *pages;
};

struct image {
	char dir[128];
	struct image_file *files;
	size_t n, nfolders; /* folders come first, outer ones before inner ones */
};

static char own[64];

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	if (ftw->level && remove(path))
		abort();
	return 0;
}

static void empty(const char *dir)
{
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		abort();
}

/* Room that nobody writes to costs most of a run: only the length is given. Nothing is synced. */
static int allocate_nothing(int fd, int mode, off_t off, off_t len)
{
	struct stat st;

	if (mode & FALLOC_FL_PUNCH_HOLE)
		return io_ops_system.fallocate(fd, mode, off, len);
	if (fstat(fd, &st))
		return -1;
	return mode & FALLOC_FL_KEEP_SIZE || st.st_size >= off + len ? 0 : ftruncate(fd, off + len);
}

static int sync_nothing(int fd)
{
	(void)fd;
	return 0;
}

static void calls_cheap(void)
{
	static struct io_ops ops;

	ops = io_ops_system;
	ops.fallocate = allocate_nothing;
	ops.fsync = ops.fdatasync = sync_nothing;
	io_ops_set(&ops);
}

static void remove_own(void)
{
	empty(own);
	rmdir(own);
}

const char *fix_folder_new(void)
{
	strcpy(own, "/dev/shm/terrace-fuzz-XXXXXX");
	if (!mkdtemp(own))
		abort();
	atexit(remove_own);
	calls_cheap();
	return own;
}

static void take_pages(struct image_file *file)
{
	static const uint8_t zeros[PAGE];
	struct page **at = &file->pages;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	uint8_t bytes[PAGE];

	if (fd < 0)
		abort();
	for (uint64_t off = 0; off < file->size; off += PAGE) {
		ssize_t got = pread(fd, bytes, PAGE, (off_t)off);

		if (got <= 0)
			abort();
		if (!memcmp(bytes, zeros, (size_t)got))
			continue;
		*at = calloc(1, sizeof(**at));
		if (!*at)
			abort();
		(*at)->off = off;
		(*at)->len = (size_t)got;
		memcpy((*at)->bytes, bytes, (size_t)got);
		at = &(*at)->next;
	}
	close(fd);
}

static struct image *taking;

static int take_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	struct image_file *file;

	(void)what;
	if (!ftw->level)
		return 0;
	taking->files = realloc(taking->files, (taking->n + 1) * sizeof(*taking->files));
	if (!taking->files)
		abort();
	file = &taking->files[taking->n++];
	memset(file, 0, sizeof(*file));
	snprintf(file->path, sizeof(file->path), "%s", path);
	file->folder = S_ISDIR(st->st_mode);
	file->size = (uint64_t)st->st_size;
	if (!file->folder)
		take_pages(file);
	return 0;
}

static int by_kind(const void *a, const void *b)
{
	const struct image_file *x = a, *y = b;

	return x->folder != y->folder ? y->folder - x->folder : strcmp(x->path, y->path);
}

struct image *image_take(const char *dir)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		abort();
	snprintf(image->dir, sizeof(image->dir), "%s", dir);
	taking = image;
	if (nftw(dir, take_one, 16, FTW_PHYS))
		abort();
	if (image->n)
		qsort(image->files, image->n, sizeof(*image->files), by_kind);
	while (image->nfolders < image->n && image->files[image->nfolders].folder)
		image->nfolders++;
	return image;
}

static void put_file(const struct image_file *file)
{
	int fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)file->size))
		abort();
	for (const struct page *page = file->pages; page; page = page->next)
		if (pwrite(fd, page->bytes, page->len, (off_t)page->off) != (ssize_t)page->len)
			abort();
	close(fd);
}

void image_put(const struct image *image)
{
	empty(image->dir);
	for (size_t i = 0; i < image->n; i++) {
		const struct image_file *file = &image->files[i];

		if (!file->folder)
			put_file(file);
		else if (mkdir(file->path, 0700))
			abort();
	}
}

size_t image_files(const struct image *image)
{
	return image->n - image->nfolders;
}

const char *image_path(const struct image *image, size_t i, uint64_t *size)
{
	*size = image->files[image->nfolders + i].size;
	return image->files[image->nfolders + i].path;
}

void fix_patch(const char *path, const void *bytes, size_t len, uint64_t off)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || pwrite(fd, bytes, len, (off_t)off) != (ssize_t)len)
		abort();
	close(fd);
}

const uint8_t *input_bytes(struct input *input, size_t most, size_t *len)
{
	const uint8_t *bytes = input->data;

	*len = most < input->left ? most : input->left;
	input->data += *len;
	input->left -= *len;
	return bytes;
}

uint64_t input_u64(struct input *input)
{
	uint8_t number[8] = {0};
	size_t len;
	const uint8_t *bytes = input_bytes(input, 8, &len);

	if (len)
		memcpy(number, bytes, len);
	return get_le64(number);
}

uint16_t input_u16(struct input *input)
{
	uint16_t low = input_u8(input);

	return (uint16_t)(low | input_u8(input) << 8);
}

uint8_t input_u8(struct input *input)
{
	size_t len;
	const uint8_t *byte = input_bytes(input, 1, &len);

	return len ? *byte : 0;
}

static void check_line(void *arg, enum log_level level, const char *line)
{
	(void)level;
	if (arg)
		fprintf(stderr, "%s\n", line);
	for (const char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
}

void fix_quiet(void)
{
	log_sink_set(check_line, getenv("TERRACE_FUZZ_LOG"));
}
