// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_pass.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tiers/idmap.h"
#include "tiers/log.h"
#include "tiers/object.h"
#include "tiers/plain.h"

/* Newer than Debian 12's <linux/fuse.h>. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define DEV_BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define DEV_BACKING_CLOSE _IOW(229, 2, uint32_t)

#define CLOSE_WAITS   50u
#define CLOSE_WAIT_US 2000u

struct pass {
	int32_t backing; /* 0: without */
	uint32_t opens;
	uid_t writer; /* 0: none but root */
	bool writers; /* of several users */
};

struct passes {
	pthread_mutex_t lock; /* all below; held while the kernel is asked */
	int device;
	struct idmap ids; /* inode -> struct pass */
	bool warned;
};

int passes_new(struct passes **out, int device)
{
	struct passes *passes = calloc(1, sizeof(*passes));

	if (!passes)
		return -ENOMEM;
	pthread_mutex_init(&passes->lock, NULL);
	passes->device = device;
	idmap_init(&passes->ids);
	*out = passes;
	return 0;
}

void passes_free(struct passes *passes)
{
	struct pass *pass;
	size_t at = 0;

	if (!passes)
		return;
	while ((pass = idmap_each(&passes->ids, &at)))
		free(pass); /* the kernel's part went with the session */
	idmap_release(&passes->ids);
	pthread_mutex_destroy(&passes->lock);
	free(passes);
}

/* Once: it will be the same for all files there. */
static void warn_locked(struct passes *passes, int error)
{
	if (passes->warned)
		return;
	passes->warned = true;
	log_warning("the kernel takes no passthrough of a plain file (%s): it is read and written "
		    "through the daemon%s",
		    strerror(error),
		    error == ELOOP ? "; is its tier's directory on overlayfs or another FUSE "
				     "filesystem?"
				   : "");
}

static int32_t register_locked(struct passes *passes, struct object *object)
{
	struct backing_map map = {.fd = -1};
	int id;

	if (object_plain_fd(object, &map.fd))
		return 0; /* logged; reads say it */
	id = ioctl(passes->device, DEV_BACKING_OPEN, &map);
	if (id <= 0)
		warn_locked(passes, errno);
	return id > 0 ? id : 0;
}

static struct pass *first_locked(struct passes *passes, struct object *object, bool without)
{
	struct pass *pass = calloc(1, sizeof(*pass));

	if (pass && idmap_put(&passes->ids, object_id(object), pass)) {
		free(pass);
		pass = NULL;
	}
	if (pass && !without)
		pass->backing = register_locked(passes, object);
	return pass;
}

static void note_writer(struct pass *pass, uid_t uid)
{
	if (!uid || pass->writer == uid)
		return;
	pass->writers |= pass->writer != 0;
	pass->writer = uid;
}

int32_t passes_open(struct passes *passes, struct object *object, uid_t uid, bool writes,
		    bool without)
{
	struct pass *pass;
	int32_t backing = -ENOMEM;

	pthread_mutex_lock(&passes->lock);
	pass = idmap_get(&passes->ids, object_id(object));
	if (!pass)
		pass = first_locked(passes, object, without);
	if (pass) {
		pass->opens++;
		if (writes)
			note_writer(pass, uid);
		backing = pass->backing;
	}
	pthread_mutex_unlock(&passes->lock);
	return backing;
}

static bool may_raise(struct passes *passes, uint64_t id, uid_t owner)
{
	const struct pass *pass;
	bool may;

	pthread_mutex_lock(&passes->lock);
	pass = idmap_get(&passes->ids, id);
	may = !pass || !pass->backing || !pass->writer || (!pass->writers && pass->writer == owner);
	pthread_mutex_unlock(&passes->lock);
	return may;
}

bool passes_may_raise(struct passes *passes, uint64_t id, uid_t owner)
{
	for (unsigned i = 0; i < CLOSE_WAITS; i++) {
		if (may_raise(passes, id, owner))
			return true;
		usleep(CLOSE_WAIT_US);
	}
	return may_raise(passes, id, owner);
}

void passes_close(struct passes *passes, uint64_t id)
{
	struct pass *pass;

	pthread_mutex_lock(&passes->lock);
	pass = idmap_get(&passes->ids, id);
	if (pass && !--pass->opens) {
		uint32_t backing = (uint32_t)pass->backing;

		if (backing && ioctl(passes->device, DEV_BACKING_CLOSE, &backing))
			log_warning("the kernel keeps a plain file of inode %llu open: %s",
				    (unsigned long long)id, strerror(errno));
		idmap_del(&passes->ids, id);
		free(pass);
	}
	pthread_mutex_unlock(&passes->lock);
}
