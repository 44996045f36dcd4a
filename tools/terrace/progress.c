// SPDX-License-Identifier: Apache-2.0
/* Progress: see progress.h. The rate is the mean since the begin: steady, and good for an ETA. */
#include "tools/terrace/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/terrace/text.h"

#define SECOND	   UINT64_C(1000000000)
#define PLAIN_NS   (5 * SECOND) /* between lines */
#define COLUMNS	   80u
#define BAR_MAX	   60u
#define BAR_AROUND 52u /* columns that the rest of the line takes at most */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void progress_init(struct progress *progress, enum progress_mode mode)
{
	if (mode == PROGRESS_AUTO)
		mode = isatty(STDERR_FILENO) ? PROGRESS_TTY : PROGRESS_PLAIN;
	progress->mode = mode;
	progress->begin_ns = progress->shown_ns = now_ns();
}

static void print_bar(uint64_t done, uint64_t total)
{
	struct winsize size;
	unsigned columns = COLUMNS, width, full, i;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		columns = size.ws_col;
	width = columns > BAR_AROUND + 4 ? columns - BAR_AROUND : 4;
	width = width < BAR_MAX ? width : BAR_MAX;
	full = total ? (unsigned)((double)done / (double)total * width) : 0;
	fputs(" [", stderr);
	for (i = 0; i < width; i++)
		fputc(i < full ? '#' : '-', stderr);
	fputc(']', stderr);
}

void progress_show(struct progress *progress, const char *what, uint64_t done, uint64_t total,
		   bool last)
{
	char a[TEXT_CELL], b[TEXT_CELL], c[TEXT_CELL], d[TEXT_CELL];
	uint64_t now = now_ns();
	double seconds = (double)(now - progress->begin_ns) / (double)SECOND, rate;

	if (progress->mode == PROGRESS_OFF)
		return;
	/* A job that is over before the first line needs none. */
	if (progress->mode == PROGRESS_PLAIN &&
	    (now - progress->shown_ns < PLAIN_NS &&
	     !(last && progress->shown_ns > progress->begin_ns)))
		return;
	progress->shown_ns = now;
	done = total && done > total ? total : done;
	rate = seconds > 0.2 ? (double)done / seconds : 0;
	if (progress->mode == PROGRESS_TTY)
		fputc('\r', stderr);
	fprintf(stderr, "%-7s %6s", what, text_percent(done, total, a));
	if (progress->mode == PROGRESS_TTY)
		print_bar(done, total);
	fprintf(stderr, " %s/%s", text_size(done, false, b), text_size(total, false, c));
	if (rate > 0)
		fprintf(stderr, " %s/s", text_size((uint64_t)rate, false, d));
	if (rate > 0 && total > done && !last)
		fprintf(stderr, " ETA %s", text_time((uint64_t)((double)(total - done) / rate), d));
	if (progress->mode == PROGRESS_TTY)
		fputs("\033[K", stderr); /* what is left of a longer line before */
	if (progress->mode == PROGRESS_PLAIN || last)
		fputc('\n', stderr);
	fflush(stderr);
}
