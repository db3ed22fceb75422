/*-------------------------------------------------------------------------
 *
 * server_run.c
 *	  Which run of which server this is.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Timeline and LSN do not say whose history a cursor belongs to: two standbys
 * that were promoted from one primary have the same timeline, a server that was
 * set back to an older volume soon writes past the old LSN, and a copy of a
 * volume is the same in everything.  So each life of shared memory gets a random
 * id, and each database keeps the runs of its own history (store/run.c).
 *
 * A run begins where recovery ended; after a clean shutdown there is no
 * recovery, and it begins at the checkpoint of that shutdown.  The first is known
 * when recovery has ended, the second only while pg_control still has it.
 *
 * A backup that is started with recovery.signal is a restored one, if it is not
 * a standby: a drill, or the original itself after a disaster.  Only an
 * operator knows which.  The signal file is gone when the relays start, so the
 * postmaster leaves a file of our own that names this run.  Each database
 * remembers which restored run it has held its messages for (store/run.c).
 *
 *-------------------------------------------------------------------------
 */
#include "server_run.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

/* relative to the data directory, which is the current one */
#define RESTORED_FILE		"outbox.restored"
#define RESTORED_FILE_TEMP	"outbox.restored.tmp"

static void
make_id(char *id)
{
	uint8		random[8];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
}

/*
 * Read the first line of a file; "" if it can't be read.
 */
static void
read_line(const char *path, char *line, int size)
{
	FILE	   *file = AllocateFile(path, "r");

	line[0] = '\0';
	if (file == NULL)
		return;
	if (fgets(line, size, file) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	FreeFile(file);
}

/*
 * A copy of the data directory is at another place, even if everything in it is
 * the same.
 */
static void
find_place(char *place)
{
	struct stat st;
	char		boot[40];

	read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	if (boot[0] == '\0')
		(void) gethostname(boot, sizeof(boot) - 1);
	if (stat(DataDir, &st) != 0)
		memset(&st, 0, sizeof(st));
	snprintf(place, OUTBOX_PLACE_SIZE, "%s:%llu:%llu", boot,
			 (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
}

/*
 * Without the file a restart before the first relay would make the restored
 * server look like the original.
 */
static void
mark_as_restored(const char *id)
{
	FILE	   *file = AllocateFile(RESTORED_FILE_TEMP, "w");

	if (file == NULL || fprintf(file, "%s\n", id) < 0 || FreeFile(file) != 0 ||
		durable_rename(RESTORED_FILE_TEMP, RESTORED_FILE, WARNING) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", RESTORED_FILE),
				 errdetail("outbox holds the messages of this restored server only if it is not restarted before its relays have started.")));
}

void
outbox_run_init(OutboxRunShared *run)
{
	ControlFileData *control;
	bool		is_valid;

	make_id(run->id);
	find_place(run->place);
	pg_atomic_init_u64(&run->connections, 0);

	if (access("recovery.signal", F_OK) == 0 &&
		access("standby.signal", F_OK) != 0)
	{
		strlcpy(run->restored, run->id, OUTBOX_RUN_ID_SIZE);
		mark_as_restored(run->id);
	}
	else
		read_line(RESTORED_FILE, run->restored, OUTBOX_RUN_ID_SIZE);

	control = get_controlfile(DataDir, &is_valid);
	if (is_valid && control->state == DB_SHUTDOWNED)
		run->shutdown = control->checkPoint;
	pfree(control);
}

void
outbox_run_describe(const OutboxRunShared *shared, OutboxRun *run)
{
	XLogRecPtr	recovered = GetXLogReplayRecPtr(NULL);

	memset(run, 0, sizeof(OutboxRun));
	strlcpy(run->id, shared->id, OUTBOX_RUN_ID_SIZE);
	strlcpy(run->place, shared->place, OUTBOX_PLACE_SIZE);
	run->system = GetSystemIdentifier();
	run->timeline = GetWALInsertionTimeLine();
	run->start = recovered != InvalidXLogRecPtr ? recovered : shared->shutdown;
}

void
outbox_run_token(OutboxRunShared *shared, char *token)
{
	snprintf(token, OUTBOX_TOKEN_SIZE, "%s." UINT64_FORMAT, shared->id,
			 pg_atomic_add_fetch_u64(&shared->connections, 1));
}
