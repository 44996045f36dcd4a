// SPDX-License-Identifier: Apache-2.0
/*
 * terrace sync and terrace umount. Invariants:
 *  1. umount says "done" only when the daemon has ended: then everything is on the media.
 *  2. The daemon is held by a pidfd from before the unmount on, so that a new process of the same
 *     number is never taken for it.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

#define PATIENCE_MS 3000 /* then a line says what is waited for */

static enum exit_code sync_root(const struct mount *mount)
{
	int fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum exit_code code = EXIT_DONE;

	if (fd < 0 || fsync(fd))
		code = complain(errno == ENOSPC ? EXIT_BUSY : EXIT_FAILED, "%s: %s%s", mount->point,
				strerror(errno),
				errno == ENOSPC ? ": written data waits in RAM for room; delete "
						  "something, or add a directory (`terrace "
						  "config add`), and try again"
				: errno == ENOTCONN
					? ": the daemon is gone; unmount and mount again"
					: "");
	if (fd >= 0)
		close(fd);
	return code;
}

static enum exit_code print_done(const struct options *options, const char *what,
				 const struct mount *mount)
{
	if (has(options, OPTION_JSON) &&
	    !json_print(json_pack("{so ss}", "mount", json_name(mount->point), "result", what)))
		return complain(EXIT_FAILED, "out of memory");
	return EXIT_DONE;
}

enum exit_code verb_sync(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	code = sync_root(&mount);
	if (!code)
		code = print_done(options, "synced", &mount);
	mount_release(&mount);
	return code;
}

/* What the program wrote to stderr, first line, in out; its exit status, or -1. */
static int run_program(char *const argv[], char *out, size_t cap)
{
	int ends[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	child = fork();
	if (!child) {
		setenv("LC_ALL", "C", 1); /* "busy" is looked for below */
		dup2(ends[1], STDERR_FILENO);
		execvp(argv[0], argv);
		dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(ends[1]);
	while (child > 0 && used < cap - 1 &&
	       ((got = read(ends[0], out + used, cap - 1 - used)) > 0 ||
		(got < 0 && errno == EINTR)))
		used += got > 0 ? (size_t)got : 0;
	out[used] = '\0';
	out[strcspn(out, "\n")] = '\0';
	close(ends[0]);
	if (child < 0)
		return -1;
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum exit_code unmount(const struct mount *mount)
{
	char *as_root[] = {"umount", mount->point, NULL};
	char *as_user[] = {"fusermount3", "-u", mount->point, NULL};
	char said[512] = "";
	int status = run_program(geteuid() ? as_user : as_root, said, sizeof(said));

	if (!status)
		return EXIT_DONE;
	if (strstr(said, "busy"))
		return complain(EXIT_BUSY, "%s is in use; `fuser -vm %s` says by whom",
				mount->point, mount->point);
	if (geteuid() && strstr(said, "not found in"))
		return complain(EXIT_FAILED, "%s: only root, and who mounted it, may unmount it",
				mount->point);
	return complain(EXIT_FAILED, "%s", said[0] ? said : "umount failed");
}

static enum exit_code wait_end(int pidfd, uint64_t pid)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};
	int ready = poll(&wait, 1, PATIENCE_MS);

	if (!ready) {
		fprintf(stderr, "waiting for terracefs (%" PRIu64 ") to write everything out\n",
			pid);
		do {
			ready = poll(&wait, 1, -1);
		} while (ready < 0 && errno == EINTR);
	}
	return ready > 0 ? EXIT_DONE
			 : complain(EXIT_FAILED, "waiting for terracefs: %s", strerror(errno));
}

/* The number is the daemon's own, of its namespace: here it may be another one's, init's, say. */
static bool is_daemon(uint64_t pid)
{
	char path[64], name[32] = "";
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/comm", pid);
	in = fopen(path, "re");
	if (!in)
		return false;
	if (!fgets(name, sizeof(name), in))
		name[0] = '\0';
	fclose(in);
	return !strcmp(name, "terracefs\n");
}

/* A descriptor of the daemon; -1 when it is gone already or out of sight (another container). */
static int daemon_pidfd(const struct mount *mount, uint64_t *pid)
{
	bool whole = !strcmp(mount->root, "/"); /* a part has no control folder */
	json_t *stats = whole ? control_read(mount, "stats.json") : NULL;
	int fd = -1;

	*pid = stats ? control_number(stats, "pid") : 0;
	if (*pid)
		fd = (int)syscall(SYS_pidfd_open, (pid_t)*pid, 0);
	if (fd >= 0 && !is_daemon(*pid)) {
		close(fd);
		fd = -1;
	}
	json_decref(stats);
	return fd;
}

enum exit_code verb_umount(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, true, &mount);
	char rest[512];
	uint64_t pid;
	int pidfd;

	if (code)
		return code;
	/* A daemon that has died leaves a mount without one; that too is to be taken away. */
	if (mount_is_dead(&mount)) {
		code = unmount(&mount);
		if (!code)
			code = print_done(options, "unmounted (the daemon had died)", &mount);
		mount_release(&mount);
		return code;
	}
	code = sync_root(&mount);
	pidfd = code ? -1 : daemon_pidfd(&mount, &pid);
	if (!code)
		code = unmount(&mount);
	if (!code && mount_remains(&mount, rest, sizeof(rest)))
		code = complain(EXIT_BUSY, "%s is unmounted; the pool is still mounted at %s",
				mount.point, rest);
	if (!code && pidfd >= 0)
		code = wait_end(pidfd, pid);
	if (!code)
		code = print_done(options, "unmounted", &mount);
	if (pidfd >= 0)
		close(pidfd);
	mount_release(&mount);
	return code;
}
