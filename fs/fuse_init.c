// SPDX-License-Identifier: Apache-2.0
/*
 * Both directions are the library's own read(2) and writev(2) of the device; only the answers to
 * INIT and to opens of backing files are changed on their way, and a few flags are noted from
 * requests that libfuse drops. Everything the kernel offers stays optional: what it does not offer
 * is not asked for.
 */
#include "fs/fuse_init.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/fuse_uring.h"
#include "fs/fuse_requests.h"
#include "tiers/log.h"

/* Newer than Debian 12's header. */
#define INIT_DIRECT_IO_ALLOW_MMAP (1ull << 36)
#define INIT_PASSTHROUGH	  (1ull << 37)
#define STACK_DEPTH		  1u /* backing files are on no stacked filesystem; we may be below one */
#define OPEN_PASSTHROUGH	  (1u << 7)
#define INIT_OVER_IO_URING	  (1ull << 41)
#define FORGETS_GATHER_NS	  10000000
#define INIT_WANTED		  (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | INIT_DIRECT_IO_ALLOW_MMAP)

static struct {
	void (*ready)(void *arg);
	void *arg;
	uint64_t offered;	 /* flags of the kernel's INIT */
	_Atomic uint64_t unique; /* of it; 0 when answered */
	struct fuse_session *session;
	bool rings; /* wanted */
	_Atomic(struct uring *) uring;
	bool passthrough; /* asked for */
} init;

static _Thread_local int32_t pass_next;

static _Thread_local bool kill_flag;

bool wire_kills(void)
{
	return kill_flag;
}

bool wire_ask_passthrough(void)
{
	init.passthrough = init.offered & INIT_PASSTHROUGH;
	return init.passthrough;
}

void wire_pass(int32_t backing)
{
	pass_next = backing;
}

static void note_init(const struct fuse_in_header *head, const uint8_t *body, size_t len)
{
	struct fuse_init_in in = {.major = 0};

	memcpy(&in, body, len < sizeof(in) ? len : sizeof(in));
	init.offered = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		init.offered |= (uint64_t)in.flags2 << 32;
	init.unique = head->unique;
}

#define FLAG_AT(body, len, type, field) \
	((len) < sizeof(struct type) ? 0 : flag_at((body) + offsetof(struct type, field)))

static uint32_t flag_at(const uint8_t *p)
{
	uint32_t flags;

	memcpy(&flags, p, sizeof(flags));
	return flags;
}

static bool kills(uint32_t opcode, const uint8_t *body, size_t len)
{
	switch (opcode) {
	case FUSE_OPEN:
		return FLAG_AT(body, len, fuse_open_in, open_flags) & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_CREATE:
		return FLAG_AT(body, len, fuse_create_in, open_flags) & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_WRITE:
		return FLAG_AT(body, len, fuse_write_in, write_flags) & FUSE_WRITE_KILL_SUIDGID;
	case FUSE_SETATTR:
		return FLAG_AT(body, len, fuse_setattr_in, valid) & FATTR_KILL_SUIDGID;
	default:
		return false;
	}
}

void wire_note(const void *request, size_t len)
{
	struct fuse_in_header head;
	const uint8_t *body = (const uint8_t *)request + sizeof(head);

	memcpy(&head, request, sizeof(head));
	requests_begin(head.opcode, head.unique);
	if (head.opcode == FUSE_INIT)
		note_init(&head, body, len - sizeof(head));
	else
		kill_flag = kills(head.opcode, body, len - sizeof(head));
}

static bool is_forget(const void *request)
{
	struct fuse_in_header head;

	memcpy(&head, request, sizeof(head));
	return head.opcode == FUSE_FORGET || head.opcode == FUSE_BATCH_FORGET;
}

/* With rings, hardly anything but forgets comes through the device: one for each file that is
 * deleted, and each would wake a thread, on another processor. Who has read one lets more gather,
 * which the kernel then hands out together. */
static ssize_t wire_read(int fd, void *buf, size_t cap, void *data)
{
	static const struct timespec pause = {.tv_nsec = FORGETS_GATHER_NS};
	static _Thread_local bool gather;
	ssize_t n;

	(void)data;
	if (gather && atomic_load(&init.uring))
		nanosleep(&pause, NULL);
	n = read(fd, buf, cap);
	kill_flag = false;
	gather = false;
	if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
		gather = is_forget(buf);
		wire_note(buf, (size_t)n);
	}
	return n;
}

/* Before the kernel is told that there are rings, there must be. */
static bool make_rings(const struct fuse_init_out *out)
{
	size_t pages = (size_t)out->max_pages * (size_t)sysconf(_SC_PAGESIZE);
	struct uring *uring = NULL;
	int r;

	if (!init.rings || !(init.offered & INIT_OVER_IO_URING))
		return false;
	r = uring_new(init.session, pages > out->max_write ? pages : out->max_write, &uring);
	if (r)
		log_info("FUSE over io_uring is not used: %s", strerror(-r));
	atomic_store(&init.uring, uring);
	return !r;
}

/* The library's answer plus what is offered and wanted. The older KILLPRIV goes: it would take suid
 * from root's writes, too. */
static void complete(struct fuse_init_out *out)
{
	uint64_t flags = out->flags | (uint64_t)out->flags2 << 32;

	flags |= init.offered & INIT_WANTED;
	if (make_rings(out))
		flags |= INIT_OVER_IO_URING;
	if (flags & FUSE_HANDLE_KILLPRIV_V2)
		flags &= ~(uint64_t)FUSE_HANDLE_KILLPRIV;
	if (init.passthrough) {
		flags |= INIT_PASSTHROUGH;
		out->unused[0] = STACK_DEPTH; /* max_stack_depth */
	}
	if (init.offered & FUSE_INIT_EXT)
		flags |= FUSE_INIT_EXT;
	out->flags = (uint32_t)flags;
	out->flags2 = (uint32_t)(flags >> 32);
}

static ssize_t write_init(int fd, const struct iovec *iov, int count)
{
	struct fuse_init_out out;
	struct iovec changed[2] = {iov[0], {.iov_base = &out, .iov_len = sizeof(out)}};
	ssize_t n;

	if (count != 2 || iov[1].iov_len != sizeof(out))
		return writev(fd, iov, count); /* a refusal, or a library of another protocol */
	memcpy(&out, iov[1].iov_base, sizeof(out));
	complete(&out);
	n = writev(fd, changed, 2);
	if (n >= 0 && init.uring)
		uring_start(init.uring);
	if (n >= 0 && init.ready)
		init.ready(init.arg);
	return n;
}

/* Both answers end with a struct fuse_open_out, whose last field has become the backing file. Pages
 * of before must not stay: they would hide what the file has. */
static void change_open(const struct iovec *iov, int count)
{
	struct fuse_open_out *out;

	if (count == 2 && iov[1].iov_len >= sizeof(*out)) {
		out = (struct fuse_open_out *)((uint8_t *)iov[1].iov_base + iov[1].iov_len -
					       sizeof(*out));
		out->open_flags &= ~(uint32_t)(FOPEN_KEEP_CACHE | FOPEN_DIRECT_IO);
		out->open_flags |= OPEN_PASSTHROUGH;
		out->padding = (uint32_t)pass_next;
	}
	pass_next = 0;
}

static ssize_t wire_writev(int fd, struct iovec *iov, int count, void *data)
{
	struct uring *uring = atomic_load(&init.uring);
	struct fuse_out_header head;

	(void)data;
	memcpy(&head, iov[0].iov_base, sizeof(head));
	if (pass_next)
		change_open(iov, count);
	requests_end(head.unique);
	if (uring && uring_reply(uring, iov, count))
		return (ssize_t)head.len;
	if (!init.unique || head.unique != init.unique)
		return writev(fd, iov, count);
	init.unique = 0;
	return write_init(fd, iov, count);
}

int wire_attach(struct fuse_session *session, bool rings, void (*ready)(void *arg), void *arg)
{
	static const struct fuse_custom_io io = {.writev = wire_writev, .read = wire_read};

	init.session = session;
	init.rings = rings;
	init.ready = ready;
	init.arg = arg;
	return fuse_session_custom_io(session, &io, fuse_session_fd(session)) ? -EINVAL : 0;
}

void wire_stop(void)
{
	uring_stop(atomic_load(&init.uring));
}

void wire_detach(void)
{
	uring_free(atomic_exchange(&init.uring, NULL));
}
