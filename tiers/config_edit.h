/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing lines of a pool's configuration file in place: comments, order and blank lines stay.
 *
 * A change is: config_edit_lock(), config_edit_read(), make the new text, parse it with
 * config_parse_text() to see that it says what was meant, config_edit_replace(),
 * config_edit_unlock(). Threads: any; the lock keeps two changes of this process apart.
 */
#ifndef TERRACE_TIERS_CONFIG_EDIT_H
#define TERRACE_TIERS_CONFIG_EDIT_H

#include <stdbool.h>
#include <stddef.h>

void config_edit_lock(void);
void config_edit_unlock(void);

/* The file's text, a new string with a NUL behind it. -ENOENT, -EACCES, -EFBIG, -EIO, -ENOMEM. */
int config_edit_read(const char *file, char **text, size_t *len);
/*
 * Atomic and durable: a temporary file beside it, with the old one's owner and mode; fsync, rename,
 * fsync of the folder. A symbolic link is followed and stays. *replaced (with an error too): the
 * new text is in the file, though after a power loss it may be the old one.
 */
int config_edit_replace(const char *file, const char *text, size_t len, bool *replaced);
/* What the file holds now is durable under its name. */
int config_edit_sync(const char *file);

/*
 * Adds a line "KEY = PATH" behind the last path of [tier NAME], or takes the line with that path
 * out. key: "path" or "copy_path". *out: a new string. -ENOENT no such section, or no such line;
 * -ENOMEM.
 */
int config_edit_path(const char *text, size_t len, const char *tier, const char *key,
		     const char *path, bool add, char **out, size_t *out_len);

/*
 * Sets a key that comes once: section "pool" or "tier NAME". The value is replaced where it stands;
 * else a line is added, behind the one that shows the default as a comment, or at the section's
 * end. [tier ram] is made when there is none. -ENOENT no such section; -ENOMEM.
 */
int config_edit_value(const char *text, size_t len, const char *section, const char *key,
		      const char *value, char **out, size_t *out_len);
/* Does the text set the key? */
bool config_edit_has(const char *text, size_t len, const char *section, const char *key);

#endif
