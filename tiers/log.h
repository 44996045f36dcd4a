/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event, to stderr (foreground) or syslog (daemon). Each error is logged once, where
 * it is born: what, where, what to do. What names in it may hold is
 * escaped (tiers/escape.h). Any thread. Tests may take the lines over.
 */
#ifndef TERRACE_TIERS_LOG_H
#define TERRACE_TIERS_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

void log_level_set(enum log_level most);
void log_to_syslog(const char *ident);
/* sink(arg, level, line); NULL puts the default back. */
void log_sink_set(void (*sink)(void *arg, enum log_level level, const char *line), void *arg);
/* "path: why", for a file of a pool that cannot be opened or read. Returns error. */
int log_file_error(const char *path, int error);
/* A negative errno in words, as strerror(), but for what damage is called here. A string that lasts
 * until the thread's next call. */
const char *error_text(int error);

#endif
