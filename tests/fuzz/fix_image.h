/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets with files share: a folder on tmpfs that is put back to what it was before
 * each run, and an input that is read piece by piece. Failing calls abort: they are the target's
 * mistake, not a finding. One thread.
 */
#ifndef TERRACE_TESTS_FIX_IMAGE_H
#define TERRACE_TESTS_FIX_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* A new folder for this process, removed when it ends in order. From then on files are lengthened
 * where room is asked for, and nothing is synced: a run makes and removes a whole pool. */
const char *fix_folder_new(void);

struct image; /* the folders and files below a folder, as they were */
struct image *image_take(const char *dir);
/* The folder holds that again, and nothing else. */
void image_put(const struct image *image);
size_t image_files(const struct image *image);
/* The path of file i, and how long it was. */
const char *image_path(const struct image *image, size_t i, uint64_t *size);

/* Changes bytes of a file, which may be longer afterwards. */
void fix_patch(const char *path, const void *bytes, size_t len, uint64_t off);

struct input {
	const uint8_t *data;
	size_t left;
};
/* Zeros when nothing is left. */
uint8_t input_u8(struct input *input);
uint16_t input_u16(struct input *input);
uint64_t input_u64(struct input *input);
/* At most `most` of what is left; *len says how many. */
const uint8_t *input_bytes(struct input *input, size_t most, size_t *len);

/* Log lines are not printed from now on, but with TERRACE_FUZZ_LOG in the environment; one that is
 * not one line of printable text aborts. */
void fix_quiet(void);

#endif
