// SPDX-License-Identifier: Apache-2.0
/* What lies beside the metadata and the tiers' data: the RAM log that a mount would replay, and the
 * copies that a restore would go by. */
#include <errno.h>
#include <string.h>

#include "tiers/check/check_impl.h"
#include "tiers/meta_copy.h"
#include "tiers/ramlog_file.h"

static void ram_log(struct check *check)
{
	uint64_t log_id;
	int rc = ramlog_head_read(check->ram_dir, check->config->uuid, &log_id);

	if (rc == -EUCLEAN || rc == -ENOTSUP || rc == -ENOTUNIQ)
		check_report_at(check, CHECK_RAM_LOG, false, check->ram_dir,
				"the RAM log cannot be replayed (see above)");
}

static int each_copy(void *arg, const char *path, int error)
{
	struct check *check = arg;

	if (error == -ENOMEM)
		return error;
	if (error < 0)
		check_report_at(check, CHECK_COPY, false, path,
				"this copy of the metadata cannot be used: %s",
				error == -EBADMSG ? "damaged" : strerror(-error));
	return 0;
}

/* Once; the copies where every byte is read. */
int check_beside(struct check *check)
{
	int rc = 0;

	if (check->round > 1)
		return 0;
	if (check->ram_used && !check->result->live)
		ram_log(check);
	for (uint32_t t = 1; t < check->config->ntiers && check->options.deep; t++)
		for (uint32_t p = 0; p < TIER_PLACES_MAX && rc == 0; p++)
			if (check->places[t][p])
				rc = copy_verify_all(check->places[t][p], check->config->uuid,
						     each_copy, check);
	return rc;
}
