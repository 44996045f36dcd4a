// SPDX-License-Identifier: Apache-2.0
/*
 * Walks of a tree that may be damaged. A file that nobody writes to is read without LMDB
 * (meta_walk.h); a live one by a child process. The child tells over a pipe: the length of a key (2
 * bytes) and the key whose value is damaged; at the end a length of 0 and an error (4 bytes).
 * Without that end the child died. Keys must come in order, so a cycle of pages ends the walk too.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/meta_look.h"
#include "tiers/meta_tree.h"
#include "tiers/meta_walk.h"

#define PATIENCE_S 120u	      /* a child that has read nothing new for so long hangs */
#define STEP	   (1u << 16) /* keys between two looks at the clock */

static int put(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* All of buf, or false: the child has ended. */
static bool get(int fd, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static int tell_damaged(int fd, const uint8_t *key, size_t len)
{
	uint16_t head = (uint16_t)len;
	int rc = put(fd, &head, sizeof(head));

	return rc ? rc : put(fd, key, len);
}

static int step_check(int fd, struct tree_read *read, const uint8_t *key, size_t len, uint8_t *last,
		      size_t *last_len)
{
	size_t common = len < *last_len ? len : *last_len;
	int order = memcmp(key, last, common);
	const uint8_t *value;
	size_t value_len;
	int rc;

	if (order < 0 || (order == 0 && len <= *last_len && *last_len)) {
		log_error("the metadata's tree has keys out of order");
		return -EUCLEAN;
	}
	memcpy(last, key, len);
	*last_len = len;
	rc = tree_read_value(read, &value, &value_len);
	if (rc != -EBADMSG)
		return rc;
	return tell_damaged(fd, key, len);
}

static int walk(int fd, struct tree *tree)
{
	uint8_t last[META_KEY_MAX];
	size_t len, last_len = 0;
	struct tree_read *read;
	const uint8_t *key;
	uint64_t n = 0;
	int rc = tree_read_begin(tree, &read);

	if (rc)
		return rc;
	for (rc = tree_read_seek(read, "", 0, false, &key, &len); !rc;
	     rc = tree_read_next(read, &key, &len)) {
		rc = step_check(fd, read, key, len, last, &last_len);
		if (rc)
			break;
		if (++n % STEP == 0)
			alarm(PATIENCE_S);
	}
	tree_read_end(read);
	return rc == -ENOENT ? 0 : rc;
}

static void no_lines(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

/* The child. Its messages, and LMDB's when it gives up, would be about bytes that the parent tells
 * of; its signals are not what the parent may have handlers for. */
static void child(int fd, const struct meta_look_options *options)
{
	static const int ends[] = {SIGALRM, SIGBUS, SIGSEGV, SIGABRT, SIGFPE};
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct rlimit none = {0, 0};
	struct tree_state state;
	struct tree *tree;
	uint16_t head = 0;
	int32_t rc;

	if (quiet >= 0)
		dup2(quiet, STDERR_FILENO);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		signal(ends[i], SIG_DFL);
	alarm(PATIENCE_S);
	log_sink_set(no_lines, NULL);
	rc = tree_open_look(&tree, options->dir, options->pool_uuid, options->live, &state);
	if (!rc) {
		rc = walk(fd, tree);
		tree_close(tree);
	}
	if (!put(fd, &head, sizeof(head)))
		(void)put(fd, &rc, sizeof(rc));
}

/* *ended: the child has said how it went. */
static int listen_to(int fd, int (*each)(void *arg, const void *key, size_t key_len), void *arg,
		     bool *ended)
{
	uint8_t key[META_KEY_MAX];
	uint16_t head;
	int32_t error;
	int rc = 0;

	*ended = false;
	while (!rc && get(fd, &head, sizeof(head))) {
		if (!head) {
			*ended = get(fd, &error, sizeof(error));
			return *ended ? error : 0;
		}
		if (head > sizeof(key) || !get(fd, key, head))
			return 0;
		rc = each(arg, key, head);
	}
	return rc;
}

static void say_how(int status, char *why, size_t cap)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(why, cap, "reading it does not end");
	else if (WIFSIGNALED(status))
		snprintf(why, cap, "reading it ends in signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(why, cap, "reading it ends with status %d", WEXITSTATUS(status));
}

static int live_walk(const struct meta_look_options *options,
		     int (*each)(void *arg, const void *key, size_t key_len), void *arg, char *why,
		     size_t why_cap)
{
	int ends[2], rc, status = 0;
	bool ended = true;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child(ends[1], options);
		_exit(0);
	}
	rc = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!rc)
		rc = listen_to(ends[0], each, arg, &ended);
	close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!rc && !ended) {
		say_how(status, why, why_cap);
		return -EUCLEAN;
	}
	if (rc == -EUCLEAN)
		snprintf(why, why_cap, "its pages do not fit together");
	return rc;
}

int meta_look_walk(const struct meta_look_options *options,
		   int (*each)(void *arg, const void *key, size_t key_len), void *arg, char *why,
		   size_t why_cap)
{
	char path[4096];
	int rc;

	if (options->live)
		return live_walk(options, each, arg, why, why_cap);
	if (snprintf(path, sizeof(path), "%s/metadata.mdb", options->dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	rc = tree_walk_values(path, each, arg, NULL);
	if (rc == -EUCLEAN)
		snprintf(why, why_cap, "see the line above");
	return rc;
}
