/* SPDX-License-Identifier: Apache-2.0 */
/* What settings.c and settings_show.c share; not for others. */
#ifndef TERRACE_FS_SETTINGS_IMPL_H
#define TERRACE_FS_SETTINGS_IMPL_H

#include <pthread.h>
#include <stddef.h>

#include "fs/settings.h"
#include "tiers/config.h"

#define SECTION_CAP 64u
#define KEY_CAP	    64u

struct settings {
	struct fs *fs;
	pthread_mutex_t lock; /* guards all below; changes take turns under it */
	struct pool_config now, file;
	char *text; /* of the file; NULL: it has none, or could not be read */
	size_t len;
};

#endif
