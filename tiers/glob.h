/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns for paths, as rules of the configuration have them (terrace.conf(5)): `*` any run of
 * characters within a name, `**` across folders, a leading or inner `**` + `/` also no folder at
 * all, `?` one character, `[a-z]` `[!a-z]` one of these, `\` takes a special meaning away. A
 * pattern that does not begin with `/` holds at any depth; one that ends in `/` holds for all that
 * is below. A character is one of UTF-8, or a byte where the name is not UTF-8.
 *
 * Pure functions; the time is bounded by the product of the lengths, squared at worst within one
 * name.
 */
#ifndef TERRACE_TIERS_GLOB_H
#define TERRACE_TIERS_GLOB_H

#include <stdbool.h>

#define GLOB_MAX 1024u /* bytes of a pattern */

/* What is wrong with the pattern, or NULL. */
const char *glob_fault(const char *pattern);
/* path: absolute, from the mount's root, without a trailing '/'. The pattern has no fault. */
bool glob_match(const char *pattern, const char *path);

#endif
