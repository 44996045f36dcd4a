// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "tiers/log.h"

#define THREADS_MIN	    8u
#define THREADS_MAX	    32u
#define THREADS_PER_CPU	    4u
#define READ_AHEAD_KB	    "2048" /* the default of 128 would keep reads at 128 KiB */
#define DIRTY_RATIO_PERCENT "50"   /* of what may be dirty at all; FUSE's default is 1 */

static void want(struct fuse_conn_info *conn, unsigned cap, bool on)
{
	if (on && (conn->capable & cap))
		conn->want |= cap;
	else
		conn->want &= ~cap;
}

void session_want(struct fuse_conn_info *conn, bool writeback)
{
	want(conn, FUSE_CAP_WRITEBACK_CACHE, writeback);
	want(conn, FUSE_CAP_POSIX_ACL, true);
	want(conn, FUSE_CAP_DONT_MASK, true);
	want(conn, FUSE_CAP_EXPORT_SUPPORT, true);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC, true);
	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_ASYNC_DIO, true);
	want(conn, FUSE_CAP_READDIRPLUS, true);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, true);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, true);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	/* Nobody changes files behind the kernel's back, so mtime need not be looked at. */
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
	/* A pipe in between costs more than the copy it saves (measured by others, too). */
	want(conn, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);
	/* flock and POSIX locks stay in the kernel: there is one mount per pool. */
	want(conn, FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS, false);
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
}

/* Device number of the mount as "MAJ:MIN", which also names its bdi. stat(2) would ask ourselves.
 */
static int device_of(const char *point, char *out, size_t cap)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, device[32], path[4096];
	size_t line_cap = 0;
	int r = -ENOENT;

	if (!file)
		return -errno;
	while (getline(&line, &line_cap, file) > 0) {
		if (sscanf(line, "%*u %*u %31s %*s %4095s", device, path) == 2 &&
		    !strcmp(path, point)) {
			snprintf(out, cap, "%s", device);
			r = 0; /* the last one is on top */
		}
	}
	free(line);
	fclose(file);
	return r;
}

static void tune(const char *device, const char *setting, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/%s", device, setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_debug("%s stays as it is: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void session_tune(const char *point)
{
	char device[32];

	if (device_of(point, device, sizeof(device)))
		return;
	tune(device, "read_ahead_kb", READ_AHEAD_KB);
	tune(device, "max_ratio", DIRTY_RATIO_PERCENT);
}

static unsigned session_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = cpus > 0 ? (unsigned)cpus * THREADS_PER_CPU : THREADS_MIN;

	if (threads < THREADS_MIN)
		return THREADS_MIN;
	return threads > THREADS_MAX ? THREADS_MAX : threads;
}

int session_loop(struct fuse_session *session)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	unsigned threads = session_threads();
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, threads);
	fuse_loop_cfg_set_idle_threads(config, threads);
	r = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return r < 0 ? r : 0; /* positive: the signal that ended it */
}
