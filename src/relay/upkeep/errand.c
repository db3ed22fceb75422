/*-------------------------------------------------------------------------
 *
 * errand.c
 *	  Errands of backends are done: what they ask Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A backend that looks for cursors (api/cursors.c) has no connection to Redis.  It
 * asks the relay for one answer at a time, through the slot.  Each is a short
 * script, and the backend keeps the place at which SCAN goes on, so the relay has
 * nothing to remember, and nothing to end if the backend goes away.  The answer to
 * an errand that has been given up is not kept: the errand has another number.
 *
 * To which Redis it is sent, of several servers or of the nodes of a cluster, is
 * found in relay/errand_link.c.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/errand.h"

#include "redis/errors.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/deliver/script.h"

typedef struct SentErrand
{
	uint32		number;			/* 0: none is under way */
	const Link *link;
	uint64		connection;
	char		node[OUTBOX_ERRAND_KEY];
	char		next[OUTBOX_ERRAND_KEY];
} SentErrand;

static SentErrand sent;

/* that was sent to another node of a cluster once already */
static uint32 redirected = 0;

/*
 * The backend has its answer: elements, each with a zero byte at its end; or
 * an error.
 */
static void
finish(Relay *relay, const char *error, const StringInfoData *data,
	   const char *node, const char *next)
{
	OutboxSlot *slot = relay->slot;
	OutboxErrand *errand = &slot->errand;
	uint32		procno = OUTBOX_NOBODY;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (errand->pid != 0 && !errand->is_done &&
		(sent.number == 0 || sent.number == errand->number))
	{
		strlcpy(errand->error, error, sizeof(errand->error));
		strlcpy(errand->node, node, sizeof(errand->node));
		strlcpy(errand->next, next, sizeof(errand->next));
		errand->size = data != NULL ? data->len : 0;
		if (data != NULL)
			memcpy(errand->data, data->data, data->len);
		errand->is_done = true;
		procno = errand->procno;
		pg_atomic_write_u32(&slot->errand_wanted, 0);
	}
	LWLockRelease(outbox_shared->lock);
	sent.number = 0;

	outbox_wake_procno(procno);
}

/*
 * Copy what is asked.  False if nothing is.
 */
static bool
copy_errand(Relay *relay, Errand *copy)
{
	OutboxErrand *errand = &relay->slot->errand;
	bool		wanted;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	wanted = errand->pid != 0 && !errand->is_done;
	copy->number = errand->number;
	copy->kind = errand->kind;
	copy->server = pstrdup(errand->server);
	copy->key = pstrdup(errand->key);
	copy->arg = pstrdup(errand->arg);
	LWLockRelease(outbox_shared->lock);
	return wanted;
}

bool
outbox_take_errand(Relay *relay, Errand *errand)
{
	if (pg_atomic_read_u32(&relay->slot->errand_wanted) == 0)
		return false;
	/* one that a backend has given up is answered all the same */
	if (sent.number != 0 && !outbox_is_held() &&
		sent.connection == outbox_connection_number(sent.link->connection))
		return false;
	sent.number = 0;

	return copy_errand(relay, errand);
}

void
outbox_send_errand(Link *link, const Errand *errand, const char *node,
				   const char *next)
{
	sent.number = errand->number;
	sent.link = link;
	sent.connection = outbox_connection_number(link->connection);

	strlcpy(sent.node, node, sizeof(sent.node));
	strlcpy(sent.next, next, sizeof(sent.next));
	if (errand->kind == OUTBOX_ERRAND_FIND)
		outbox_find_cursors(link, errand->arg);
	else
		outbox_remove_cursor(link, errand->key, errand->arg);
}

void
outbox_refuse_errand(Relay *relay, const char *error, const char *node,
					 const char *next)
{
	finish(relay, error, NULL, node, next);
}

void
outbox_forget_errand(Relay *relay)
{
	finish(relay, "", NULL, "", "");
}

/*
 * The cursor's slot is elsewhere: where that is has been read of the answer, so it
 * can be sent there, once.
 */
static bool
is_redirected(const char *error)
{
	if (strncmp(error, "MOVED ", strlen("MOVED ")) != 0 ||
		sent.node[0] == '\0' || redirected == sent.number)
		return false;
	redirected = sent.number;
	sent.number = 0;

	return true;
}

static void
was_refused(Relay *relay, const char *reply)
{
	char		error[OUTBOX_TEXT_SIZE];

	if (is_redirected(reply))
		return;
	outbox_clean_error(error, reply, sizeof(error));
	finish(relay, strncmp(error, "ASK ", strlen("ASK ")) == 0 ?
		   psprintf("its slot is moving, ask again later: %s", error) : error,
		   NULL, sent.node, sent.next);
}

void
outbox_errand_answer(Relay *relay, const OutboxReply *reply)
{
	StringInfoData data;

	if (outbox_reply_is_error(reply))
	{
		was_refused(relay, outbox_reply_string(reply));
		return;
	}
	initStringInfo(&data);
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
	{
		appendStringInfoString(&data, outbox_reply_element_string(reply, i));
		appendStringInfoChar(&data, '\0');
	}
	if (data.len > OUTBOX_ERRAND_SIZE)
		finish(relay, "the answer of Redis is too long", NULL, sent.node, sent.next);
	else
		finish(relay, "", &data, sent.node, sent.next);
}
