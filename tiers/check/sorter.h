/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorts records of one length by their bytes, in bounded memory: what does not fit goes, in sorted
 * runs, into a file without a name in $TMPDIR (else /var/tmp). So keys are put big-endian at the
 * front of a record. One thread.
 */
#ifndef TERRACE_CHECK_SORTER_H
#define TERRACE_CHECK_SORTER_H

#include <stddef.h>
#include <stdint.h>

struct sorter;

/* memory: bytes, at least some hundred records. */
int sorter_new(struct sorter **out, size_t record_len, size_t memory);
void sorter_free(struct sorter *sorter); /* NULL is allowed */
/* -ENOMEM, errors of the file. */
int sorter_add(struct sorter *sorter, const void *record);
/* After the last sorter_add(): the records in order. The record stays valid until the next call.
 * -ENOENT at the end. */
int sorter_next(struct sorter *sorter, const uint8_t **record);

#endif
