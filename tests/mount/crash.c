// SPDX-License-Identifier: Apache-2.0
/*
 * What a program may rely on when the daemon dies or power is lost.
 *
 *   crash storm FOLDER LEDGER SEED   writes until the filesystem goes away
 *   crash check FOLDER LEDGER kill|power
 *
 * The storm replaces files by rename (write, close, rename; sometimes with fsync of file and
 * folder) and appends to a log with fsync. The ledger, outside the filesystem, gets a line before
 * and after each step, so the check knows what was acknowledged.
 *
 * Invariants checked:
 *  1. A replaced file is one complete version, never empty, mixed, or with bytes nobody wrote.
 *     (power: the first version, which replaced nothing, may be cut short.)
 *  2. kill: it is at least the last version whose rename returned. power: at least the last one
 *     whose fsyncs returned.
 *  3. The log holds at least what was synced, and nothing but what was appended.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "check.h"

#define NAMES	 48
#define FILE_MAX (300u << 10)
#define LOG_UNIT 100u

static char content[FILE_MAX];
static char found[FILE_MAX + 1];

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Text that compresses about twofold and differs in every word between names and versions. */
static size_t version_text(int name, unsigned version)
{
	uint64_t seed = mix(((uint64_t)name << 32) | version);
	size_t len = seed % 4 ? seed % 5000 : seed % FILE_MAX;
	char word[17];

	if (len < 32)
		len = 32;
	snprintf(content, sizeof(content), "%4d %10u %10zu\n----", name, version, len);
	for (size_t off = 32; off < len; off += 16) {
		snprintf(word, sizeof(word), "%016llx", (unsigned long long)mix(seed + off));
		memcpy(content + off, word, len - off < 16 ? len - off : 16);
	}
	return len;
}

static void log_text(unsigned unit, char *out)
{
	memset(out, 'a' + (int)(unit % 26), LOG_UNIT);
	snprintf(out, LOG_UNIT, "%10u", unit);
	out[10] = ' ';
	out[LOG_UNIT - 1] = '\n';
}

static void path_of(int name, const char *suffix, char *out, size_t cap)
{
	snprintf(out, cap, "d%d/file-%d%s", name % 4, name, suffix);
}

/* Ends the storm when the filesystem has gone; other errors are findings. */
static bool gone(void)
{
	return errno == ENOTCONN || errno == ECONNABORTED || errno == ECANCELED || errno == EINTR ||
	       errno == EIO;
}

static void note(int ledger, const char *what, int name, unsigned version)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%s %d %u\n", what, name, version);

	CHECK(write(ledger, line, (size_t)len) == len);
}

#define STEP(call)                                                     \
	do {                                                           \
		if ((call) == -1) {                                    \
			if (gone())                                    \
				exit(0);                               \
			check_failed(__FILE__, __LINE__, "%s", #call); \
		}                                                      \
	} while (0)

static void replace(int ledger, int name, unsigned version, bool sync)
{
	char path[64], temporary[64], folder[16];
	size_t len = version_text(name, version);
	ssize_t n;
	int fd, dir;

	path_of(name, "", path, sizeof(path));
	path_of(name, ".new", temporary, sizeof(temporary));
	snprintf(folder, sizeof(folder), "d%d", name % 4);
	note(ledger, "start", name, version);
	STEP(fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
	for (size_t off = 0; off < len; off += (size_t)n)
		STEP(n = write(fd, content + off, len - off < 70000 ? len - off : 70000));
	if (sync)
		STEP(fsync(fd));
	STEP(close(fd));
	STEP(rename(temporary, path));
	note(ledger, "done", name, version);
	if (!sync)
		return;
	STEP(dir = open(folder, O_RDONLY | O_DIRECTORY));
	STEP(fsync(dir));
	close(dir);
	note(ledger, "durable", name, version);
}

static void storm(int ledger, uint64_t seed)
{
	static unsigned versions[NAMES];
	char folder[16], text[LOG_UNIT];
	unsigned units = 0;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 4; i++) {
		snprintf(folder, sizeof(folder), "d%d", i);
		STEP(mkdir(folder, 0755));
	}
	STEP(fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644));
	for (;;) {
		int name;

		seed = mix(seed);
		name = (int)(seed % NAMES);
		replace(ledger, name, ++versions[name], (seed >> 32) % 8 == 0);
		for (unsigned i = 0; i < (seed >> 40) % 4; i++) {
			log_text(units, text);
			STEP(write(fd, text, LOG_UNIT));
			units++;
		}
		if ((seed >> 48) % 8 == 0) {
			STEP(fsync(fd));
			note(ledger, "log", 0, units);
		}
	}
}

/* The first rename replaces nothing: without an fsync the file may end anywhere after a power loss.
 */
static bool begins_first(int name, ssize_t len)
{
	return (size_t)len <= version_text(name, 1) && memcmp(found, content, (size_t)len) == 0;
}

static void check_name(int name, unsigned least, unsigned most, bool power)
{
	char path[64];
	unsigned version;
	ssize_t len;
	int fd, got_name;

	path_of(name, "", path, sizeof(path));
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		if (errno != ENOENT || least > 0)
			check_failed(__FILE__, __LINE__, "%s: version %u was acknowledged", path,
				     least);
		return;
	}
	len = read(fd, found, sizeof(found));
	if (power && least == 0 && len >= 0 && begins_first(name, len)) {
		close(fd);
		return;
	}
	if (len < 32 || sscanf(found, "%d %u", &got_name, &version) != 2)
		check_failed(__FILE__, __LINE__, "%s: %zd bytes that were never written", path,
			     len);
	if (got_name != name || version < least || version > most)
		check_failed(__FILE__, __LINE__, "%s: is file %d version %u, not %u to %u", path,
			     got_name, version, least, most);
	if ((size_t)len != version_text(name, version))
		check_failed(__FILE__, __LINE__, "%s: version %u has %zd bytes instead of %zu",
			     path, version, len, version_text(name, version));
	for (ssize_t i = 0; i < len; i++)
		if (found[i] != content[i])
			check_failed(__FILE__, __LINE__, "%s: version %u differs at %zd (%02x)",
				     path, version, i, (unsigned char)found[i]);
	close(fd);
}

static void check_log(unsigned least)
{
	char text[LOG_UNIT], got[LOG_UNIT];
	FILE *file = fopen("log", "r");
	unsigned units = 0;
	size_t n = 0;

	if (file == NULL && least == 0)
		return;
	CHECK(file != NULL);
	while ((n = fread(got, 1, LOG_UNIT, file)) == LOG_UNIT) {
		log_text(units, text);
		if (memcmp(text, got, LOG_UNIT) != 0)
			check_failed(__FILE__, __LINE__, "log: unit %u was never written so",
				     units);
		units++;
	}
	log_text(units, text); /* a piece of the next one may be there */
	CHECK(memcmp(text, got, n) == 0);
	if (units < least)
		check_failed(__FILE__, __LINE__, "log: %u units of %u synced", units, least);
	fclose(file);
}

static void check(FILE *ledger, bool power)
{
	unsigned start[NAMES] = {0}, done[NAMES] = {0}, durable[NAMES] = {0};
	unsigned version, units = 0;
	char what[16];
	int name;

	while (fscanf(ledger, "%15s %d %u", what, &name, &version) == 3) {
		CHECK(name >= 0 && name < NAMES);
		if (strcmp(what, "start") == 0)
			start[name] = version;
		else if (strcmp(what, "done") == 0)
			done[name] = version;
		else if (strcmp(what, "durable") == 0)
			durable[name] = version;
		else
			units = version;
	}
	for (name = 0; name < NAMES; name++)
		check_name(name, power ? durable[name] : done[name], start[name], power);
	check_log(units);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "storm") == 0) {
		int ledger = open(argv[3], O_WRONLY | O_CREAT | O_APPEND, 0644);

		CHECK(ledger >= 0 && chdir(argv[2]) == 0);
		storm(ledger, strtoull(argv[4], NULL, 10));
	} else if (argc == 5 && strcmp(argv[1], "check") == 0) {
		FILE *ledger = fopen(argv[3], "r");

		CHECK(ledger != NULL && chdir(argv[2]) == 0);
		check(ledger, strcmp(argv[4], "power") == 0);
		fclose(ledger);
		return 0;
	}
	fprintf(stderr, "usage: crash storm FOLDER LEDGER SEED | check FOLDER LEDGER kill|power\n");
	return 2;
}
