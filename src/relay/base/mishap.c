/*-------------------------------------------------------------------------
 *
 * mishap.c
 *	  An error in one thing that the relay does doesn't end the relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What stands in our tables may have been edited by hand, be damaged on disk,
 * or be locked by another transaction; a disk may be full.  If the relay ended
 * with such an error, it would meet it again as soon as it was started, and no
 * queue would be delivered.  So errors are caught around each thing that can be
 * left for later.  The state in memory must allow that: whoever catches sets
 * it aside, or lets it be read again.
 *
 * An error that is caught has not been logged, and its text may quote data: of
 * errors in data and of violated constraints only the code is told (I10).
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/mishap.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "store/deferred.h"

#define AGAIN_MIN_MS	1000
#define AGAIN_MAX_MS	30000

/* what has not failed for this long after an attempt is well */
#define WELL_MS			15000

/* things that can have failed at a time */
#define MAX_MISHAPS		16

static Mishap *failed[MAX_MISHAPS];

bool
outbox_may_try(const Mishap *mishap, OutboxTime now)
{
	return mishap->since == 0 || now >= mishap->not_before;
}

void
outbox_has_not_failed(Mishap *mishap, OutboxTime now)
{
	if (mishap->since != 0 && now >= outbox_in_ms(mishap->not_before, WELL_MS))
		outbox_is_done(mishap);
}

void
outbox_is_done(Mishap *mishap)
{
	mishap->since = 0;
	mishap->failures = 0;
	mishap->text[0] = '\0';
	for (int i = 0; i < MAX_MISHAPS; i++)
		if (failed[i] == mishap)
			failed[i] = NULL;
}

static char *
text_of(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return "rows are locked by another transaction";
	if (category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		return psprintf("error %s", unpack_sql_state(error->sqlerrcode));
	return pstrdup(error->message);
}

char *
outbox_end_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	error = CopyErrorData();
	FlushErrorState();
	LWLockReleaseAll();
	AbortOutOfAnyTransaction();
	outbox_deferring = false;
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
	return text_of(error);
}

static void
remember(Mishap *mishap)
{
	int			place = 0;

	while (place < MAX_MISHAPS - 1 && failed[place] != NULL &&
		   failed[place] != mishap)
		place++;
	failed[place] = mishap;
}

void
outbox_it_has_failed(Mishap *mishap, MemoryContext context)
{
	char	   *text = outbox_end_error(context);
	OutboxTime	now = outbox_now();
	int			wait = Min(AGAIN_MIN_MS << Min(mishap->failures, 10),
						   AGAIN_MAX_MS);

	ereport(strcmp(mishap->text, text) == 0 ? DEBUG1 : WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("outbox cannot %s: %s", mishap->what, text),
			 errhint("It is tried again.")));
	if (mishap->since == 0)
		mishap->since = now;
	mishap->failures++;
	mishap->not_before = outbox_in_ms(now, wait);
	strlcpy(mishap->text, text, sizeof(mishap->text));
	remember(mishap);
}

const Mishap *
outbox_oldest_mishap(void)
{
	const Mishap *oldest = NULL;

	for (int i = 0; i < MAX_MISHAPS; i++)
		if (failed[i] != NULL &&
			(oldest == NULL || failed[i]->since < oldest->since))
			oldest = failed[i];
	return oldest;
}

bool
outbox_attempt(Mishap *mishap, bool (*what) (Relay *, OutboxTime), Relay *relay,
			   OutboxTime now)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool result = false;

	if (!outbox_may_try(mishap, now))
		return false;
	PG_TRY();
	{
		result = what(relay, now);
		outbox_has_not_failed(mishap, now);
	}
	PG_CATCH();
	{
		outbox_it_has_failed(mishap, context);
	}
	PG_END_TRY();
	return result;
}
