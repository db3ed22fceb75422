/*-------------------------------------------------------------------------
 *
 * jobs.c
 *	  Jobs for Celery, Sidekiq, RQ and Dramatiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message of these targets is JSON that says what to do, in words of the target's
 * system; type and key are not sent.  It becomes commands, and so is applied by
 * the script's branch for a queue's own commands.  All is in the system's own
 * format then, and the message's id is the job's.
 *
 * Beside json's rules for payloads (payload.c) a payload has to be a description
 * of a job.  Most come by outbox_enqueue(); but a payload that was captured, or
 * forwarded, has to pass here, too.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/jobs.h"

#include "targets/celery.h"
#include "targets/dramatiq.h"
#include "targets/rq.h"
#include "targets/sidekiq.h"

/* in place of commands, for one_message.lua */
#define NO_JOB	(-2)

static const OutboxJobSystem *
system_of(OutboxTarget target)
{
	switch (target)
	{
		case OUTBOX_TARGET_CELERY:
			return &outbox_celery_system;
		case OUTBOX_TARGET_SIDEKIQ:
			return &outbox_sidekiq_system;
		case OUTBOX_TARGET_RQ:
			return &outbox_rq_system;
		case OUTBOX_TARGET_DRAMATIQ:
			return &outbox_dramatiq_system;
		default:
			return NULL;
	}
}

static OutboxBytes
payload_bytes(const OutboxMessage *msg)
{
	return (OutboxBytes) {VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload)};
}

bool
outbox_has_jobs(OutboxTarget target)
{
	return system_of(target) != NULL;
}

static bool
is_reserved(const OutboxJobSystem *system, OutboxBytes name)
{
	for (const char *const *other = system->reserved_headers; *other != NULL; other++)
		if (strlen(*other) == name.len && memcmp(*other, name.data, name.len) == 0)
			return true;
	for (int i = 0; i < system->description->nmembers; i++)
	{
		const char *member = system->description->members[i].name;

		if (strlen(member) == name.len && memcmp(member, name.data, name.len) == 0)
			return true;
	}
	return false;
}

static void
check_headers(const OutboxJobSystem *system, const OutboxMessage *msg)
{
	Jsonb	   *headers = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	OutboxBytes name;
	OutboxBytes value;

	if (JB_ROOT_COUNT(headers) > 0 && system->reserved_headers == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has no headers", system->what),
				 errhint("%s", system->headers_hint)));
	while (outbox_next_header(&it, &name, &value))
		if (is_reserved(system, name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a header of %s cannot have the name \"%s\"", system->what,
							pnstrdup(name.data, name.len)),
					 errdetail("The name has a meaning of its own there.")));
}

void
outbox_check_job(OutboxTarget target, const OutboxMessage *msg)
{
	const OutboxJobSystem *system = system_of(target);
	OutboxBytes values[OUTBOX_MAX_MEMBERS];
	const char *fault = outbox_read_description(system->description, payload_bytes(msg),
												values);

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload does not describe %s", system->what),
				 errdetail("%s", fault),
				 errhint("%s", system->hint)));
	if (msg->headers != NULL)
		check_headers(system, msg);
}

void
outbox_encode_job(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg)
{
	const OutboxJobSystem *system = system_of(queue->target);
	OutboxBytes values[OUTBOX_MAX_MEMBERS];

	if (outbox_read_description(system->description, payload_bytes(msg), values) == NULL)
		system->encode(args, queue, msg, values);
	else
		outbox_add_number(args, NO_JOB);
}
