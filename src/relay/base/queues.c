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
 * There may be thousands of queues, and something to do for a few of them.  What
 * is done in each turn of the loop goes through the list of queues that are awake.
 * Whoever changes something that may be a reason to work for a queue wakes it; at
 * the end of a turn those rest for which there is nothing to do (deliver/rest.c),
 * until a certain time, or until they are woken.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/queues.h"

#include "catalog.h"
#include "queue/partition.h"
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
	RelayQueue *queue;			/* whose part it is */
	OutboxQueue settings;
	MemoryContext options_context;	/* of settings.options and .template */
} Listed;

static Relay *the_relay;

/* the queues that are awake, in the order in which they woke */
static RelayQueue **awake = NULL;
static int	nawake = 0;
static int	awake_size = 64;
static int	first_in_turn = 0;	/* whose turn it is to send first */

static List *returning = NIL;	/* of RelayQueue, those with consumer_retry */
static pairingheap *resting = NULL; /* of QueueListed, by rests_until */
static HTAB *by_id = NULL;		/* of QueueById, without dropped queues */
static RelayQueue *last_found = NULL;
static uint64 list_number = 1;
static uint64 epoch = 0;		/* outbox_catalog_epoch() at the last reading */
static bool stale = true;
static bool met_unknown = false;

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

/* the first to wake is the greatest */
static int
compare_rests(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	OutboxTime	until_a = pairingheap_const_container(QueueListed, node, a)->rests_until;
	OutboxTime	until_b = pairingheap_const_container(QueueListed, node, b)->rests_until;

	return until_a == until_b ? 0 : until_a < until_b ? 1 : -1;
}

void
outbox_queues_init(Relay *relay)
{
	HASHCTL		ctl;

	Assert(CurrentMemoryContext == relay->context);
	the_relay = relay;
	awake = palloc(awake_size * sizeof(RelayQueue *));
	resting = pairingheap_allocate(compare_rests, NULL);

	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(QueueById);
	ctl.hcxt = relay->context;
	by_id = hash_create("outbox relay queues", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

int
outbox_count_awake(void)
{
	return nawake;
}

RelayQueue *
outbox_awake_queue(int n)
{
	Assert(n < nawake);
	return awake[n];
}

uint64
outbox_queue_list_number(void)
{
	return list_number;
}

int
outbox_first_in_turn(void)
{
	return first_in_turn < nawake ? first_in_turn : 0;
}

void
outbox_turn_was_of(int n)
{
	first_in_turn = n % nawake + 1;
}

void
outbox_end_rest(const RelayQueue *queue)
{
	QueueListed *listed = &mine(queue)->shown;

	if (listed->rests_until != OUTBOX_NEVER)
		pairingheap_remove(resting, &listed->node);
	listed->awake = true;
	if (nawake == awake_size)
	{
		awake_size *= 2;
		awake = repalloc(awake, awake_size * sizeof(RelayQueue *));
	}
	awake[nawake++] = mine(queue)->queue;
}

void
outbox_wake_queues_of(const struct Link *link)
{
	ListCell   *lc;

	foreach(lc, the_relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link == link)
			outbox_wake_queue(queue);
	}
}

void
outbox_queue_uses_link(RelayQueue *queue, struct Link *link)
{
	*(struct Link **) &queue->link = link;
	outbox_wake_queue(queue);
}

static Listed *
first_to_wake(void)
{
	/* "shown" is the first member */
	return pairingheap_is_empty(resting) ? NULL :
		(Listed *) pairingheap_container(QueueListed, node,
										 pairingheap_first(resting));
}

OutboxTime
outbox_next_queue_wakes(void)
{
	Listed	   *first = first_to_wake();

	return first == NULL ? OUTBOX_NEVER : first->shown.rests_until;
}

void
outbox_wake_rested_queues(OutboxTime now)
{
	Listed	   *first;

	while ((first = first_to_wake()) != NULL && first->shown.rests_until <= now)
		outbox_wake_queue(first->queue);
}

void
outbox_let_queues_rest(OutboxRestsUntil until, OutboxTime now)
{
	int			n = 0;
	int			first = first_in_turn;

	for (int i = 0; i < nawake; i++)
	{
		QueueListed *listed = &mine(awake[i])->shown;

		listed->rests_until = until(awake[i], now);
		listed->awake = listed->rests_until <= now;
		if (listed->awake)
		{
			awake[n++] = awake[i];
			continue;
		}
		if (i < first)
			first_in_turn--;
		if (listed->rests_until != OUTBOX_NEVER)
			pairingheap_add(resting, &listed->node);
	}
	nawake = n;
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
	met_unknown |= queue == NULL;
	return queue;
}

bool
outbox_unknown_queue_was_met(void)
{
	return met_unknown;
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
	const char *tag;
	int			len;
	bool		tagged = outbox_find_tag(queue->redis_key, &tag, &len);

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

List *
outbox_returning_queues(void)
{
	return returning;
}

static void
keep_returning(RelayQueue *queue, bool returns)
{
	MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(queue->context));

	if (returns && !queue->listed->returns)
		returning = lappend(returning, queue);
	if (!returns && queue->listed->returns)
		returning = list_delete_ptr(returning, queue);
	mine(queue)->shown.returns = returns;
	MemoryContextSwitchTo(old);
}

RelayQueue *
outbox_add_queue(Relay *relay, const OutboxQueue *settings, struct Link *home)
{
	MemoryContext context = AllocSetContextCreate(relay->context,
												  "outbox relay queue",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RelayQueue *queue = palloc0(sizeof(RelayQueue));
	Listed	   *listed;
	QueueById  *entry;

	queue->context = context;
	queue->home = home;
	queue->listed = outbox_make_part(queue, sizeof(Listed));
	listed = mine(queue);
	listed->queue = queue;
	listed->shown.rests_until = OUTBOX_NEVER;
	queue->settings = &listed->settings;
	listed->settings = *settings;
	listed->settings.name = pstrdup(settings->name);
	listed->settings.redis_key = utf8_copy(settings->redis_key);
	listed->settings.options = NULL;
	listed->settings.template = NULL;
	listed->settings.server = NULL;
	listed->settings.moving_from = NULL;
	listed->options_context = AllocSetContextCreate(context,
													"outbox queue options",
													ALLOCSET_SMALL_SIZES);
	queue->cursor_key = make_cursor_key(relay, &listed->settings);
	queue->slot = outbox_slot_of_bytes(queue->cursor_key);

	MemoryContextSwitchTo(relay->context);
	list_number++;
	relay->queues = lappend(relay->queues, queue);
	entry = hash_search(by_id, &settings->id, HASH_ENTER, NULL);
	entry->queue = queue;
	MemoryContextSwitchTo(old);
	outbox_queue_uses_link(queue, home);
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

/*
 * Keep a string that may change: a copy, or the one that we had.
 */
static void
take_string(RelayQueue *queue, char **string, char *old)
{
	if (*string != NULL && old != NULL && strcmp(*string, old) == 0)
		*string = old;
	else
	{
		if (*string != NULL)
			*string = MemoryContextStrdup(queue->context, *string);
		if (old != NULL)
			pfree(old);
	}
}

SettingsChange
outbox_take_settings(RelayQueue *queue, const OutboxQueue *settings)
{
	Listed	   *listed = mine(queue);
	OutboxQueue old = listed->settings;
	SettingsChange change;

	/* outbox_alter_queue() keeps the target, but rows can be edited by hand */
	change.policy = old.on_failure != settings->on_failure;
	change.returns = old.consumer_retry != settings->consumer_retry;
	change.options = old.target != settings->target ||
		!same_options(old.options, settings->options);

	listed->settings = *settings;
	listed->settings.name = old.name;
	listed->settings.redis_key = old.redis_key;
	listed->settings.options = old.options;
	listed->settings.template = old.template;
	keep_returning(queue, settings->consumer_retry);
	take_string(queue, &listed->settings.server, old.server);
	take_string(queue, &listed->settings.moving_from, old.moving_from);
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
	list_number++;
	mine(queue)->shown.dropped = true;
	hash_search(by_id, &queue->settings->id, HASH_REMOVE, NULL);
	last_found = NULL;
}

bool
outbox_any_queue_is_dropped(const Relay *relay)
{
	return hash_get_num_entries(by_id) < list_length(relay->queues);
}

/*
 * Leave the list of those that are awake, and the heap of those that rest.
 */
static void
leave_awake(RelayQueue *queue)
{
	int			n = 0;

	outbox_wake_queue(queue);
	for (int i = 0; i < nawake; i++)
		if (awake[i] != queue)
			awake[n++] = awake[i];
	nawake = n;
}

void
outbox_free_queue(RelayQueue *queue)
{
	Assert(queue->listed->dropped);
	list_number++;
	leave_awake(queue);
	keep_returning(queue, false);
	MemoryContextDelete(queue->context);
}
