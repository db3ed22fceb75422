/*-------------------------------------------------------------------------
 *
 * capture_payload.c
 *	  The payload of a captured change.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A payload that is too large is written once more without its largest values,
 * old ones first; "omitted" has the names of their columns.  No other value takes
 * their place, as a consumer might take it for the column's.  What is left out
 * depends on the row and the limit alone.
 *
 * A value that is much larger than a message may be is not even written, as that
 * may fail: text grows to sixfold by escapes, and a string has 1 GB at most.  The
 * other way round a value's text may be shorter than the value, down to an eighth
 * (an array of small numbers), so only what is longer than that is taken to be too
 * large at sight.
 *
 * The message's key does not depend on the capture's settings, as operations of
 * a table may be captured with different ones, and have to keep their order.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_payload.h"

#include "access/detoast.h"
#include "convert.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* no value is longer than its text times this */
#define SHRINKS_TO	8

/* nor is one written that is longer than this, whatever the limit */
#define LONGEST_VALUE	(128 * 1024 * 1024)

/* where a payload is written */
typedef struct Writer
{
	const OutboxCapture *capture;
	const OutboxChange *change;
	bool	   *no_new;			/* columns to leave out of the new row */
	bool	   *no_old;			/* and of the old one; both NULL: none */
	size_t		limit;			/* 0: none */
	bool		too_large;
	StringInfoData buf;
} Writer;

char *
outbox_change_head(const char *operation, const char *schema, const char *table)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"operation\":\"%s\",\"schema\":", operation);
	escape_json(&buf, schema);
	appendStringInfoString(&buf, ",\"table\":");
	escape_json(&buf, table);
	return buf.data;
}

/*
 * Has an update changed what identifies the row?  With only_key, the columns of the
 * messages' key.
 */
static bool
is_moved(const Writer *w, bool only_key)
{
	const OutboxCapture *capture = w->capture;

	if (w->change->operation != OUTBOX_UPDATED)
		return false;
	for (int i = 0; i < capture->nkey; i++)
		if (w->change->changed[capture->key[i]])
			return true;
	for (int i = 0; i < capture->ncolumns && !only_key; i++)
		if (capture->identifies[i] && w->change->changed[i])
			return true;
	return false;
}

/*
 * A row that has moved to another key is told as a whole: a backfill that is
 * past its new place does not come upon it.
 */
static bool
has_new(const Writer *w, int i)
{
	const OutboxCapture *capture = w->capture;

	return w->change->new != NULL && capture->captured[i] &&
		(capture->settings.unchanged || w->change->operation != OUTBOX_UPDATED ||
		 w->change->changed[i] || is_moved(w, false));
}

static bool
has_old(const Writer *w, int i)
{
	const OutboxCaptureSettings *settings = &w->capture->settings;

	if (w->change->old == NULL || !w->capture->captured[i] ||
		settings->old == OUTBOX_OLD_NONE)
		return false;
	return w->change->operation != OUTBOX_UPDATED || w->change->changed[i] ||
		(settings->old == OUTBOX_OLD_ALL && settings->unchanged);
}

/*
 * Is the value certainly too large?
 */
static bool
is_huge(const OutboxJsonColumn *col, Datum value, bool isnull, size_t limit)
{
	return limit > 0 && !isnull && col->typlen == -1 &&
		toast_raw_datum_size(value) > Min(limit * SHRINKS_TO, LONGEST_VALUE);
}

static void
append_member(Writer *w, int i, TupleTableSlot *slot)
{
	OutboxJsonColumn *col = &w->capture->columns[i];
	int			n = col->attnum - 1;

	if (w->too_large)
		return;
	if (is_huge(col, slot->tts_values[n], slot->tts_isnull[n], w->limit))
		w->too_large = true;
	else
		outbox_json_member(&w->buf, col, slot->tts_values[n], slot->tts_isnull[n]);
	if (w->limit > 0 && w->buf.len > w->limit)
		w->too_large = true;
}

static void
append_key(Writer *w, const char *label, TupleTableSlot *slot)
{
	const OutboxCapture *capture = w->capture;

	if (capture->nkey == 0)
		return;
	appendStringInfoString(&w->buf, label);
	for (int i = 0; i < capture->nkey; i++)
	{
		appendStringInfoChar(&w->buf, i == 0 ? '{' : ',');
		append_member(w, capture->key[i], slot);
	}
	appendStringInfoChar(&w->buf, '}');
}

static void
append_row(Writer *w, const char *label, TupleTableSlot *slot,
		   bool (*has) (const Writer *w, int i), const bool *omit)
{
	char		before = '{';

	appendStringInfoString(&w->buf, label);
	for (int i = 0; i < w->capture->ncolumns; i++)
	{
		if (!has(w, i) || (omit != NULL && omit[i]))
			continue;
		appendStringInfoChar(&w->buf, before);
		append_member(w, i, slot);
		before = ',';
	}
	appendStringInfoString(&w->buf, before == '{' ? "{}" : "}");
}

static void
append_names(Writer *w, const char *label, const bool *which)
{
	char		before = '[';

	appendStringInfoString(&w->buf, label);
	for (int i = 0; i < w->capture->ncolumns; i++)
	{
		if (!which[i])
			continue;
		appendStringInfoChar(&w->buf, before);
		escape_json(&w->buf, w->capture->columns[i].name);
		before = ',';
	}
	appendStringInfoString(&w->buf, before == '[' ? "[]" : "]");
}

static void
append_omitted(Writer *w)
{
	bool	   *either = palloc(w->capture->ncolumns * sizeof(bool));

	for (int i = 0; i < w->capture->ncolumns; i++)
		either[i] = w->no_new[i] || w->no_old[i];
	append_names(w, ",\"omitted\":", either);
	pfree(either);
}

/*
 * Returns text in UTF-8, or NULL if it is too large.
 */
static struct varlena *
finish(Writer *w)
{
	struct varlena *result;

	if (w->too_large)
		return NULL;
	SET_VARSIZE(w->buf.data, w->buf.len);
	result = outbox_text_to_utf8((struct varlena *) w->buf.data);
	return w->limit > 0 && VARSIZE_ANY_EXHDR(result) > w->limit ? NULL : result;
}

static struct varlena *
write_payload(Writer *w)
{
	const OutboxChange *change = w->change;
	TupleTableSlot *row = change->new != NULL ? change->new : change->old;

	initStringInfo(&w->buf);
	appendStringInfoSpaces(&w->buf, VARHDRSZ);
	appendStringInfoString(&w->buf, change->head);
	append_key(w, ",\"key\":", row);
	if (is_moved(w, true))
		append_key(w, ",\"old_key\":", change->old);
	if (change->new != NULL)
		append_row(w, ",\"new\":", change->new, has_new, w->no_new);
	if (change->old != NULL && w->capture->settings.old != OUTBOX_OLD_NONE)
		append_row(w, ",\"old\":", change->old, has_old, w->no_old);
	if (change->operation == OUTBOX_UPDATED)
		append_names(w, ",\"changed\":", change->changed);
	if (w->no_new != NULL)
		append_omitted(w);
	appendStringInfoChar(&w->buf, '}');
	return finish(w);
}

struct varlena *
outbox_change_payload(const OutboxCapture *capture, const OutboxChange *change,
					  size_t limit)
{
	Writer		w = {.capture = capture,.change = change,.limit = limit};

	return write_payload(&w);
}

/*
 * Returns how many bytes a column takes in a row, with a comma; more than the
 * limit if it is too large.
 */
static size_t
member_size(const Writer *w, int i, TupleTableSlot *slot)
{
	Writer		one = {.capture = w->capture,.change = w->change,.limit = w->limit};
	struct varlena *utf8;
	size_t		size;

	initStringInfo(&one.buf);
	appendStringInfoSpaces(&one.buf, VARHDRSZ);
	append_member(&one, i, slot);
	utf8 = finish(&one);
	size = utf8 != NULL ? VARSIZE_ANY_EXHDR(utf8) + 1 : w->limit + 1;
	pfree(one.buf.data);
	return size;
}

/*
 * Keep the smallest columns of a row, as many as there is room for.  Returns the
 * room that is left.
 */
static size_t
keep_columns(const Writer *w, bool *omit, TupleTableSlot *slot, size_t room)
{
	int			n = w->capture->ncolumns;
	size_t	   *size = palloc0(n * sizeof(size_t));

	for (int i = 0; i < n; i++)
		if (omit[i])
			size[i] = member_size(w, i, slot);
	for (;;)
	{
		int			least = -1;

		for (int i = 0; i < n; i++)
			if (omit[i] && (least < 0 || size[i] < size[least]))
				least = i;
		if (least < 0 || size[least] > room)
			break;
		room -= size[least];
		omit[least] = false;
	}
	pfree(size);
	return room;
}

struct varlena *
outbox_change_shortened(const OutboxCapture *capture, const OutboxChange *change,
						size_t limit, bool all_columns)
{
	Writer		w = {.capture = capture,.change = change,.limit = limit};
	bool	   *no_new = palloc(capture->ncolumns * sizeof(bool));
	bool	   *no_old = palloc(capture->ncolumns * sizeof(bool));
	struct varlena *result;
	size_t		room;

	for (int i = 0; i < capture->ncolumns; i++)
	{
		no_new[i] = has_new(&w, i);
		no_old[i] = has_old(&w, i);
	}
	w.no_new = no_new;
	w.no_old = no_old;
	result = write_payload(&w);
	if (result == NULL || all_columns)
		return result;
	room = limit - VARSIZE_ANY_EXHDR(result);
	if (change->new != NULL)
		room = keep_columns(&w, no_new, change->new, room);
	if (change->old != NULL)
		keep_columns(&w, no_old, change->old, room);
	return write_payload(&w);
}

struct varlena *
outbox_change_bare(const OutboxChange *change)
{
	return outbox_text_to_utf8(cstring_to_text(psprintf("%s,\"omitted\":null}",
														change->head)));
}

struct varlena *
outbox_change_key(const OutboxCapture *capture, const OutboxChange *change)
{
	TupleTableSlot *slot = change->new != NULL ? change->new : change->old;
	StringInfoData buf;

	if (capture->nkey == 0)
		return NULL;
	if (capture->nkey == 1)
	{
		OutboxJsonColumn *col = &capture->columns[capture->key[0]];
		int			n = col->attnum - 1;

		return slot->tts_isnull[n] ? NULL :
			cstring_to_text(outbox_json_text(col, slot->tts_values[n]));
	}
	initStringInfo(&buf);
	for (int i = 0; i < capture->nkey; i++)
	{
		OutboxJsonColumn *col = &capture->columns[capture->key[i]];
		int			n = col->attnum - 1;

		appendStringInfoChar(&buf, i == 0 ? '[' : ',');
		outbox_json_value(&buf, col, slot->tts_values[n], slot->tts_isnull[n]);
	}
	appendStringInfoChar(&buf, ']');
	return cstring_to_text_with_len(buf.data, buf.len);
}
