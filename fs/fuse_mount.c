// SPDX-License-Identifier: Apache-2.0
/*
 * The order at the end matters. Unmounting first, while requests are still served, makes the kernel
 * write its cache back; ending the session first would throw it away. So a signal unmounts, and the
 * session ends because the mount has gone.
 */
#include "fs/fuse_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse_init.h"
#include "fs/fuse_ops.h"
#include "fs/fuse_pass.h"
#include "fs/fuse_session.h"
#include "fs/fuse_uring.h"
#include "fs/fuse_wait.h"
#include "tiers/log.h"

struct mount {
	struct fuse_door door;
	struct fuse_session *session;
	char *point;
	pthread_t server; /* runs the session's loop */
};

static void log_fuse(enum fuse_log_level level, const char *format, va_list args)
{
	char line[512];
	size_t len;

	vsnprintf(line, sizeof(line), format, args);
	len = strlen(line);
	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	log_line(level <= FUSE_LOG_ERR	     ? LOG_LEVEL_ERROR
		 : level <= FUSE_LOG_WARNING ? LOG_LEVEL_WARNING
		 : level <= FUSE_LOG_INFO    ? LOG_LEVEL_INFO
					     : LOG_LEVEL_DEBUG,
		 "%s", line);
}

static int add_options(const struct mount_options *options, struct fuse_args *args)
{
	char *list = NULL, *name = NULL;
	int r = -ENOMEM;

	if (asprintf(&name, "fsname=%s", options->source) < 0) {
		name = NULL;
		goto out;
	}
	if (fuse_opt_add_opt(&list, "default_permissions,subtype=terracefs") ||
	    fuse_opt_add_opt_escaped(&list, name) ||
	    (options->allow_other && fuse_opt_add_opt(&list, "allow_other")) ||
	    (options->debug && fuse_opt_add_opt(&list, "debug")) ||
	    (options->kernel && *options->kernel && fuse_opt_add_opt(&list, options->kernel)))
		goto out;
	if (fuse_opt_add_arg(args, "terracefs") || fuse_opt_add_arg(args, "-o") ||
	    fuse_opt_add_arg(args, list))
		goto out;
	r = 0;
out:
	free(name);
	free(list);
	return r;
}

static void session_ready(void *arg)
{
	const struct mount *mount = arg;

	session_tune(mount->point);
}

/* Attributes only: pages stay. An inode that the kernel does not know is no error. */
static void tell_kernel(void *arg, uint64_t id)
{
	struct mount *mount = arg;

	fuse_lowlevel_notify_inval_inode(mount->session, id, -1, 0);
}

int mount_new(struct fs *fs, const struct mount_options *options, struct mount **out)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct mount *mount = calloc(1, sizeof(*mount));
	int r = -ENOMEM;

	if (!mount)
		goto out;
	fuse_set_log_func(log_fuse);
	mount->door.fs = fs;
	mount->door.writeback = options->writeback;
	mount->door.dirsync = options->dirsync;
	sem_init(&mount->door.pushing, 0, URING_QUEUE_THREADS / 2);
	mount->point = strdup(options->point);
	r = mount->point ? add_options(options, &args) : -ENOMEM;
	if (!r)
		r = waits_new(fs, &mount->door.waits);
	if (r)
		goto out;
	r = -EINVAL;
	mount->session = fuse_session_new(&args, &fuse_ops, sizeof(fuse_ops), &mount->door);
	if (!mount->session)
		goto out;
	errno = 0;
	mount->door.session = mount->session;
	if (fuse_session_mount(mount->session, mount->point)) {
		r = errno ? -errno : -EPERM;
		goto out;
	}
	r = wire_attach(mount->session, options->io_uring, session_ready, mount);
	if (r)
		goto out;
	if (options->passthrough)
		r = passes_new(&mount->door.passes, fuse_session_fd(mount->session));
	if (r)
		goto out;
	fs_on_change(fs, tell_kernel, mount);
	*out = mount;
	mount = NULL;
out:
	fuse_opt_free_args(&args);
	mount_free(mount);
	return r;
}

/* Unmounts as any user may: directly, or through fusermount3. lazy: although files are open. */
static int unmount(const char *point, bool lazy)
{
	char *argv[] = {"fusermount3", "-u", "-q", lazy ? "-z" : "--", (char *)point, NULL};
	int status = 0, r;
	pid_t pid;

	/* Forced: the connection is cut, or those who hold files open would keep us waiting. */
	if (!umount2(point, lazy ? MNT_FORCE | MNT_DETACH : 0))
		return 0;
	r = -errno;
	if (r != -EPERM)
		return r;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EBUSY : 0;
}

/* Files are open: what is dirty in the kernel is written back as long as we serve, then the mount
 * goes from the tree and the session ends under them. */
static void leave_busy(struct mount *mount)
{
	int fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd))
		log_error("%s: what the kernel had not written back yet is lost: %s", mount->point,
			  strerror(errno));
	if (fd >= 0)
		close(fd);
	unmount(mount->point, true);
	fuse_session_exit(mount->session);
	pthread_kill(mount->server, SIGUSR1);
}

/* Waits for SIGTERM or SIGINT; SIGHUP: the configuration is read again; SIGUSR1 to this thread: the
 * session is over. */
static void *watch_signals(void *arg)
{
	struct mount *mount = arg;
	sigset_t set;
	int sig, r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	while (!sigwait(&set, &sig) && sig != SIGUSR1) {
		if (sig == SIGHUP) {
			fs_reload(mount->door.fs);
			continue;
		}
		r = unmount(mount->point, false);
		if (r == -EBUSY) {
			log_warning("%s is in use and goes all the same: a signal asked for it",
				    mount->point);
			leave_busy(mount);
		} else if (r && r != -EINVAL) {
			log_error("%s cannot be unmounted: %s", mount->point, strerror(-r));
		}
	}
	return NULL;
}

static void interrupt(int sig)
{
	(void)sig; /* ends the loop's wait */
}

int mount_run(struct mount *mount)
{
	struct sigaction action = {.sa_handler = interrupt};
	pthread_t watcher;
	sigset_t wake;
	int r;

	mount->server = pthread_self();
	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL); /* no SA_RESTART */
	sigemptyset(&wake);
	sigaddset(&wake, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &wake, NULL); /* for the watcher, who takes it with sigwait() */
	r = -pthread_create(&watcher, NULL, watch_signals, mount);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	if (r)
		return r;
	r = session_loop(mount->session);
	wire_stop();
	pthread_kill(watcher, SIGUSR1);
	pthread_join(watcher, NULL);
	return r;
}

void mount_free(struct mount *mount)
{
	if (!mount)
		return;
	fs_on_change(mount->door.fs, NULL, NULL);
	waits_free(mount->door.waits);
	wire_detach();
	if (mount->session) {
		fuse_session_unmount(mount->session);
		fuse_session_destroy(mount->session);
	}
	passes_free(mount->door.passes);
	sem_destroy(&mount->door.pushing);
	free(mount->point);
	free(mount);
}
