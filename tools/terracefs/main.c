// SPDX-License-Identifier: Apache-2.0
/*
 * terracefs POOL MNT: opens a pool, mounts it, serves it until it is unmounted.
 *
 * In the background (the default) the first process waits until the mount
 * stands and passes on whether it does, so that errors reach the terminal and
 * the exit status. It forks before anything has threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/deep.h"
#include "fs/fs.h"
#include "fs/fuse_mount.h"
#include "tiers/config.h"
#include "tiers/log.h"
#include "tiers/overlap.h"
#include "tiers/pool.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BUSY = 75 };

struct arguments {
	const char *pool, *given_point;
	char *point;  /* the same, absolute */
	char *kernel; /* options passed on */
	bool foreground, debug, writeback, io_uring, passthrough, allow_other, nodev, nosuid, ro,
		nodiratime, dirsync;
	enum atime_mode atime;
	int ready_fd; /* tells the first process that the mount stands; -1 = none */
};

static const char usage_text[] = "usage: terracefs [-fdV] [-o OPTION[,OPTION...]] POOL MOUNTPOINT\n"
				 "Mounts a Terrace pool. POOL is a config file, or NAME for "
				 "/etc/terrace/NAME.conf.\n"
				 "  -f, --foreground  stay in the foreground, log to stderr\n"
				 "  -d, --debug       as -f, and log every request\n"
				 "  -V, --version     print the version\n"
				 "  -h, --help        print this\n"
				 "options:\n"
				 "  allow_other       let other users in (the default when root; "
				 "no_allow_other: not)\n"
				 "  writeback=off     do not use the kernel's writeback cache\n"
				 "  io_uring=off      take requests from the device only\n"
				 "  passthrough       plain files at their medium's speed; "
				 "without writeback cache\n"
				 "  ro nodev nosuid noexec noatime ...  as in mount(8)\n"
				 "See terracefs(8).\n";

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "terracefs: %s: %s\n", what, why);
	return EXIT_FAILED;
}

static int usage_error(const char *what, const char *detail)
{
	fprintf(stderr, "terracefs: %s%s\nTry 'terracefs --help'.\n", what, detail);
	return EXIT_USAGE;
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

static int pass_on(struct arguments *args, const char *option)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", args->kernel ? args->kernel : "", args->kernel ? "," : "",
		     option) < 0)
		return EXIT_FAILED;
	free(args->kernel);
	args->kernel = joined;
	return EXIT_OK;
}

/* The kernel leaves access times to us (fs/atime.h); it is not told. -1: not one of these. */
static int take_atime(struct arguments *args, const char *option)
{
	static const struct {
		const char *name;
		enum atime_mode mode;
	} modes[] = {
		{"relatime", ATIME_RELATIVE},	   {"atime", ATIME_RELATIVE},
		{"nostrictatime", ATIME_RELATIVE}, {"strictatime", ATIME_STRICT},
		{"norelatime", ATIME_STRICT},	   {"noatime", ATIME_OFF},
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(option, modes[i].name)) {
			args->atime = modes[i].mode;
			return 0;
		}
	if (strcmp(option, "nodiratime") != 0 && strcmp(option, "diratime") != 0)
		return -1;
	args->nodiratime = *option == 'n';
	return 0;
}

static int take_option(struct arguments *args, const char *option)
{
	static const char *const kernel[] = {"sync",   "dirsync",      "exec",
					     "noexec", "auto_unmount", NULL};
	/* For mount(8), fstab and systemd; or what holds anyway. */
	static const char *const ignored[] = {
		"defaults",	"auto",	       "noauto", "user",  "nouser",
		"users",	"_netdev",     "nofail", "async", "default_permissions",
		"writeback=on", "io_uring=on", NULL};

	if (!*option || is_one_of(option, ignored) || !strncmp(option, "x-", 2))
		return EXIT_OK;
	args->dirsync |= !strcmp(option, "sync") || !strcmp(option, "dirsync");
	if (is_one_of(option, kernel))
		return pass_on(args, option);
	if (!take_atime(args, option)) /* mount(8) shows this one */
		return strcmp(option, "noatime") ? EXIT_OK : pass_on(args, option);
	if (!strcmp(option, "ro") || !strcmp(option, "rw")) {
		args->ro = *option == 'r' && option[1] == 'o';
		return pass_on(args, option);
	}
	if (!strcmp(option, "writeback=off"))
		args->writeback = false;
	else if (!strcmp(option, "io_uring=off"))
		args->io_uring = false;
	else if (!strcmp(option, "passthrough"))
		args->passthrough = true;
	else if (!strcmp(option, "allow_other"))
		args->allow_other = true;
	else if (!strcmp(option, "no_allow_other"))
		args->allow_other = false;
	else if (!strcmp(option, "nodev") || !strcmp(option, "dev"))
		args->nodev = *option == 'n';
	else if (!strcmp(option, "nosuid") || !strcmp(option, "suid"))
		args->nosuid = *option == 'n';
	else if (!strcmp(option, "remount"))
		return usage_error("options are settled when a pool is mounted: unmount it, and "
				   "mount it with the new ones; for reading only: mount -i -o ",
				   "remount,ro");
	else
		return usage_error("unknown mount option: ", option);
	return EXIT_OK;
}

static int take_options(struct arguments *args, char *list)
{
	char *option;
	int code = EXIT_OK;

	while (!code && (option = strsep(&list, ",")))
		code = take_option(args, option);
	return code;
}

/* -1: go on; else the exit code. */
static int parse(struct arguments *args, int argc, char **argv)
{
	static const struct option options[] = {{"foreground", no_argument, NULL, 'f'},
						{"debug", no_argument, NULL, 'd'},
						{"version", no_argument, NULL, 'V'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	int c, code;

	while ((c = getopt_long(argc, argv, "fdVho:", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			args->debug = true;
			args->foreground = true;
			break;
		case 'f':
			args->foreground = true;
			break;
		case 'o':
			code = take_options(args, optarg);
			if (code)
				return code;
			break;
		case 'V':
			printf("terracefs %s\n", TERRACE_VERSION);
			return EXIT_OK;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_OK;
		default:
			return usage_error("bad option", "");
		}
	}
	if (argc - optind != 2)
		return usage_error("needs a pool and a mount point", "");
	args->pool = argv[optind];
	args->given_point = argv[optind + 1];
	return -1;
}

/* As mount.fuse does: devices and suid programs work on root's mounts unless
 * told otherwise. */
static int add_privileges(struct arguments *args)
{
	if (geteuid() != 0)
		return EXIT_OK;
	if (!args->nodev && pass_on(args, "dev"))
		return EXIT_FAILED;
	return args->nosuid ? EXIT_OK : pass_on(args, "suid");
}

static int check_point(struct arguments *args)
{
	const char *given = args->given_point;
	struct stat st;

	args->point = realpath(given, NULL);
	if (!args->point || stat(args->point, &st))
		return fail(given, errno == ENOENT ? "no such folder to mount on"
				   : errno == ENOTCONN
					   ? "a dead mount is in the way: umount it first"
					   : strerror(errno));
	return S_ISDIR(st.st_mode) ? EXIT_OK : fail(given, "not a folder");
}

static int check_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	else if (errno == ENOENT || errno == ENODEV)
		return fail("/dev/fuse", "not there: load the kernel's module (modprobe fuse)");
	else
		return fail("/dev/fuse", strerror(errno));
	return EXIT_OK;
}

static void tell_ready(struct arguments *args)
{
	int null;

	if (args->ready_fd < 0)
		return;
	log_to_syslog("terracefs");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(args->ready_fd, "", 1) != 1)
		log_warning("the starting process has gone");
	close(args->ready_fd);
	args->ready_fd = -1;
}

static int serve(struct arguments *args, struct pool *pool, const struct pool_config *config)
{
	struct mount_options options = {.point = args->point,
					.source = config->file,
					.kernel = args->kernel,
					.allow_other = args->allow_other,
					.writeback = args->writeback,
					.io_uring = args->io_uring,
					.passthrough = args->passthrough,
					.dirsync = args->dirsync,
					.debug = args->debug};
	struct mount *mount = NULL;
	struct fs *fs = NULL;
	int r;

	if (options.passthrough && geteuid()) {
		log_warning("only root may use passthrough: mounted without");
		options.passthrough = false;
	}
	r = fs_open(pool, args->point, &fs);
	if (r)
		return EXIT_FAILED; /* fs/ and libfuse say why themselves */
	atime_set_mode(fs, args->ro ? ATIME_OFF : args->atime, args->nodiratime);
	r = mount_new(fs, &options, &mount);
	if (r) {
		fs_close(fs);
		return EXIT_FAILED;
	}
	if (chdir("/"))
		log_warning("cannot leave the working folder: %s", strerror(errno));
	tell_ready(args);
	log_info("%s mounted on %s", config->file, args->point);
	r = mount_run(mount);
	if (r)
		log_error("%s: the FUSE session ended: %s", args->point, strerror(-r));
	mount_free(mount);
	fs_close(fs);
	return r ? EXIT_FAILED : EXIT_OK;
}

static int open_and_serve(struct arguments *args)
{
	struct pool_config config = {.file = NULL};
	struct pool_open_options options = {.no_background = false};
	char message[512] = "", *file = config_resolve(args->pool);
	struct pool *pool = NULL;
	int code, r;

	r = file ? config_load(file, &config, message, sizeof(message)) : -ENOMEM;
	if (r) {
		if (*message) { /* names the file */
			fprintf(stderr, "terracefs: %s\n", message);
			code = EXIT_FAILED;
		} else {
			code = fail(args->pool, strerror(-r));
		}
		goto out;
	}
	if (overlap_check_mount(&config, args->point)) { /* it has said why */
		code = EXIT_FAILED;
		goto out;
	}
	r = pool_open(&config, &options, &pool);
	if (r) { /* it has said why */
		code = r == -EBUSY ? EXIT_BUSY : EXIT_FAILED;
		goto out;
	}
	code = serve(args, pool, &config);
	r = pool_close(pool);
	if (r)
		code = EXIT_FAILED; /* it has said what could not be written, and where it is kept
				     */
	else
		log_info("%s closed, everything is on its tiers", config.file);
out:
	config_release(&config);
	free(file);
	return code;
}

/* Forks; the parent does not return. */
static int daemonise(struct arguments *args)
{
	int pipe_fds[2], status;
	char byte;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return fail("pipe", strerror(errno));
	pid = fork();
	if (pid < 0)
		return fail("fork", strerror(errno));
	if (!pid) {
		close(pipe_fds[0]);
		setsid();
		args->ready_fd = pipe_fds[1];
		return EXIT_OK;
	}
	close(pipe_fds[1]);
	if (read(pipe_fds[0], &byte, 1) == 1)
		_exit(EXIT_OK);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			_exit(EXIT_FAILED);
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED);
}

int main(int argc, char **argv)
{
	struct arguments args = {
		.writeback = true, .io_uring = true, .allow_other = geteuid() == 0, .ready_fd = -1};
	sigset_t set;
	int code;

	code = parse(&args, argc, argv);
	if (code >= 0) {
		free(args.kernel);
		return code;
	}
	code = add_privileges(&args);
	if (!code)
		code = check_point(&args);
	if (!code)
		code = check_device();
	if (code)
		goto out;
	if (args.debug)
		log_level_set(LOG_LEVEL_DEBUG);
	/* Taken by a thread of the mount; threads made from here on inherit the mask.
	 */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	deep_allow();
	if (!args.foreground)
		code = daemonise(&args);
	if (!code)
		code = open_and_serve(&args);
out:
	free(args.kernel);
	free(args.point);
	return code;
}
