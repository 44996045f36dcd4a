// SPDX-License-Identifier: Apache-2.0
/*
 * Finding mounts. Invariants:
 *  1. A mount is known by its device number and its place; a later one at the same place hides the
 *     earlier, so the last match wins.
 *  2. Nothing is asked of a mount before it is known to be one of ours.
 */
#include "tools/terrace/mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FS_TYPE "fuse.terracefs"

void mount_release(struct mount *mount)
{
	free(mount->point);
	free(mount->root);
	free(mount->source);
	memset(mount, 0, sizeof(*mount));
}

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. */
static char *unescape(const char *text)
{
	char *copy = strdup(text), *to = copy;

	for (; copy && *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	if (copy)
		*to = '\0';
	return copy;
}

/* "36 35 98:0 ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS"; false: not one of ours. */
static bool parse_line(char *line, struct mount *out)
{
	char *fields[5], *type, *source, *rest = line;
	unsigned major, minor;
	int i;

	for (i = 0; i < 5; i++) {
		fields[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	rest = strstr(rest, " - ");
	if (!rest)
		return false;
	rest += 3;
	type = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (strcmp(type, FS_TYPE) != 0 || sscanf(fields[2], "%u:%u", &major, &minor) != 2)
		return false;
	out->device = makedev(major, minor);
	out->root = unescape(fields[3]);
	out->point = unescape(fields[4]);
	out->source = unescape(source ? source : "");
	return out->root && out->point && out->source;
}

/* All mounts of pools; the array and what it holds are the caller's. */
static enum exit_code list_mounts(struct mount **list, size_t *n)
{
	FILE *in = fopen("/proc/self/mountinfo", "re");
	enum exit_code code = EXIT_DONE;
	char *line = NULL;
	size_t cap = 0;

	*list = NULL;
	*n = 0;
	if (!in)
		return complain(EXIT_FAILED, "/proc/self/mountinfo: %s", strerror(errno));
	while (getline(&line, &cap, in) >= 0) {
		struct mount mount = {NULL, NULL, NULL, 0}, *more;

		line[strcspn(line, "\n")] = '\0';
		if (!parse_line(line, &mount)) {
			mount_release(&mount);
			continue;
		}
		more = realloc(*list, (*n + 1) * sizeof(**list));
		if (!more) {
			mount_release(&mount);
			code = complain(EXIT_FAILED, "out of memory");
			break;
		}
		*list = more;
		more[(*n)++] = mount;
	}
	free(line);
	fclose(in);
	return code;
}

static void list_release(struct mount *list, size_t n)
{
	while (n)
		mount_release(&list[--n]);
	free(list);
}

/* Moves entry i out of the list. */
static void take(struct mount *list, size_t i, struct mount *out)
{
	*out = list[i];
	memset(&list[i], 0, sizeof(list[i]));
}

/* The part of path behind folder, "" when they are the same, NULL when it is not below. */
static const char *below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (len == 1) /* "/" */
		return path;
	if (strncmp(path, folder, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len;
}

static char *inside_name(const struct mount *mount, const char *full)
{
	const char *rest = below(full, mount->point);
	char *name;

	if (asprintf(&name, "%s%s", strcmp(mount->root, "/") ? mount->root : "", rest) < 0)
		return NULL;
	if (!name[0]) {
		free(name);
		name = strdup("/");
	}
	return name;
}

bool mount_is_dead(const struct mount *mount)
{
	struct statfs buf;

	/* What the kernel knows of files it goes on telling; this it has to ask for. */
	return statfs(mount->point, &buf) && (errno == ENOTCONN || errno == ECONNABORTED);
}

static enum exit_code cannot_look(const char *path)
{
	if (errno == ENOTCONN)
		return complain(EXIT_FAILED,
				"%s: its daemon is gone; unmount it and mount it again (what was "
				"acknowledged is kept)",
				path);
	return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
}

/* A pool's configuration file stands for the pool. */
static bool is_config(const char *path)
{
	size_t len = strlen(path);
	struct stat st;

	return len > 5 && !strcmp(path + len - 5, ".conf") && !stat(path, &st) &&
	       S_ISREG(st.st_mode);
}

/* Nothing is mounted under this name: a pool's, or a path. */
static enum exit_code not_mounted(const char *name)
{
	char *path = strchr(name, '/') ? NULL : config_resolve(name);
	bool pool = path && !access(path, F_OK);

	free(path);
	if (pool || is_config(name))
		return complain(EXIT_FAILED,
				"the pool %s is not mounted; `terracefs %s MNT` mounts it", name,
				name);
	if (!access(name, F_OK))
		return complain(EXIT_FAILED, "%s: no pool is mounted there", name);
	if (errno == ENOENT && !strchr(name, '/'))
		return complain(EXIT_FAILED,
				"%s: no such file, and no pool of this name is mounted", name);
	return cannot_look(name);
}

enum exit_code mount_of_path(const char *path, struct mount *out, char **inside)
{
	char *full = realpath(path, NULL);
	struct mount *list;
	struct stat stat_buf;
	size_t n, i, best;
	enum exit_code code;

	memset(out, 0, sizeof(*out));
	if (!full || stat(full, &stat_buf)) {
		code = cannot_look(path);
		free(full);
		return code;
	}
	code = list_mounts(&list, &n);
	for (i = 0, best = n; i < n; i++) {
		if (list[i].device != stat_buf.st_dev || !below(full, list[i].point))
			continue;
		if (best == n || strlen(list[i].point) >= strlen(list[best].point))
			best = i;
	}
	if (!code && best == n)
		code = is_config(path) ? not_mounted(path)
				       : complain(EXIT_FAILED, "%s: not on a mounted pool%s", path,
						  n ? "" : " (none is mounted)");
	if (!code && inside) {
		*inside = inside_name(&list[best], full);
		if (!*inside)
			code = complain(EXIT_FAILED, "out of memory");
	}
	/* The control folder is reached through a mount of the whole pool. */
	for (i = 0; !code && strcmp(list[best].root, "/") && i < n; i++) {
		if (list[i].device == stat_buf.st_dev && !strcmp(list[i].root, "/"))
			best = i;
	}
	if (!code)
		take(list, best, out);
	list_release(list, n);
	free(full);
	return code;
}

/* Is the pool of this mount called so? Its name is the configuration's, without .conf. */
static bool is_pool(const struct mount *mount, const char *name)
{
	const char *slash = strrchr(mount->source, '/'), *base = slash ? slash + 1 : mount->source;
	size_t len = strlen(name);

	return !strcmp(mount->source, name) ||
	       (!strncmp(base, name, len) && (!base[len] || !strcmp(base + len, ".conf")));
}

static enum exit_code ambiguous(const struct mount *list, size_t n)
{
	char text[1024] = "";
	size_t i, used = 0;

	if (!n)
		return complain(EXIT_FAILED, "no pool is mounted; `terracefs POOL MNT` mounts one");
	for (i = 0; i < n && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, " %s", list[i].point);
	return complain(EXIT_USAGE, "several pools are mounted, say which:%s", text);
}

/* Names a mount without touching it: by its place or its pool. n: none. */
static size_t match_name(const struct mount *list, size_t n, const char *name)
{
	char full[PATH_MAX * 2], here[PATH_MAX];
	size_t i, found = n, len;

	if (name[0] == '/' || !getcwd(here, sizeof(here)))
		snprintf(full, sizeof(full), "%.4000s", name);
	else
		snprintf(full, sizeof(full), "%s/%.4000s", here, name);
	for (len = strlen(full); len > 1 && full[len - 1] == '/'; len--)
		full[len - 1] = '\0';
	for (i = 0; i < n; i++) {
		if (!strcmp(list[i].point, full))
			found = i;
	}
	if (found < n)
		return found;
	for (i = 0; i < n; i++) {
		if (is_pool(&list[i], name))
			found = i;
	}
	return found;
}

/*
 * Without a name: the pool that the current folder is on, else the only one. Bind mounts of parts
 * have no control folder; who means one names it. n: none, or several.
 */
static size_t choose(const struct mount *list, size_t n)
{
	struct stat here;
	bool inside = !stat(".", &here);
	size_t i, only = n, others = 0;

	for (i = 0; i < n; i++) {
		if (strcmp(list[i].root, "/") != 0)
			continue;
		if (inside && list[i].device == here.st_dev)
			return i;
		if (only == n)
			only = i;
		else if (list[only].device != list[i].device)
			others++;
	}
	return others ? n : only;
}

enum exit_code mount_find(const char *name, bool dead, struct mount *out)
{
	struct mount *list;
	size_t n, i;
	enum exit_code code;

	memset(out, 0, sizeof(*out));
	code = list_mounts(&list, &n);
	if (code)
		return code;
	if (name && !dead && !access(name, F_OK) &&
	    (!is_config(name) || match_name(list, n, name) == n)) {
		list_release(list, n);
		return mount_of_path(name, out, NULL);
	}
	if (!name) {
		i = choose(list, n);
		if (i < n)
			take(list, i, out);
		else
			code = ambiguous(list, n);
	} else {
		char *full;

		i = match_name(list, n, name);
		if (i == n && (full = realpath(name, NULL))) {
			i = match_name(list, n, full); /* a link to the place */
			free(full);
		}
		if (i < n)
			take(list, i, out);
		else
			code = not_mounted(name);
	}
	list_release(list, n);
	return code;
}

bool mount_remains(const struct mount *mount, char *where, size_t cap)
{
	struct mount *list;
	size_t n, i;
	bool found = false;

	if (list_mounts(&list, &n))
		return false;
	for (i = 0; i < n && !found; i++) {
		found = list[i].device == mount->device;
		if (found)
			snprintf(where, cap, "%s", list[i].point);
	}
	list_release(list, n);
	return found;
}
