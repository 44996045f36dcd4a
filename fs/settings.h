/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's settings as they are now, and changing them while it is mounted: one by one
 * (.terrace/policy), or by reading the configuration file again (SIGHUP). What cannot change while
 * mounted is refused, or told.
 *
 * Threads: any; changes take turns.
 */
#ifndef TERRACE_FS_SETTINGS_H
#define TERRACE_FS_SETTINGS_H

#include <stddef.h>

struct fs;
struct settings;

int settings_new(struct fs *fs, struct settings **out); /* -ENOMEM */
void settings_free(struct settings *settings);

/*
 * {"file": TEXT, "settings": [{"key", "value", "default", "source", "live", "help"}], "rules":
 * [{"name", ...}]}; source: "default", "file", "run time", or "mount": the file says something
 * else, which counts from the next mount on. Malloc'd; NULL: no memory.
 */
char *settings_json(struct settings *settings);
/*
 * {"set": {KEY: VALUE, ...}, "runtime": BOOL, "dry_run": BOOL}: all of it or nothing; in the file
 * too unless runtime is true. Keys are those of [pool], and TIER.KEY. A dry run is only checked.
 * {"reload": true}: settings_reload(). -EINVAL and others, with a message.
 */
int settings_change(struct settings *settings, const char *text, size_t len, char *message,
		    size_t message_cap);
/* Reads the file again and takes over what may change; a line in the log for each key that differs,
 * and why, if it could not be taken over. A file with a mistake changes nothing, and is told in the
 * message and the log. */
int settings_reload(struct settings *settings, char *message, size_t message_cap);

#endif
