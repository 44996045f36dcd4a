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
	int fd, error, closed;

	io_remove(fresh); /* what a daemon with this number left behind */
	/* The folder may be open to others: what they put there meanwhile is not written to. */
	fd = io_open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
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

static int replace(const char *file, const char *text, size_t len, bool *replaced)
{
	char *fresh;
	int error;

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
	free(fresh);
	return error;
}

int config_edit_replace(const char *file, const char *text, size_t len, bool *replaced)
{
	/* A link stays one: whoever keeps his configurations elsewhere wants the change there. */
	char *real = realpath(file, NULL);
	int error = real ? 0 : -errno;

	*replaced = false;
	if (!error)
		error = replace(real, text, len, replaced);
	if (error)
		log_error("%s: cannot change the configuration: %s", file, strerror(-error));
	free(real);
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

/* Is the line (without its newline) the head of a section, and of this one, "pool" or "tier NAME"?
 */
static bool section_of(const char *line, size_t len, const char *section, bool *ours)
{
	size_t i = 0;

	while (i < len && is_blank(line[i]))
		i++;
	if (i == len || line[i] != '[')
		return false;
	for (i++; i < len && line[i] == *section && *section; i++, section++) {
		if (*section != ' ')
			continue;
		while (i + 1 < len && is_blank(line[i + 1]))
			i++;
	}
	*ours = !*section && i < len && line[i] == ']';
	return true;
}

/* Is it "KEY = VALUE"? The value without what a comment takes. */
static bool key_line(const char *line, size_t len, const char *key, const char **value,
		     size_t *value_len)
{
	size_t i = 0, end, n = strlen(key);

	while (i < len && is_blank(line[i]))
		i++;
	if (len - i < n || strncmp(line + i, key, n) != 0)
		return false;
	for (i += n; i < len && is_blank(line[i]); i++)
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

int config_edit_path(const char *text, size_t len, const char *tier, const char *key,
		     const char *path, bool add, char **out, size_t *out_len)
{
	size_t at = 0, place = 0, until = 0, room = len + strlen(key) + strlen(path) + 16;
	char section[64], *fresh;
	bool ours = false, found = false;

	*out = NULL;
	snprintf(section, sizeof(section), "tier %s", tier);
	while (at < len) {
		const char *line = text + at, *newline = memchr(line, '\n', len - at), *value;
		size_t n = newline ? (size_t)(newline - line) : len - at, value_len;
		size_t next = at + n + (newline ? 1 : 0);

		if (section_of(line, n, section, &ours)) {
			if (ours && add && !found) {
				place = until = next;
				found = true;
			}
		} else if (ours && (key_line(line, n, key, &value, &value_len) ||
				    (add && key_line(line, n, "path", &value, &value_len)))) {
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

		*out_len += (size_t)snprintf(fresh + place, room - place, "%s%s = %s\n",
					     open ? "\n" : "", key, path);
	}
	memcpy(fresh + *out_len, text + until, len - until);
	*out_len += len - until;
	*out = fresh;
	return 0;
}

/* Where a key of a section is, or may be put. */
struct spot {
	bool has_key;
	size_t value, value_len; /* has_key */
	bool has_section;
	size_t shown; /* behind the comment with its default; 0 = there is none */
	size_t end;   /* behind the section's last line that says something */
	size_t tiers; /* where the first tier's section begins; len = there is none */
};

static bool is_comment_of(const char *line, size_t len, const char *key)
{
	const char *value;
	size_t value_len;

	while (len && is_blank(*line)) {
		line++;
		len--;
	}
	return len && (*line == '#' || *line == ';') &&
	       key_line(line + 1, len - 1, key, &value, &value_len);
}

static bool is_tier_head(const char *line, size_t len)
{
	while (len && is_blank(*line)) {
		line++;
		len--;
	}
	return len > 5 && !strncmp(line, "[tier ", 6);
}

static void find_spot(const char *text, size_t len, const char *section, const char *key,
		      struct spot *spot)
{
	bool ours = false;
	size_t next;

	*spot = (struct spot){.tiers = len};
	for (size_t at = 0; at < len; at = next) {
		const char *line = text + at, *newline = memchr(line, '\n', len - at), *value;
		size_t n = newline ? (size_t)(newline - line) : len - at;

		next = at + n + (newline ? 1 : 0);
		if (section_of(line, n, section, &ours)) {
			spot->has_section |= ours;
			if (spot->tiers == len && is_tier_head(line, n))
				spot->tiers = at;
		}
		if (!ours)
			continue;
		if (key_line(line, n, key, &value, &spot->value_len)) {
			spot->has_key = true;
			spot->value = (size_t)(value - text);
			return;
		}
		if (!spot->shown && is_comment_of(line, n, key))
			spot->shown = next;
		while (n && is_blank(*line)) {
			line++;
			n--;
		}
		if (n && *line != '#' && *line != ';') /* a comment may be the next section's */
			spot->end = next;
	}
}

bool config_edit_has(const char *text, size_t len, const char *section, const char *key)
{
	struct spot spot;

	find_spot(text, len, section, key, &spot);
	return spot.has_key;
}

int config_edit_value(const char *text, size_t len, const char *section, const char *key,
		      const char *value, char **out, size_t *out_len)
{
	struct spot spot;
	size_t from, to;
	FILE *file;

	*out = NULL;
	find_spot(text, len, section, key, &spot);
	if (!spot.has_section && strcmp(section, "tier ram") != 0)
		return -ENOENT;
	file = open_memstream(out, out_len);
	if (!file)
		return -ENOMEM;
	from = spot.has_key	  ? spot.value
	       : spot.shown	  ? spot.shown
	       : spot.has_section ? spot.end
				  : spot.tiers;
	to = spot.has_key ? from + spot.value_len : from;
	fwrite(text, 1, from, file);
	if (!spot.has_key && from && text[from - 1] != '\n')
		fputc('\n', file);
	if (spot.has_key)
		fputs(value, file);
	else if (spot.has_section)
		fprintf(file, "%s = %s\n", key, value);
	else
		fprintf(file, "[%s]\n%s = %s\n\n", section, key, value);
	fwrite(text + to, 1, len - to, file);
	if (fclose(file)) {
		free(*out);
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}
