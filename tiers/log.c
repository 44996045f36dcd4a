// SPDX-License-Identifier: Apache-2.0
#include "tiers/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "tiers/escape.h"

static struct {
	pthread_mutex_t
		lock; /* guards sink and arg; level and use_syslog are set before threads start */
	void (*sink)(void *arg, enum log_level level, const char *line);
	void *arg;
	enum log_level most;
	int use_syslog;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .most = LOG_LEVEL_INFO};

void log_line(enum log_level level, const char *format, ...)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char line[1024], shown[1536];
	va_list args;

	if (level > logger.most)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	escape_line(line, shown, sizeof(shown));
	pthread_mutex_lock(&logger.lock);
	if (logger.sink)
		logger.sink(logger.arg, level, shown);
	else if (logger.use_syslog)
		syslog(priority[level], "%s", shown);
	else
		fprintf(stderr, "terrace: %s\n", shown);
	pthread_mutex_unlock(&logger.lock);
}

void log_level_set(enum log_level most)
{
	logger.most = most;
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	logger.use_syslog = 1;
}

void log_sink_set(void (*sink)(void *arg, enum log_level level, const char *line), void *arg)
{
	pthread_mutex_lock(&logger.lock);
	logger.sink = sink;
	logger.arg = arg;
	pthread_mutex_unlock(&logger.lock);
}

int log_file_error(const char *path, int error)
{
	bool forbidden = error == -EACCES || error == -EPERM;

	log_error("%s: %s%s", path, error_text(error),
		  forbidden
			  ? ": be the pool's owner or root, or give its files to the owner (chown)"
			  : "");
	return error;
}

const char *error_text(int error)
{
	switch (error) {
	case -EBADMSG:
		return "damaged (checksum)";
	case -EUCLEAN:
		return "damaged (structure)";
	default:
		return strerror(-error);
	}
}
