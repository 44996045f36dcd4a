// SPDX-License-Identifier: Apache-2.0
#include "tiers/config_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"

#define FILE_MAX (1u << 20)

static pthread_mutex_t edit_lock = PTHREAD_MUTEX_INITIALIZER;

void config_edit_lock(void)
{
	pthread_mutex_lock(&edit_lock);
}

void config_edit_unlock(void)
{
	pthread_mutex_unlock(&edit_lock);
}

int config_edit_read(const char *file, char **text, size_t *len)
{
	struct stat st = {0};
	int fd = io_open(file, O_RDONLY, 0), error;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return fd;
	error = io_stat(fd, &st);
	if (!error && (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX))
		error = -EFBIG;
	if (!error) {
		*len = (size_t)st.st_size;
		*text = calloc(1, *len + 1);
		error = *text ? io_pread_all(fd, *text, *len, 0) : -ENOMEM;
	}
	io_close(fd); /* nothing was written */
	if (error) {
		free(*text);
		*text = NULL;
	}
	return error;
}

/* As the old one's; a file that became unreadable for its admin would be no help. */
static int take_owner(const char *file, int fd)
{
	struct stat st;

	if (stat(file, &st))
		return -errno;
	if (fchown(fd, st.st_uid, st.st_gid) && errno != EPERM)
		return -errno;
	return fchmod(fd, st.st_mode & 07777) ? -errno : 0;
}

static int write_beside(const char *file, const char *fresh, const char *text, size_t len)
{
	int fd = io_open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int error, closed;

	if (fd < 0)
		return fd;
	error = take_owner(file, fd);
	if (!error)
		error = io_pwrite_all(fd, text, len, 0);
	if (!error)
		error = io_sync_file(fd);
	closed = io_close(fd);
	return error ? error : closed;
}

int config_edit_replace(const char *file, const char *text, size_t len, bool *replaced)
{
	char *fresh;
	int error;

	*replaced = false;
	if (asprintf(&fresh, "%s.%ld.new", file, (long)getpid()) < 0)
		return -ENOMEM;
	error = write_beside(file, fresh, text, len);
	if (!error)
		error = io_rename(fresh, file);
	*replaced = !error;
	if (error)
		io_remove(fresh);
	else
		error = config_edit_sync(file);
	if (error)
		log_error("%s: cannot change the configuration: %s", file, strerror(-error));
	free(fresh);
	return error;
}

int config_edit_sync(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *folder = !slash	       ? strdup(".")
		       : slash == file ? strdup("/")
				       : strndup(file, (size_t)(slash - file));
	int error = folder ? io_sync_folder(folder) : -ENOMEM;

	free(folder);
	return error;
}

/* Lines ---------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Is the line (without its newline) the head of a section, and of this tier's? */
static bool section_of(const char *line, size_t len, const char *tier, bool *ours)
{
	size_t i = 0, n = strlen(tier);

	while (i < len && is_blank(line[i]))
		i++;
	if (i == len || line[i] != '[')
		return false;
	*ours = false;
	line += i + 1;
	len -= i + 1;
	if (len < 5 || strncmp(line, "tier ", 5) != 0)
		return true;
	for (i = 5; i < len && is_blank(line[i]); i++)
		;
	*ours = len > i + n && !strncmp(line + i, tier, n) && line[i + n] == ']';
	return true;
}

/* Is it "path = VALUE"? The value without what a comment takes. */
static bool path_line(const char *line, size_t len, const char **value, size_t *value_len)
{
	size_t i = 0, end;

	while (i < len && is_blank(line[i]))
		i++;
	if (len - i < 4 || strncmp(line + i, "path", 4) != 0)
		return false;
	for (i += 4; i < len && is_blank(line[i]); i++)
		;
	if (i == len || (line[i] != '=' && line[i] != ':'))
		return false;
	for (i++; i < len && is_blank(line[i]); i++)
		;
	for (end = i; end < len; end++)
		if (line[end] == ';' && end > i && is_blank(line[end - 1]))
			break;
	while (end > i && is_blank(line[end - 1]))
		end--;
	*value = line + i;
	*value_len = end - i;
	return true;
}

int config_edit_path(const char *text, size_t len, const char *tier, const char *path, bool add,
		     char **out, size_t *out_len)
{
	size_t at = 0, place = 0, until = 0, room = len + strlen(path) + 16;
	bool ours = false, found = false;
	char *fresh;

	*out = NULL;
	while (at < len) {
		const char *line = text + at, *newline = memchr(line, '\n', len - at), *value;
		size_t n = newline ? (size_t)(newline - line) : len - at, value_len;
		size_t next = at + n + (newline ? 1 : 0);

		if (section_of(line, n, tier, &ours)) {
			if (ours && add && !found) {
				place = until = next;
				found = true;
			}
		} else if (ours && path_line(line, n, &value, &value_len)) {
			bool same = value_len == strlen(path) && !strncmp(value, path, value_len);

			if (add || same) {
				place = add ? next : at;
				until = next;
				found = true;
			}
		}
		at = next;
	}
	if (!found)
		return -ENOENT;
	fresh = malloc(room);
	if (!fresh)
		return -ENOMEM;
	memcpy(fresh, text, place);
	*out_len = place;
	if (add) {
		bool open = place && text[place - 1] != '\n';

		*out_len += (size_t)snprintf(fresh + place, room - place, "%spath = %s\n",
					     open ? "\n" : "", path);
	}
	memcpy(fresh + *out_len, text + until, len - until);
	*out_len += len - until;
	*out = fresh;
	return 0;
}
