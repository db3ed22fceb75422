/*-------------------------------------------------------------------------
 *
 * queues.c
 *	  The relay's list of queues, and their settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue's redis_key is kept in UTF-8, as Redis gets it.  Options and what is
 * compiled from them may change while the queue lives, so they have a memory
 * context of their own.
 *
 * A dropped queue stays in the list while answers for it are awaited.  Its
 * rows in staging belong to no queue then, and go when the table is emptied.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/queues.h"

#include "catalog.h"
#include "targets/commands.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

typedef struct QueueById
{
	int32		id;
	RelayQueue *queue;
} QueueById;

/* the part of a queue that this file owns */
typedef struct Listed
{
	QueueListed shown;			/* first: what others see */
	OutboxQueue settings;
	MemoryContext options_context;	/* of settings.options and .template */
} Listed;

static HTAB *by_id = NULL;		/* of QueueById, without dropped queues */
static RelayQueue *last_found = NULL;
static uint64 epoch = 0;		/* outbox_catalog_epoch() at the last reading */
static bool stale = true;

static Listed *
mine(const RelayQueue *queue)
{
	return (Listed *) unconstify(QueueListed *, queue->listed);
}

void *
outbox_make_part(RelayQueue *queue, Size size)
{
	return MemoryContextAllocZero(queue->context, size);
}

void
outbox_queues_init(Relay *relay)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(QueueById);
	ctl.hcxt = relay->context;
	by_id = hash_create("outbox relay queues", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

RelayQueue *
outbox_known_queue(int32 id)
{
	QueueById  *entry;

	/* rows of one queue tend to come together */
	if (last_found != NULL && last_found->settings->id == id)
		return last_found;
	entry = hash_search(by_id, &id, HASH_FIND, NULL);
	if (entry == NULL)
		return NULL;
	return last_found = entry->queue;
}

RelayQueue *
outbox_find_queue(int32 id)
{
	RelayQueue *queue = outbox_known_queue(id);

	/* the queue was created after the list was read, or is dropped */
	stale |= queue == NULL;
	return queue;
}

void
outbox_queues_are_stale(void)
{
	stale = true;
}

bool
outbox_queues_to_be_read(void)
{
	return stale || epoch != outbox_catalog_epoch();
}

void
outbox_queues_were_read(void)
{
	stale = false;
	epoch = outbox_catalog_epoch();
}

/*
 * In a cluster the cursor must be in the same slot as the queue's redis_key, so
 * it has the same hash tag, or the whole redis_key as its tag.
 */
static char *
make_cursor_key(const Relay *relay, const OutboxQueue *queue)
{
	const char *open = strchr(queue->redis_key, '{');
	const char *close = open != NULL ? strchr(open, '}') : NULL;
	bool		tagged = close != NULL && close > open + 1;

	return psprintf(tagged ? "%s:outbox:%s:%d" : "{%s}:outbox:%s:%d",
					queue->redis_key, relay->source, queue->id);
}

/* a text in UTF-8, as Redis gets it */
static char *
utf8_copy(const char *s)
{
	OutboxBytes bytes = outbox_utf8_bytes(s, strlen(s));

	return pnstrdup(bytes.data, bytes.len);
}

bool
outbox_same_redis_key(const RelayQueue *queue, const OutboxQueue *settings)
{
	return strcmp(queue->settings->redis_key,
				  utf8_copy(settings->redis_key)) == 0;
}

RelayQueue *
outbox_add_queue(Relay *relay, const OutboxQueue *settings)
{
	MemoryContext context = AllocSetContextCreate(relay->context,
												  "outbox relay queue",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RelayQueue *queue = palloc0(sizeof(RelayQueue));
	Listed	   *listed;
	QueueById  *entry;

	queue->context = context;
	queue->link = linitial(relay->links);
	queue->listed = outbox_make_part(queue, sizeof(Listed));
	listed = mine(queue);
	queue->settings = &listed->settings;
	listed->settings = *settings;
	listed->settings.name = pstrdup(settings->name);
	listed->settings.redis_key = utf8_copy(settings->redis_key);
	listed->settings.options = NULL;
	listed->settings.template = NULL;
	listed->options_context = AllocSetContextCreate(context,
													"outbox queue options",
													ALLOCSET_SMALL_SIZES);
	queue->cursor_key = make_cursor_key(relay, &listed->settings);

	MemoryContextSwitchTo(relay->context);
	relay->queues = lappend(relay->queues, queue);
	entry = hash_search(by_id, &settings->id, HASH_ENTER, NULL);
	entry->queue = queue;
	MemoryContextSwitchTo(old);
	return queue;
}

static bool
same_options(const struct varlena *a, const struct varlena *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

static void
take_options(Listed *listed, struct varlena *options)
{
	OutboxQueue *settings = &listed->settings;
	MemoryContext old;
	const char *error;
	const char *hint;

	MemoryContextReset(listed->options_context);
	old = MemoryContextSwitchTo(listed->options_context);
	settings->options = options == NULL ? NULL :
		PG_DETOAST_DATUM_COPY(PointerGetDatum(options));
	settings->template = settings->target != OUTBOX_TARGET_COMMANDS ? NULL :
		outbox_template_compile(settings->options, &error, &hint);
	MemoryContextSwitchTo(old);
}

SettingsChange
outbox_take_settings(RelayQueue *queue, const OutboxQueue *settings)
{
	Listed	   *listed = mine(queue);
	OutboxQueue old = listed->settings;
	SettingsChange change;

	/* outbox_alter_queue() keeps the target, but rows can be edited by hand */
	change.policy = old.on_failure != settings->on_failure;
	change.options = old.target != settings->target ||
		!same_options(old.options, settings->options);

	listed->settings = *settings;
	listed->settings.name = old.name;
	listed->settings.redis_key = old.redis_key;
	listed->settings.options = old.options;
	listed->settings.template = old.template;
	if (change.options)
		take_options(listed, settings->options);
	return change;
}

void
outbox_queue_seen(RelayQueue *queue, bool seen)
{
	mine(queue)->shown.seen = seen;
}

void
outbox_queue_is_dropped(RelayQueue *queue)
{
	mine(queue)->shown.dropped = true;
	hash_search(by_id, &queue->settings->id, HASH_REMOVE, NULL);
	last_found = NULL;
}

void
outbox_remove_queue(Relay *relay, RelayQueue *queue)
{
	Assert(queue->listed->dropped);
	relay->queues = list_delete_ptr(relay->queues, queue);
	MemoryContextDelete(queue->context);
}
