// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. Only a server's own thread touches its ring.
 *  2. A server has one entry, so what comes while it works goes to another one: what the kernel
 *     gave to a second entry would wait for the first one's handler, which may wait for that very
 *     request (push_out()). A request that its handler leaves to another thread (fuse_wait.h) keeps
 *     its entry, and its server rests until it is answered; its queue gets a further server where
 *     fewer are left than it began with.
 *  3. Who answers a request owns the entry's buffers until the answer is submitted. Whether the
 *     handler had returned before that is decided under the server's lock.
 *
 * libfuse takes a request as one run of bytes: header, the operation's own header, the rest. The
 * kernel fills the third into the payload; the first two are put right in front of it.
 */
#include "fs/fuse_uring.h"

#include <errno.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/fuse_init.h"
#include "fs/fuse_wait.h"
#include "tiers/log.h"

/* Newer than Debian 12's linux/fuse.h. */
#define CMD_REGISTER	     1u
#define CMD_COMMIT_AND_FETCH 2u

struct ring_headers {
	uint8_t in_out[128]; /* fuse_in_header, then fuse_out_header */
	uint8_t op_in[128];
	struct {
		uint64_t flags;
		uint64_t commit_id;
		uint32_t payload_bytes;
		uint32_t padding;
		uint64_t reserved;
	} entry;
};

struct ring_command { /* in the second half of the submission entry */
	uint64_t flags;
	uint64_t commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

#define HEAD_BYTES 4096u /* of an entry's memory: ring_headers first, a request's headers last */
_Static_assert(sizeof(struct ring_headers) == 288, "as in the kernel");
_Static_assert(sizeof(struct ring_headers) + sizeof(struct fuse_in_header) + 128 <= HEAD_BYTES,
	       "room in front of the payload");

#define RING_SLOTS 8u
#define RETRY_NS   (50 * 1000 * 1000)

struct entry { /* of a server */
	struct ring_headers *headers;
	uint8_t *payload;
	struct iovec iov[2];
	uint64_t commit_id;
	_Atomic uint64_t unique; /* of the request it holds; 0: none, or answered */
	bool answered;		 /* by the server's own thread; that one's only */
	bool parked, late;	 /* server.lock: the handler has returned; the answer came first */
	bool back;		 /* server.lock: it was parked, and is answered */
};

struct server { /* a thread and its ring */
	struct uring *uring;
	struct io_uring ring;
	uint16_t queue; /* = the processor's number */
	pthread_t thread;
	int wake;     /* eventfd: the entry is back, or the end has come */
	bool resting; /* changed by the thread under uring.lock: it serves nobody, the entry is
			 parked */
	pthread_mutex_t lock;
	struct entry entry;
};

struct uring {
	struct fuse_session *session;
	size_t payload_cap;
	unsigned most;		 /* servers */
	pthread_mutex_t growing; /* one server is added at a time; before lock */
	pthread_mutex_t lock;
	pthread_cond_t change;
	enum { WAITING, STARTED, ENDED } state;
	unsigned nenabled;	   /* servers whose ring is, or */
	int error;		   /* ... could not be: the first's */
	_Atomic unsigned nservers; /* those below are whole; changed under both locks */
	struct server servers[];
};

static _Thread_local struct entry *serving;

static int add_server(struct uring *uring, unsigned queue);

/* Entries. ------------------------------------------------------------------------------------ */

static struct server *server_of(struct entry *entry)
{
	return (struct server *)((uint8_t *)entry - offsetof(struct server, entry));
}

static int entry_open(struct entry *entry, size_t payload_cap)
{
	uint8_t *memory = mmap(NULL, HEAD_BYTES + payload_cap, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	entry->headers = (struct ring_headers *)(void *)memory;
	entry->payload = memory + HEAD_BYTES;
	entry->iov[0] = (struct iovec){entry->headers, sizeof(*entry->headers)};
	entry->iov[1] = (struct iovec){entry->payload, payload_cap};
	return 0;
}

static void entry_close(struct entry *entry, size_t payload_cap)
{
	munmap(entry->headers, HEAD_BYTES + payload_cap);
}

/* Submitting. --------------------------------------------------------------------------------- */

static struct io_uring_sqe *next_slot(struct server *server)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

	if (sqe)
		return sqe;
	io_uring_submit(&server->ring);
	return io_uring_get_sqe(&server->ring);
}

static struct io_uring_sqe *command(struct entry *entry, unsigned op, uint64_t commit_id)
{
	struct server *server = server_of(entry);
	struct ring_command body = {.commit_id = commit_id, .queue = server->queue};
	struct io_uring_sqe *sqe = next_slot(server);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fuse_session_fd(server->uring->session), NULL, 0,
			 0);
	sqe->cmd_op = op;
	memcpy(sqe->cmd, &body, sizeof(body));
	io_uring_sqe_set_data(sqe, entry);
	return sqe;
}

static void submit_entry(struct entry *entry)
{
	struct io_uring_sqe *sqe = command(entry, CMD_REGISTER, 0);

	sqe->addr = (uintptr_t)entry->iov;
	sqe->len = 2;
}

static void submit_answer(struct entry *entry)
{
	command(entry, CMD_COMMIT_AND_FETCH, entry->commit_id);
}

static void submit_wake(struct server *server)
{
	struct io_uring_sqe *sqe = next_slot(server);

	io_uring_prep_poll_add(sqe, server->wake, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
}

static void wake(struct server *server)
{
	uint64_t one = 1;

	if (write(server->wake, &one, sizeof(one)) < 0)
		log_error("FUSE over io_uring: a thread cannot be woken: %s", strerror(errno));
}

/* Answering. ---------------------------------------------------------------------------------- */

/* Into the entry's buffers. What is too long, which libfuse never makes, becomes an error. */
static void fill(struct entry *entry, struct fuse_out_header head, const struct iovec *iov,
		 int count)
{
	size_t total = 0;

	for (int i = 1; i < count; i++) {
		if (iov[i].iov_len > server_of(entry)->uring->payload_cap - total) {
			head = (struct fuse_out_header){
				.len = sizeof(head), .error = -EIO, .unique = head.unique};
			total = 0;
			break;
		}
		if (iov[i].iov_base != entry->payload + total)
			memcpy(entry->payload + total, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	memcpy(entry->headers->in_out, &head, sizeof(head));
	entry->headers->entry.payload_bytes = (uint32_t)total;
}

static void answered_late(struct entry *entry)
{
	struct server *server = server_of(entry);

	pthread_mutex_lock(&server->lock);
	if (entry->parked) {
		entry->back = true;
		wake(server);
	} else {
		entry->late = true;
	}
	pthread_mutex_unlock(&server->lock);
}

static struct entry *entry_of(struct uring *uring, uint64_t unique)
{
	unsigned count = atomic_load(&uring->nservers);

	if (serving && atomic_load_explicit(&serving->unique, memory_order_relaxed) == unique)
		return serving;
	for (unsigned i = 0; i < count; i++)
		if (atomic_load(&uring->servers[i].entry.unique) == unique)
			return &uring->servers[i].entry;
	return NULL;
}

bool uring_reply(struct uring *uring, const struct iovec *iov, int count)
{
	struct fuse_out_header head;
	struct entry *entry;

	memcpy(&head, iov[0].iov_base, sizeof(head));
	entry = head.unique ? entry_of(uring, head.unique) : NULL; /* 0: a notification */
	if (!entry)
		return false;
	fill(entry, head, iov, count);
	atomic_store(&entry->unique, 0);
	if (entry == serving)
		entry->answered = true;
	else
		answered_late(entry);
	return true;
}

void *uring_buffer(size_t bytes)
{
	if (!serving || bytes > server_of(serving)->uring->payload_cap)
		return NULL;
	return serving->payload;
}

/* Serving. ------------------------------------------------------------------------------------ */

/* False: another thread will answer. */
static bool has_answer(struct entry *entry)
{
	struct server *server = server_of(entry);
	bool late;

	if (entry->answered)
		return true;
	pthread_mutex_lock(&server->lock);
	late = entry->late;
	entry->late = false;
	entry->parked = !late;
	pthread_mutex_unlock(&server->lock);
	return late;
}

static void rest(struct server *server, bool begins)
{
	pthread_mutex_lock(&server->uring->lock);
	server->resting = begins;
	pthread_mutex_unlock(&server->uring->lock);
}

/* Does it rest, and has its queue fewer others than it should? */
static bool is_missed(struct server *server)
{
	struct uring *uring = server->uring;
	unsigned working = 0;
	bool missed;

	if (!server->resting)
		return false;
	pthread_mutex_lock(&uring->lock);
	for (unsigned i = 0; i < uring->nservers; i++)
		working += uring->servers[i].queue == server->queue && !uring->servers[i].resting;
	missed = working < URING_QUEUE_THREADS && uring->state == STARTED &&
		 uring->nservers < uring->most;
	pthread_mutex_unlock(&uring->lock);
	return missed;
}

/* Without memory for it now, the loop tries again: answers alone may take hours to come. */
static void replace_resting(struct server *server)
{
	struct uring *uring = server->uring;

	if (!is_missed(server))
		return;
	pthread_mutex_lock(&uring->growing);
	if (is_missed(server)) /* still */
		(void)add_server(uring, server->queue);
	pthread_mutex_unlock(&uring->growing);
}

static void serve(struct entry *entry)
{
	struct fuse_in_header head;
	struct fuse_buf buf = {.flags = 0};
	size_t op_bytes;
	uint8_t *start;

	memcpy(&head, entry->headers->in_out, sizeof(head));
	op_bytes = head.len - sizeof(head) - entry->headers->entry.payload_bytes;
	start = entry->payload - op_bytes - sizeof(head);
	memcpy(start, &head, sizeof(head));
	memcpy(start + sizeof(head), entry->headers->op_in, op_bytes);
	buf.mem = start;
	buf.size = head.len;
	entry->commit_id = entry->headers->entry.commit_id;
	entry->answered = false;
	atomic_store(&entry->unique, head.unique);
	serving = entry;
	wire_note(start, head.len);
	fuse_session_process_buf(server_of(entry)->uring->session, &buf);
	serving = NULL;
	if (has_answer(entry))
		submit_answer(entry);
	else
		rest(server_of(entry), true);
}

static void take_back(struct server *server)
{
	struct entry *entry = &server->entry;
	uint64_t count;
	bool back;

	if (read(server->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("FUSE over io_uring: %s", strerror(errno));
	pthread_mutex_lock(&server->lock);
	back = entry->back;
	if (back)
		entry->parked = entry->back = false;
	pthread_mutex_unlock(&server->lock);
	if (back) {
		rest(server, false);
		submit_answer(entry);
	}
	submit_wake(server);
}

static int state_of(struct uring *uring)
{
	int state;

	pthread_mutex_lock(&uring->lock);
	state = uring->state;
	pthread_mutex_unlock(&uring->lock);
	return state;
}

/* False when the end has come. */
static bool handle(struct server *server, struct entry *entry, int result)
{
	if (!entry) {
		if (state_of(server->uring) == ENDED)
			return false;
		take_back(server);
	} else if (result >= 0) {
		serve(entry);
	} else if (result != -ENOTCONN && result != -ECONNABORTED && result != -ECANCELED) {
		log_warning("FUSE over io_uring, queue %u: %s; requests go through the device",
			    server->queue, strerror(-result));
	}
	return true;
}

static bool wait_for_start(struct uring *uring)
{
	bool started;

	pthread_mutex_lock(&uring->lock);
	while (uring->state == WAITING)
		pthread_cond_wait(&uring->change, &uring->lock);
	started = uring->state == STARTED;
	pthread_mutex_unlock(&uring->lock);
	return started;
}

/* By the thread that the ring is for. io_uring_enable_rings() is not exported by Debian 12's
 * library.
 */
static int enable(struct server *server)
{
	struct uring *uring = server->uring;
	int r = io_uring_register((unsigned)server->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
				  NULL, 0);

	pthread_mutex_lock(&uring->lock);
	uring->nenabled++;
	uring->error = uring->error ? uring->error : r;
	server->resting = r < 0;
	pthread_cond_broadcast(&uring->change);
	pthread_mutex_unlock(&uring->lock);
	return r;
}

/* Before INIT is answered: once the kernel has heard of rings, it holds all requests until each
 * queue has one, so one ring that cannot be enabled would be a mount that hangs. */
static int wait_for_rings(struct uring *uring)
{
	int r;

	pthread_mutex_lock(&uring->lock);
	while (uring->nenabled < uring->nservers)
		pthread_cond_wait(&uring->change, &uring->lock);
	r = uring->error;
	pthread_mutex_unlock(&uring->lock);
	return r;
}

/* Until there is something to handle. Negative errno: the ring is of no use any more. */
static int submit_and_wait(struct server *server)
{
	struct __kernel_timespec retry = {.tv_nsec = RETRY_NS};
	struct io_uring_cqe *cqe;
	int r;

	replace_resting(server);
	r = is_missed(server)
		    ? io_uring_submit_and_wait_timeout(&server->ring, &cqe, 1, &retry, NULL)
		    : io_uring_submit_and_wait(&server->ring, 1);
	return r == -EINTR || r == -EBUSY || r == -EAGAIN || r == -ETIME ? 0 : r;
}

static void *server_main(void *arg)
{
	struct server *server = arg;
	bool go;
	int r;

	go = enable(server) == 0 && wait_for_start(server->uring);
	if (!go)
		return NULL;
	submit_entry(&server->entry);
	submit_wake(server);
	while (go) {
		struct io_uring_cqe *cqe;

		r = submit_and_wait(server);
		if (r < 0) {
			log_error("FUSE over io_uring, queue %u: %s", server->queue, strerror(-r));
			break;
		}
		while (go && !io_uring_peek_cqe(&server->ring, &cqe)) {
			struct entry *entry = io_uring_cqe_get_data(cqe);
			int result = cqe->res;

			io_uring_cqe_seen(&server->ring, cqe);
			go = handle(server, entry, result);
		}
	}
	return NULL;
}

/* Beginning and end. -------------------------------------------------------------------------- */

static int server_open(struct server *server, struct uring *uring, unsigned queue)
{
	/* Requests are taken over when the thread waits for them, not in the middle of others. */
	struct io_uring_params params = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER |
						  IORING_SETUP_DEFER_TASKRUN |
						  IORING_SETUP_R_DISABLED};
	int r;

	server->uring = uring;
	server->queue = (uint16_t)queue;
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake < 0)
		return -errno;
	r = io_uring_queue_init_params(RING_SLOTS, &server->ring, &params);
	if (r) {
		close(server->wake);
		return r;
	}
	r = entry_open(&server->entry, uring->payload_cap);
	if (r) {
		io_uring_queue_exit(&server->ring);
		close(server->wake);
		return r;
	}
	pthread_mutex_init(&server->lock, NULL);
	return 0;
}

static void server_close(struct server *server)
{
	io_uring_queue_exit(&server->ring);
	close(server->wake);
	entry_close(&server->entry, server->uring->payload_cap);
	pthread_mutex_destroy(&server->lock);
}

/* On its queue's processor: that is what the rings are for. */
static int server_run(struct server *server)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int r;

	CPU_ZERO(&cpus);
	CPU_SET(server->queue, &cpus);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	r = pthread_create(&server->thread, &attr, server_main, server);
	pthread_attr_destroy(&attr);
	return -r;
}

static int add_server(struct uring *uring, unsigned queue)
{
	struct server *server = &uring->servers[uring->nservers];
	int r = server_open(server, uring, queue);

	if (r)
		return r;
	r = server_run(server);
	if (r) {
		server_close(server);
		return r;
	}
	pthread_mutex_lock(&uring->lock);
	uring->nservers++;
	pthread_mutex_unlock(&uring->lock);
	return 0;
}

static void set_state(struct uring *uring, int state)
{
	pthread_mutex_lock(&uring->lock);
	uring->state = state;
	pthread_cond_broadcast(&uring->change);
	pthread_mutex_unlock(&uring->lock);
}

int uring_new(struct fuse_session *session, size_t payload, struct uring **out)
{
	unsigned queues = (unsigned)get_nprocs_conf(); /* the kernel wants all that may come */
	unsigned count = queues * URING_QUEUE_THREADS;
	struct uring *uring;
	int r = 0;

	if (count > URING_THREADS_MAX || queues != (unsigned)get_nprocs())
		return -E2BIG;
	uring = calloc(1, sizeof(*uring) + (count + WAITS_MAX) * sizeof(uring->servers[0]));
	if (!uring)
		return -ENOMEM;
	uring->session = session;
	uring->payload_cap = payload;
	uring->most = count + WAITS_MAX;
	pthread_mutex_init(&uring->growing, NULL);
	pthread_mutex_init(&uring->lock, NULL);
	pthread_cond_init(&uring->change, NULL);
	for (unsigned i = 0; i < count && !r; i++)
		r = add_server(uring, i % queues);
	if (!r)
		r = wait_for_rings(uring);
	if (r) {
		uring_stop(uring);
		uring_free(uring);
		return r;
	}
	*out = uring;
	return 0;
}

void uring_start(struct uring *uring)
{
	set_state(uring, STARTED);
}

void uring_stop(struct uring *uring)
{
	if (!uring || uring->state == ENDED)
		return;
	set_state(uring, ENDED);
	for (unsigned i = 0; i < uring->nservers; i++)
		wake(&uring->servers[i]);
	/* One that is being joined may have added another just before. */
	for (unsigned i = 0; i < uring->nservers; i++) {
		wake(&uring->servers[i]);
		pthread_join(uring->servers[i].thread, NULL);
	}
}

void uring_free(struct uring *uring)
{
	if (!uring)
		return;
	for (unsigned i = 0; i < uring->nservers; i++)
		server_close(&uring->servers[i]);
	pthread_cond_destroy(&uring->change);
	pthread_mutex_destroy(&uring->growing);
	pthread_mutex_destroy(&uring->lock);
	free(uring);
}
