/*-------------------------------------------------------------------------
 *
 * cursors.c
 *	  Find and remove cursors of databases that are gone.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Cursors are in Redis, and only the relay has a connection.  A backend writes an
 * errand into the relay's slot and waits for the answer, which is that of one short
 * script: a look at a thousand keys, for example.  Between two of them others get
 * their turn, in Redis and in the relay.  Whoever cancels the query just asks no
 * more.  There is one errand at a time in a database.
 *
 * A cluster has them on each of its nodes: the relay says which node it has asked,
 * and which is next.  A cursor of a slot that is moving can't be read where a look
 * at all keys finds it; it is counted, and found by the next look.
 *
 * A cursor that is removed by mistake is a queue that is delivered a second time.
 * So one is removed by its name only, and only if its mark (relay/upkeep/marks.c)
 * says that it was made by this server for a database that does not exist, and that it
 * was not in use for a day: a clone of this server, which has the same system
 * identifier, may have such a database.  The mark is compared again by the script
 * that removes the cursor, so whoever uses it meanwhile keeps it.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/xlog.h"
#include "api/args.h"
#include "api/row.h"
#include "api/server_status.h"
#include "compat.h"
#include "convert.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/hsearch.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "wake.h"

/* seconds for which a cursor must not have been in use */
#define UNUSED_FOR	(24 * 3600)

/* what ends the name of a cursor */
#define UUID_FORM "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

typedef struct Mark
{
	uint64		system;
	Oid			database;
	int64		used_at;		/* seconds since 1970, by the clock of Redis */
} Mark;

typedef struct Answer
{
	StringInfoData data;		/* elements, each with a zero byte at its end */
	int			at;				/* where the next one is */
	char	   *error;			/* why there is none, or "" */
	char	   *node;			/* of a cluster that was asked, or "" */
	char	   *next;			/* that is to be asked next, or "" */
} Answer;

PG_FUNCTION_INFO_V1(outbox_gone_cursors);
PG_FUNCTION_INFO_V1(outbox_remove_cursor_sql);

static void
wait_a_moment(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = outbox_wait_event("OutboxErrand");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 50, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * The relay's slot, with a relay.
 */
static OutboxSlot *
needed_slot(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot == NULL || slot->pid == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database has no relay now"),
				 errhint("See outbox.status.")));
	return slot;
}

/*
 * Leave an errand in the slot.  False if somebody else's is there.
 */
static bool
leave_errand(OutboxSlot *slot, const char *server, OutboxErrandKind kind,
			 const char *key, const char *arg)
{
	OutboxErrand *errand = &slot->errand;
	bool		is_free;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	is_free = errand->pid == 0 || errand->pid == MyProcPid ||
		BackendPidGetProc(errand->pid) == NULL;
	if (is_free)
	{
		errand->pid = MyProcPid;
		errand->procno = outbox_my_procno();
		if (++errand->number == 0)
			errand->number = 1;
		errand->is_done = false;
		errand->kind = kind;
		strlcpy(errand->server, server, sizeof(errand->server));
		strlcpy(errand->key, key, sizeof(errand->key));
		strlcpy(errand->arg, arg, sizeof(errand->arg));
		pg_atomic_write_u32(&slot->errand_wanted, 1);
		outbox_wake_procno(pg_atomic_read_u32(&slot->procno));
	}
	LWLockRelease(outbox_shared->lock);
	return is_free;
}

static void
drop_errand(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (slot != NULL && slot->errand.pid == MyProcPid)
		slot->errand.pid = 0;
	LWLockRelease(outbox_shared->lock);
}

/*
 * Take the answer, if it has come.
 */
static bool
take_answer(OutboxSlot *slot, Answer *answer)
{
	OutboxErrand *errand = &slot->errand;
	bool		done;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	done = errand->is_done && errand->pid == MyProcPid;
	if (done)
	{
		resetStringInfo(&answer->data);
		appendBinaryStringInfo(&answer->data, errand->data, errand->size);
		answer->at = 0;
		answer->error = errand->error[0] == '\0' || errand->node[0] == '\0' ?
			pstrdup(errand->error) :
			psprintf("node %s: %s", errand->node, errand->error);
		answer->node = pstrdup(errand->node);
		answer->next = pstrdup(errand->next);
	}
	LWLockRelease(outbox_shared->lock);
	return done;
}

/*
 * Have the relay ask a server.  False if it can't.
 */
static bool
try_errand(const char *server, OutboxErrandKind kind, const char *key,
		   const char *arg, Answer *answer)
{
	while (!leave_errand(needed_slot(), server, kind, key, arg))
		wait_a_moment();
	PG_TRY();
	{
		while (!take_answer(needed_slot(), answer))
			wait_a_moment();
	}
	PG_FINALLY();
	{
		drop_errand();
	}
	PG_END_TRY();
	return answer->error[0] == '\0';
}

static void
cannot_ask(int level, const char *server, const char *error)
{
	ereport(level,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 server[0] == '\0' ?
			 errmsg("the relay cannot ask Redis: %s", error) :
			 errmsg("the relay cannot ask server \"%s\": %s", server, error)));
}

/*
 * The names of the servers to be asked; "" for that of outbox.redis_url.
 */
static List *
servers_to_ask(void)
{
	int			n;
	int			more;
	OutboxShownServer *servers = outbox_copy_servers(&n, &more);
	List	   *names = NIL;

	for (int i = 0; i < n; i++)
		names = lappend(names, pstrdup(servers[i].name));
	return names != NIL ? names : list_make1("");
}

/*
 * The next element; "" at the end.
 */
static const char *
next_element(Answer *answer)
{
	const char *element = answer->data.data + answer->at;

	if (answer->at >= answer->data.len)
		return "";
	answer->at += strlen(element) + 1;
	return element;
}

static bool
parse_mark(const char *text, Mark *mark)
{
	int			used = 0;

	return sscanf(text, UINT64_FORMAT " %u " INT64_FORMAT "%n", &mark->system,
				  &mark->database, &mark->used_at, &used) == 3 &&
		text[used] == '\0';
}

/*
 * Is it of a database of this server that is gone?
 */
static bool
is_gone(const Mark *mark)
{
	return mark->system == GetSystemIdentifier() &&
		!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(mark->database));
}

/*
 * The name as text, or NULL if it can't be that.
 */
static text *
text_of_name(const char *name)
{
	size_t		len = strlen(name);

	if (!pg_verify_mbstr(PG_UTF8, name, len, true))
		return NULL;
	if (GetDatabaseEncoding() != PG_UTF8)
		for (const char *c = name; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				return NULL;
	return cstring_to_text(name);
}

/*
 * Add a row if it is a cursor of a database that is gone, and was not found
 * before.  False if it has to be left out.
 */
static bool
add_cursor(ReturnSetInfo *rsinfo, HTAB *found, const char *server,
		   const char *name, const char *mark_text, int64 now)
{
	Mark		mark;
	bool		was_found;
	text	   *name_datum;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!parse_mark(mark_text, &mark) || !is_gone(&mark))
		return true;
	(void) hash_search(found, name, HASH_ENTER, &was_found);
	if (was_found)
		return true;
	name_datum = text_of_name(name);
	if (name_datum == NULL)
		return false;
	values[0] = PointerGetDatum(name_datum);
	values[1] = ObjectIdGetDatum(mark.database);
	values[2] = TimestampTzGetDatum(time_t_to_timestamptz(mark.used_at));
	values[3] = BoolGetDatum(now - mark.used_at >= UNUSED_FOR);
	outbox_set_text(values, nulls, 4, server);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return true;
}

/*
 * Add those of an answer.
 */
static void
add_cursors(ReturnSetInfo *rsinfo, HTAB *found, const char *server,
			Answer *answer, int64 *omitted)
{
	int64		now = strtoll(next_element(answer), NULL, 10);

	*omitted += strtoll(next_element(answer), NULL, 10);
	while (answer->at < answer->data.len)
	{
		const char *name = next_element(answer);

		if (!add_cursor(rsinfo, found, server, name, next_element(answer), now))
			(*omitted)++;
	}
}

/*
 * Add those of a server, of all nodes if it is a cluster.  A node that can't be
 * asked is left out.  Returns why none can be asked to the end, or "".  An answer
 * without an element is nobody's: that there is no such server, or no further node.
 */
static const char *
add_cursors_of(ReturnSetInfo *rsinfo, const char *server, int64 *omitted)
{
	HASHCTL		ctl = {.keysize = OUTBOX_ERRAND_KEY,.entrysize = OUTBOX_ERRAND_KEY};
	HTAB	   *found;
	Answer		answer;
	const char *node = "";
	const char *place = "0";
	const char *error = "";
	bool		any = false;

	found = hash_create("outbox cursors", 64, &ctl, HASH_ELEM | HASH_STRINGS);
	initStringInfo(&answer.data);
	do
	{
		if (try_errand(server, OUTBOX_ERRAND_FIND, node, place, &answer))
		{
			place = pstrdup(next_element(&answer));
			any |= strcmp(place, "0") == 0;
			add_cursors(rsinfo, found, server, &answer, omitted);
		}
		else
		{
			error = answer.error;
			if (any || answer.next[0] != '\0')
				cannot_ask(WARNING, server, error);
			place = "0";
		}
		/* the same one again until its keys are through */
		node = strcmp(place, "0") == 0 ? answer.next : answer.node;
	} while (node[0] != '\0' || (strcmp(place, "0") != 0 && place[0] != '\0'));
	hash_destroy(found);
	return any ? "" : error;
}

/*
 * outbox_gone_cursors(): a server that can't be asked is left out, unless none can
 */
Datum
outbox_gone_cursors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *servers;
	int			failed = 0;
	int64		omitted = 0;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	servers = servers_to_ask();
	foreach(lc, servers)
	{
		const char *error = add_cursors_of(rsinfo, lfirst(lc), &omitted);

		if (error[0] != '\0')
			cannot_ask(++failed == list_length(servers) ? ERROR : WARNING,
					   lfirst(lc), error);
	}
	if (omitted > 0)
		ereport(WARNING,
				(errmsg("%lld cursors are not listed, as their names are too long or cannot be shown here, or their slots are moving",
						(long long) omitted)));
	return (Datum) 0;
}

/*
 * Is it the name of a cursor: something, ":outbox:", a UUID, a number?
 */
static bool
is_cursor_name(const char *name)
{
	const char *end = strrchr(name, ':');
	const char *form = UUID_FORM;
	const char *uuid;

	if (end == NULL || end[1] == '\0' ||
		end[1 + strspn(end + 1, "0123456789")] != '\0' ||
		end - name < (ptrdiff_t) (strlen(form) + strlen(":outbox:")) ||
		strlen(name) >= OUTBOX_ERRAND_KEY)
		return false;
	uuid = end - strlen(form);
	for (int i = 0; form[i] != '\0'; i++)
		if (form[i] == '-' ? uuid[i] != '-' : outbox_hex_digit(uuid[i]) < 0)
			return false;
	return strncmp(uuid - strlen(":outbox:"), ":outbox:", strlen(":outbox:")) == 0;
}

static void
refuse(const char *name, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cursor \"%s\" is not removed: %s", name, why),
			 errhint("See outbox_gone_cursors().")));
}

/*
 * An error unless the cursor may be removed.
 */
static void
check_mark(const char *name, const char *mark_text, int64 now)
{
	Mark		mark;

	if (!parse_mark(mark_text, &mark))
		refuse(name, "its mark cannot be read");
	if (mark.system != GetSystemIdentifier())
		refuse(name, "it is another server's");
	if (!is_gone(&mark))
		refuse(name, "its database exists");
	if (now - mark.used_at < UNUSED_FOR)
		refuse(name, "it was in use within the last day");
}

/*
 * Remove a cursor from a server.  False if it is not there, or with a message of
 * this level if the server cannot be asked.
 */
static bool
remove_from(const char *server, const char *name, const char *key, int level)
{
	Answer		answer;
	char	   *mark;
	int64		now;

	initStringInfo(&answer.data);
	if (!try_errand(server, OUTBOX_ERRAND_REMOVE, key, "", &answer))
	{
		cannot_ask(level, server, answer.error);
		return false;
	}
	(void) next_element(&answer);
	now = strtoll(next_element(&answer), NULL, 10);
	mark = pstrdup(next_element(&answer));
	if (mark[0] == '\0')
		return false;
	check_mark(name, mark, now);
	if (!try_errand(server, OUTBOX_ERRAND_REMOVE, key, mark, &answer))
		cannot_ask(ERROR, server, answer.error);
	if (strcmp(next_element(&answer), "removed") != 0)
		refuse(name, "it has just been used");
	return true;
}

/*
 * outbox_remove_cursor(name): from all servers that have it.  One that cannot be
 * asked keeps nobody from removing it from the others.
 */
Datum
outbox_remove_cursor_sql(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "name");
	OutboxBytes bytes = outbox_utf8_bytes(name, strlen(name));
	char	   *key = pnstrdup(bytes.data, bytes.len);
	List	   *servers;
	bool		removed = false;
	ListCell   *lc;

	PreventCommandIfReadOnly("outbox_remove_cursor()");
	if (!is_cursor_name(key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is not the name of a cursor"),
				 errhint("See outbox_gone_cursors().")));
	servers = servers_to_ask();
	foreach(lc, servers)
		removed |= remove_from(lfirst(lc), name, key,
							   list_length(servers) == 1 ? ERROR : WARNING);
	if (!removed)
		refuse(name, "it is not there, or has no mark");
	PG_RETURN_VOID();
}
