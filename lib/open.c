// SPDX-License-Identifier: Apache-2.0
/* Opening and closing a pool from within somebody else's program. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/handle.h"
#include "tiers/blockcache.h"
#include "tiers/log.h"
#include "tiers/object.h"
#include "tiers/pool.h"

#define MODE_BITS 07777u

static struct {
	pthread_mutex_t lock;
	void (*log)(void *arg, enum terrace_log_level level, const char *line);
	void *arg;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void pass_line(void *arg, enum log_level level, const char *line)
{
	static const enum terrace_log_level levels[] = {
		[LOG_LEVEL_ERROR] = TERRACE_LOG_ERROR,
		[LOG_LEVEL_WARNING] = TERRACE_LOG_WARNING,
		[LOG_LEVEL_INFO] = TERRACE_LOG_INFO,
	};

	(void)arg;
	if (level > LOG_LEVEL_INFO)
		return;
	pthread_mutex_lock(&logger.lock);
	if (logger.log)
		logger.log(logger.arg, levels[level], line);
	else if (level <= LOG_LEVEL_WARNING)
		fprintf(stderr, "terrace: %s\n", line);
	pthread_mutex_unlock(&logger.lock);
}

static void logger_set(const struct terrace_options *options)
{
	pthread_mutex_lock(&logger.lock);
	logger.log = options->log;
	logger.arg = options->log_arg;
	pthread_mutex_unlock(&logger.lock);
	log_sink_set(pass_line, NULL);
}

static int read_config(const char *name, struct pool_config *config)
{
	char message[512] = "", *file = config_resolve(name);
	int r = file ? config_load(file, config, message, sizeof(message)) : -ENOMEM;

	if (r)
		log_error("%s", *message ? message : strerror(-r));
	free(file);
	return r;
}

static int open_pool(struct terrace *pool, const char *name)
{
	struct pool_open_options options = {.guest = true, .fetch = true};
	struct pool_config config = {.file = NULL};
	int r = read_config(name, &config);

	if (!r)
		r = pool_open(&config, &options, &pool->pool);
	if (!r)
		r = fs_open(pool->pool, "", &pool->fs);
	if (!r)
		atime_set_mode(pool->fs, ATIME_OFF, true);
	if (r && pool->pool)
		pool_close(pool->pool);
	config_release(&config);
	return r;
}

uint32_t terrace_version(void)
{
	return TERRACE_API_VERSION;
}

int terrace_open(const char *name, const struct terrace_options *options, struct terrace **out)
{
	static const struct terrace_options none;
	struct terrace *pool = calloc(1, sizeof(*pool));
	sigset_t all, before;
	int r;

	*out = NULL;
	if (!pool)
		return -ENOMEM;
	if (!options)
		options = &none;
	logger_set(options);
	pool->cred = (struct fs_cred){.uid = geteuid(), .gid = getegid()};
	pool->file_mode = options->file_mode ? options->file_mode & MODE_BITS : 0644;
	pool->folder_mode = options->folder_mode ? options->folder_mode & MODE_BITS : 0755;
	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = open_pool(pool, name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		free(pool);
	else
		*out = pool;
	return r;
}

int terrace_close(struct terrace *pool)
{
	int r;

	if (!pool)
		return 0;
	fs_close(pool->fs);
	r = pool_close(pool->pool);
	free(pool);
	return r;
}

int terrace_sync(struct terrace *pool)
{
	return fs_fsync_all(pool->fs);
}

int terrace_stats(struct terrace *pool, struct terrace_stats *out)
{
	struct blockcache_stats stats;

	object_fetch_stats(pool->pool, &stats);
	*out = (struct terrace_stats){.gets = stats.hits,
				      .misses = stats.misses,
				      .cache_bytes = stats.bytes,
				      .objects = stats.blocks,
				      .buffers_reused = stats.reused,
				      .buffers_made = stats.allocated};
	return 0;
}
