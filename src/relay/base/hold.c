/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Hold all messages until an operator has decided.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		held		the database says so: it is a copy or was restored, or a
 *					cursor has shown that its history isn't the one that Redis
 *					knows.  That is on disk before it is shown, and stays
 *					through every restart, until outbox_release()
 *		fenced		a cursor says that another server was promoted.  It is asked
 *					again when the relay starts
 *		watching	for a while: does another server move the cursors?
 *		disabled	outbox_enable(false): nobody has to decide anything
 *
 * A database that is disabled may be held as well, and says both.
 *
 * What the database says is read again and again, as somebody may release it.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/hold.h"

#include "access/xlog.h"
#include "relay/base/step.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

/* OUTBOX_NOT_RUNNING: not held */
static OutboxRelayState hold = OUTBOX_NOT_RUNNING;
static char shown[OUTBOX_TEXT_SIZE];

static char destination[OUTBOX_TEXT_SIZE] = "Redis";
static char destination_told[OUTBOX_TEXT_SIZE]; /* in the log */

/* 0: not watching */
static OutboxTime watch_until = 0;
static bool has_watched = false;

static bool is_off = false;
static char off_since[MAXDATELEN + 1];

/*
 * What is to be done.  Of two servers one delivers.  Where that is known to be the
 * other one, outbox_release() is not what is to be done here.
 */
static const char *
advice(const char *reason)
{
	if (strcmp(reason, OUTBOX_HELD_FENCED) == 0)
		return "stop this server, that one delivers";
	if (strcmp(reason, OUTBOX_HELD_FOREIGN) == 0)
		return psprintf("stop one of the two, then outbox_release('foreign') delivers from the other to %s",
						destination);
	return psprintf("if it is to deliver, outbox_release('%s') delivers from here to %s",
					reason, destination);
}

static void
set_hold(OutboxRelayState state, const char *reason, const char *why)
{
	if (hold != state || strcmp(destination, destination_told) != 0)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox holds all messages: %s", why),
				 errhint("What is to be done: %s.", advice(reason))));
	strlcpy(destination_told, destination, sizeof(destination_told));
	hold = state;
	snprintf(shown, sizeof(shown), "%s: %s; %s", reason, why, advice(reason));
}

void
outbox_hold(const char *reason, const char *why)
{
	set_hold(OUTBOX_HELD, reason, why);
}

void
outbox_fence(const char *why)
{
	set_hold(OUTBOX_FENCED, OUTBOX_HELD_FENCED, why);
}

void
outbox_write_hold(const char *reason, const char *why)
{
	OutboxParam params[] = {
		{"reason", TEXTOID, CStringGetTextDatum(reason)},
		{"why", TEXTOID, CStringGetTextDatum(why)}
	};

	outbox_query("UPDATE outbox.relay_state SET held = $reason,"
				 " held_why = $why, held_since = now()",
				 params, lengthof(params));
}

bool
outbox_hold_for_good(const char *reason, const char *why)
{
	static const StepLock locks[] = {{OUTBOX_REL_RELAY_STATE, true}};

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	outbox_write_hold(reason, why);
	SPI_finish();
	outbox_end_step();
	outbox_flush_wal(GetXLogInsertRecPtr());
	outbox_hold(reason, why);
	return true;
}

void
outbox_stop_holding(bool all)
{
	if (all || hold == OUTBOX_HELD)
		hold = OUTBOX_NOT_RUNNING;
}

void
outbox_hold_destination(const char *where)
{
	strlcpy(destination, where, sizeof(destination));
}

void
outbox_turn_off(const char *since)
{
	if (!is_off)
		ereport(LOG,
				(errmsg("outbox delivers nothing, as outbox_enable(false) has been called"),
				 errhint("To deliver what waits, call outbox_enable(true).")));
	is_off = true;
	strlcpy(off_since, since, sizeof(off_since));
}

void
outbox_turn_on(void)
{
	if (is_off)
		ereport(LOG, (errmsg("outbox delivers, as outbox_enable(true) has been called")));
	is_off = false;
}

bool
outbox_watch_until(OutboxTime until, const char *why)
{
	if (has_watched)
		return false;
	if (watch_until == 0)
	{
		ereport(LOG, (errmsg("outbox waits before it delivers: %s", why)));
		watch_until = until;
		strlcpy(shown, why, sizeof(shown));
	}
	return true;
}

void
outbox_check_watch(OutboxTime now)
{
	if (watch_until == 0 || now < watch_until)
		return;
	watch_until = 0;
	has_watched = true;
}

bool
outbox_is_held(void)
{
	return is_off || hold != OUTBOX_NOT_RUNNING || watch_until != 0;
}

bool
outbox_is_only_off(void)
{
	return is_off && hold == OUTBOX_NOT_RUNNING && watch_until == 0;
}

OutboxRelayState
outbox_hold_state(void)
{
	return is_off ? OUTBOX_DISABLED :
		hold != OUTBOX_NOT_RUNNING ? hold : OUTBOX_STARTING;
}

const char *
outbox_hold_reason(void)
{
	if (!is_off)
		return shown;
	return psprintf("outbox_enable(false) since %s; outbox_enable(true) delivers what waits to %s%s%s",
					off_since, destination, hold != OUTBOX_NOT_RUNNING ? "; then " : "",
					hold != OUTBOX_NOT_RUNNING ? shown : "");
}
