/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool's configuration: the INI file that `terrace create` writes and people edit
 * (terrace.conf(5)). Plain data, owned by the caller; config_release() frees the strings. Parsed
 * with libinih.
 */
#ifndef TERRACE_TIERS_CONFIG_H
#define TERRACE_TIERS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compress/codec.h"

#define CONFIG_TIERS_MAX     16u
#define CONFIG_PATHS_MAX     64u
#define CONFIG_RULES_MAX     256u
#define CONFIG_MATCHES_MAX   64u /* patterns of one rule */
#define CONFIG_RULE_NAME_MAX 32u
#define CONFIG_TIER_NAME_CAP 17u

enum tier_kind { TIER_KIND_RAM, TIER_KIND_DIR };

struct config_tier {
	char *name; /* [a-z][a-z0-9_-]{0,15}, unique */
	enum tier_kind kind;
	char *paths[CONFIG_PATHS_MAX]; /* absolute; RAM: one folder on tmpfs */
	uint32_t npaths;
	uint32_t nspares;      /* the last of them hold further copies only: copy_path */
	uint64_t size_bytes;   /* RAM: the limit; directory: quota of all places together but
				  spares, 0 = the medium */
	uint32_t size_percent; /* 1..100 when `size=80%`: of the medium (RAM tier: of memory); else
				  0 */
	struct codec_spec codec; /* directory tiers; default lz4 on the first, zstd:12 below. RAM:
				    none, the default, or lz4 */
	uint32_t frame_bytes; /* raw bytes per frame: default 128 KiB on the first directory tier, 1
				 MiB below */
	uint32_t block_bytes; /* raw bytes per independently coded block: default 32 KiB, 1 MiB
				 below the first */
	uint64_t segment_bytes; /* default 64 MiB, 256 MiB below the first */
	unsigned replicas;	/* places that each frame is kept in, 1..5; default 1 */
	uint32_t high_percent;	/* demote above this fill; default 90 */
	uint32_t low_percent;	/* ... until below this; default 80 */
	uint64_t min_age_ns;	/* not demoted before this age since the last access; default 1 h */
	int direct;		/* 1, 0, -1 auto */
	uint64_t write_budget;	/* bytes background moves may write here per day (UTC); 0 = no limit
				 */
	uint64_t delay_ns;	/* test settings: simulated medium */
	uint64_t bandwidth;
};

/* [rule NAME]: what to do with files and data that all its conditions hold for. */
struct config_rule {
	char *name; /* 1 to CONFIG_RULE_NAME_MAX of a-z A-Z 0-9 . _ -, unique */
	char *matches[CONFIG_MATCHES_MAX]; /* tiers/glob.h: any of them; none: every path */
	uint32_t nmatches;
	uint64_t min_age_ns;	     /* data not used for so long */
	uint64_t min_size, max_size; /* of the file; UINT64_MAX = no limit */
	char *owner;		     /* as written: a user's name or number; NULL = anybody */
	uint32_t uid;		     /* ... what it was when the file was read */
	char tier_name[CONFIG_TIER_NAME_CAP];
	int tier; /* its index, -1 = anywhere; set when the whole file has been read */
	bool has_codec;
	struct codec_spec codec;
	unsigned replicas; /* 0: as the tier */
	char never_names[CONFIG_TIERS_MAX][CONFIG_TIER_NAME_CAP];
	uint32_t nnever;
	uint32_t never_tiers; /* bit per index; as tier */
	bool ignore;
	bool plain; /* layout = plain */
};

struct pool_config {
	char *file; /* where it was read from */
	char *name; /* for messages: the file's name without .conf */
	uint8_t uuid[16];
	char *meta_path; /* the metadata's folder; default: meta/ in the first directory tier's
			    first path */
	uint64_t commit_interval_ns;	    /* default 5 s */
	uint64_t checkpoint_interval_ns;    /* default 30 s */
	uint64_t journal_bytes;		    /* a checkpoint is due beyond this; default 16 MiB */
	uint32_t metadata_copies;	    /* generations kept in each directory; default 2 */
	uint64_t metadata_copy_interval_ns; /* default 1 h */
	uint64_t metadata_copy_bytes;	    /* moved; default 4 GiB */
	uint64_t run_interval_ns;	    /* between passes of the tier engine; default 60 s */
	uint64_t promote_window_ns; /* two reads of a frame within it promote it; default 10 min */
	uint64_t move_bandwidth;    /* bytes/s of background moves, 0 = no limit; default 0 */
	uint32_t move_iops;	    /* frames/s of background moves, 0 = no limit; default 0 */
	uint32_t move_pressure; /* percent of PSI "some avg10" (io, memory) beyond which moves wait;
				   0 = never; default 40 */
	char *move_window; /* when background moves may run (tiers/engine/window.h); NULL = always
			    */
	uint64_t start_delay_ns; /* after mounting, over which moves come up to speed; default 1 min
				  */
	uint64_t scrub_bandwidth;   /* bytes/s that a scrub reads, 0 = no limit; default 0 */
	uint64_t scrub_interval_ns; /* from the end of a scrub to the next one's begin; 0 = only
				       when asked for; default 30 d */
	uint64_t heat_half_life_ns; /* of the short average; default 1 h */
	uint64_t residency_ns;	    /* a promoted frame stays at least so long; default 1 h */
	uint64_t plain_idle_ns; /* plain files unused for so long go into frames; 0 never, default 7
				   d */
	int plain_databases;   /* 1 yes, 0 no, -1 where plain files are passed through; default 0 */
	uint32_t promote_gain; /* percent: time saved must be this part of the copy's cost;
				  default 100 */
	uint64_t batch_bytes;  /* of a flush; 0 = by the log's size; no key, tests set it */
	unsigned threads;      /* encoding and decoding; 0 = one per processor */
	struct config_tier tiers[CONFIG_TIERS_MAX]; /* fastest first; [0] is the RAM tier */
	uint32_t ntiers;
	struct config_rule *rules; /* in order: the first that matches counts */
	uint32_t nrules;
};

/*
 * Resolves POOL as given on a command line: a path when it has a '/' or ends in ".conf", else
 * /etc/terrace/POOL.conf. Returns a new string or NULL (no memory).
 */
char *config_resolve(const char *pool);

/*
 * Reads and checks. Returns 0; -ENOENT; -EACCES; -EINVAL: `message` holds one line with file, line
 * number, what is wrong and what would be right (unknown sections and keys are errors). message_cap
 * >= 256.
 */
int config_load(const char *file, struct pool_config *out, char *message, size_t message_cap);
/* Writes atomically (temporary file, fsync, rename, fsync of the folder). -EEXIST if there is one.
 */
int config_save_new(const struct pool_config *config, const char *file);
void config_release(struct pool_config *config);
/* A copy with strings of its own. -ENOMEM; *out is then empty. */
int config_copy(const struct pool_config *config, struct pool_config *out);

/* One key that differs. */
struct config_change {
	char name[48]; /* "run_interval", "ssd.high"; "rules": any of them; "tiers": their names
			  or order, and then nothing below [pool] is compared */
	char from[160], to[160]; /* as in the file, cut short if need be */
	bool live;		 /* may change while the pool is mounted */
};
/* Compares two complete configurations of one pool, key by key. Ends with each()'s non-zero return.
 */
int config_changes(const struct pool_config *from, const struct pool_config *to,
		   int (*each)(void *arg, const struct config_change *change), void *arg);

/* No tiers, and the default of every key of [pool]. config_release() as for the others. */
void config_init(struct pool_config *config);
/*
 * Adds a tier as `terrace create` takes it: "ssd:path=/a,path=/b,codec=zstd:3,size=80%" (the name,
 * then any key of a [tier NAME] section). The tier named `ram` is the RAM tier and is added first
 * with defaults if it is not given (config_finish() does that and fills in uuid and meta_path, and
 * for those who began with zeros instead of config_init() the keys that cannot be 0). -EINVAL with
 * message.
 */
int config_add_tier(struct pool_config *config, const char *text, char *message,
		    size_t message_cap);
int config_finish(struct pool_config *config, char *message, size_t message_cap);

/* One line for whoever asked, into message; -> error. */
int config_say(int error, char *message, size_t cap, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* "10", "64K", "2G", "1.5T" (1024-based; also KiB, GiB ...). -EINVAL. */
int config_parse_size(const char *text, uint64_t *bytes);
/* "500ms", "5s", "10min", "2h", "7d"; a plain number is seconds. -EINVAL. */
int config_parse_time(const char *text, uint64_t *ns);

#endif
