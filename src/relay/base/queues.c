/*-------------------------------------------------------------------------
 *
 * queues.c
 *	  The relay's list of queues.
 *
 * Design notes
 *
 * The list follows outbox.queue.  It is read again when a cache invalidation
 * or a wake says so, and when a row turns up whose queue isn't in it: commits
 * become visible before their invalidations arrive.
 *
 * A dropped queue stays in memory while answers for it are awaited.  Its rows
 * in staging belong to no queue then, and go with the next TRUNCATE.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "targets/commands.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "queue/queue.h"
#include "utils/memutils.h"

/*
 * A queue by its id, or NULL.
 */
RelayQueue *
outbox_find_queue(Relay *relay, int32 id)
{
	QueueById  *entry;

	/* rows of one queue tend to come together */
	if (relay->last_found != NULL && relay->last_found->settings.id == id)
		return relay->last_found;

	entry = hash_search(relay->by_id, &id, HASH_FIND, NULL);
	if (entry == NULL)
	{
		/* created after the list was read, or dropped */
		relay->queues_stale = true;
		return NULL;
	}
	return relay->last_found = entry->queue;
}

/*
 * The cursor lives in the slot of the queue's own key: with the tag that the
 * key has, or with the key as the tag.
 */
static char *
make_cursor_key(Relay *relay, const OutboxQueue *queue)
{
	const char *open = strchr(queue->redis_key, '{');
	const char *close = open != NULL ? strchr(open, '}') : NULL;
	bool		tagged = close != NULL && close > open + 1;

	return psprintf(tagged ? "%s:outbox:%s:%d" : "{%s}:outbox:%s:%d",
					queue->redis_key, relay->source, queue->id);
}

/* a text setting as Redis gets it */
static char *
utf8_copy(const char *s)
{
	OutboxBytes bytes = outbox_utf8_bytes(s, strlen(s));

	return pnstrdup(bytes.data, bytes.len);
}

static void
add_queue(Relay *relay, const OutboxQueue *settings)
{
	MemoryContext context = AllocSetContextCreate(relay->context,
												  "outbox relay queue",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RelayQueue *queue = palloc0(sizeof(RelayQueue));
	QueueById  *entry;

	queue->context = context;
	queue->settings = *settings;
	queue->settings.name = pstrdup(settings->name);
	queue->settings.redis_key = utf8_copy(settings->redis_key);
	queue->settings.options = NULL;
	queue->settings.template = NULL;
	queue->options_context = AllocSetContextCreate(context, "outbox queue options",
												   ALLOCSET_SMALL_SIZES);
	queue->cursor_key = make_cursor_key(relay, &queue->settings);
	queue->state = QUEUE_UNKNOWN;
	queue->again_at = DT_NOEND;
	queue->evacuating = -1;
	outbox_read_totals(queue);

	MemoryContextSwitchTo(relay->context);
	relay->queues = lappend(relay->queues, queue);
	entry = hash_search(relay->by_id, &settings->id, HASH_ENTER, NULL);
	entry->queue = queue;
	MemoryContextSwitchTo(old);
}

static void
drop_queue(Relay *relay, RelayQueue *queue)
{
	queue->dropped = true;
	outbox_discard_plan(queue);
	hash_search(relay->by_id, &queue->settings.id, HASH_REMOVE, NULL);
	relay->last_found = NULL;
}

/*
 * Drop all queues, to be read again.
 */
void
outbox_drop_queues(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!queue->dropped)
			drop_queue(relay, queue);
	}
	relay->queues_stale = true;
}

/*
 * Free a dropped queue that has nothing in flight.
 */
void
outbox_free_queue(Relay *relay, RelayQueue *queue)
{
	Assert(queue->dropped && queue->inflight + queue->consumer_reads == 0);
	relay->queues = list_delete_ptr(relay->queues, queue);
	outbox_discard_plan(queue);
	outbox_snap_unref(queue->prev);
	outbox_snap_unref(queue->cur);
	outbox_snap_unref(queue->acked.prev);
	outbox_snap_unref(queue->acked.cur);
	outbox_snap_unref(queue->settled);
	outbox_snap_unref(queue->purge_snap);
	outbox_snap_unref(queue->before_loss.prev);
	outbox_snap_unref(queue->before_loss.cur);
	MemoryContextDelete(queue->context);
}

/*
 * Who dropped the queue has deleted what it had, but the relay may have added
 * to it until it noticed.
 */
static void
delete_orphans(int32 id)
{
	static const char *const tables[] = {"deferred", "dead_letter", "queue_total"};
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(id)};

	if (!outbox_lock_failures() || !outbox_lock_to_write(OUTBOX_REL_QUEUE_TOTAL))
		return;
	SPI_connect();
	for (int i = 0; i < lengthof(tables); i++)
		SPI_execute_with_args(psprintf("DELETE FROM outbox.%s WHERE queue = $1",
									   tables[i]),
							  1, types, values, NULL, false, 0);
	SPI_finish();
}

static bool
same_options(const struct varlena *a, const struct varlena *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

/*
 * Take a queue's options.  True if they are others than before, or the target
 * that they are for is.
 */
static bool
take_options(RelayQueue *queue, struct varlena *options, bool always)
{
	MemoryContext old;
	const char *error;
	const char *hint;

	if (!always && same_options(queue->settings.options, options))
		return false;
	MemoryContextReset(queue->options_context);
	old = MemoryContextSwitchTo(queue->options_context);
	queue->settings.options = options == NULL ? NULL :
		PG_DETOAST_DATUM_COPY(PointerGetDatum(options));
	queue->settings.template =
		queue->settings.target != OUTBOX_TARGET_COMMANDS ? NULL :
		outbox_template_compile(queue->settings.options, &error, &hint);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Settings may have changed.  What a queue stands still for may be over then:
 * it goes on from its cursor.
 */
static void
take_settings(Relay *relay, RelayQueue *queue, const OutboxQueue *settings)
{
	char	   *name = queue->settings.name;
	char	   *redis_key = queue->settings.redis_key;
	bool		paused = settings->paused_at != 0;
	bool		other_policy = queue->settings.on_failure != settings->on_failure;
	bool		other_target = queue->settings.target != settings->target;
	bool		other_options;
	struct varlena *options;
	OutboxTemplate *template;

	/* somebody has written to the table */
	queue->settings.target = settings->target;
	other_options = take_options(queue, settings->options, other_target);
	options = queue->settings.options;
	template = queue->settings.template;
	queue->settings = *settings;
	queue->settings.name = name;
	queue->settings.redis_key = redis_key;
	queue->settings.options = options;
	queue->settings.template = template;

	if (paused && queue->state == QUEUE_FLOWING)
		outbox_stop_queue(queue);
	else if ((!paused && queue->state == QUEUE_PAUSED) ||
			 (other_policy && queue->state == QUEUE_BLOCKED) ||
			 (other_options && queue->state != QUEUE_PAUSED))
	{
		queue->state = QUEUE_UNKNOWN;
		queue->still_since = 0;
		relay->look = true;
	}
}

/*
 * Bring the list of queues up to date.
 */
void
outbox_refresh_queues(Relay *relay)
{
	ListCell   *lc;
	List	   *fresh;

	if (!relay->queues_stale && relay->queues_epoch == outbox_catalog_epoch())
		return;
	relay->queues_stale = false;
	relay->queues_epoch = outbox_catalog_epoch();
	fresh = outbox_queue_list();

	foreach(lc, relay->queues)
		((RelayQueue *) lfirst(lc))->listed = false;

	foreach(lc, fresh)
	{
		OutboxQueue *settings = lfirst(lc);
		QueueById  *entry = hash_search(relay->by_id, &settings->id, HASH_FIND,
										NULL);
		RelayQueue *queue = entry != NULL ? entry->queue : NULL;

		/* another key has another cursor */
		if (queue != NULL && strcmp(queue->settings.redis_key,
									utf8_copy(settings->redis_key)) != 0)
		{
			drop_queue(relay, queue);
			queue = NULL;
		}
		if (queue == NULL)
		{
			add_queue(relay, settings);
			queue = llast(relay->queues);
		}
		queue->listed = true;
		take_settings(relay, queue, settings);
	}

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed || queue->dropped)
			continue;
		drop_queue(relay, queue);
		outbox_send_forget(relay, queue);
		delete_orphans(queue->settings.id);
	}
}
