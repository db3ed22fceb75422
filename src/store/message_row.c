/*-------------------------------------------------------------------------
 *
 * message_row.c
 *	  A message as its row has it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay reads all columns of each message.  The first ones are never null and of
 * fixed length, so they lie at the same place in each row; the others follow one after
 * the other, if they are there.  To go through them so takes a third of what it takes
 * to take a row apart for any columns.  Rows that another table access method keeps,
 * or that have fewer columns than the table, as before a column was added, go that way.
 *
 * A row is made in the same way: as heap_form_tuple() makes it, which asks of each
 * column how it is stored.
 *
 *-------------------------------------------------------------------------
 */
#include "store/message_row.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* the columns that are never null, as a row has them */
typedef struct FixedColumns
{
	uint64		xid;
	uint64		seq;
	TimestampTz enqueued_at;
	pg_uuid_t	id;
	XLogRecPtr	lsn;
	int32		queue;
	int16		attempts;
	char		kind;
} FixedColumns;

#define FIXED_SIZE (offsetof(FixedColumns, kind) + 1)
#define VARYING_COLUMNS (Natts_staging - Anum_staging_kind)

static void
take_fixed(const FixedColumns *fixed, OutboxMessage *msg)
{
	msg->xid = fixed->xid;
	msg->seq = fixed->seq;
	msg->enqueued_at = fixed->enqueued_at;
	msg->id = fixed->id;
	msg->lsn = fixed->lsn;
	msg->queue = fixed->queue;
	msg->attempts = fixed->attempts;
	msg->kind = fixed->kind;
}

static struct varlena *
detoasted(struct varlena *value)
{
	return value != NULL && (VARATT_IS_COMPRESSED(value) || VARATT_IS_EXTERNAL(value)) ?
		pg_detoast_datum_packed(value) : value;
}

/*
 * Take the columns behind the fixed ones; NULL for null.
 */
static void
take_varying(struct varlena *const *values, OutboxMessage *msg)
{
	struct varlena **columns[] = {
		&msg->type, &msg->key, &msg->headers, &msg->payload, &msg->history, &msg->options
	};

	StaticAssertStmt(lengthof(columns) == VARYING_COLUMNS,
					 "each column of staging belongs to a message");
	for (int i = 0; i < VARYING_COLUMNS; i++)
		*columns[i] = detoasted(values[i]);
}

/*
 * The way for rows of any form.
 */
static bool
read_by_attributes(TupleTableSlot *slot, uint64 seq, OutboxMessage *msg)
{
	const Datum *values = slot->tts_values;
	struct varlena *varying[VARYING_COLUMNS];

	slot_getsomeattrs(slot, Natts_staging);
	if (DatumGetUInt64(values[Anum_staging_seq - 1]) != seq)
		return false;
	take_fixed(&(FixedColumns) {
		.xid = DatumGetUInt64(values[Anum_staging_xid - 1]),
		.seq = seq,
		.enqueued_at = DatumGetTimestampTz(values[Anum_staging_enqueued_at - 1]),
		.id = *DatumGetUUIDP(values[Anum_staging_id - 1]),
		.lsn = DatumGetLSN(values[Anum_staging_lsn - 1]),
		.queue = DatumGetInt32(values[Anum_staging_queue - 1]),
		.attempts = DatumGetInt16(values[Anum_staging_attempts - 1]),
		.kind = DatumGetChar(values[Anum_staging_kind - 1])
	}, msg);
	for (int i = 0; i < VARYING_COLUMNS; i++)
		varying[i] = slot->tts_isnull[Anum_staging_kind + i] ? NULL :
			(struct varlena *) DatumGetPointer(values[Anum_staging_kind + i]);
	take_varying(varying, msg);
	return true;
}

bool
outbox_read_message(TupleTableSlot *slot, uint64 seq, OutboxMessage *msg)
{
	struct varlena *varying[VARYING_COLUMNS];
	HeapTupleHeader row;
	FixedColumns fixed;
	char	   *next;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return read_by_attributes(slot, seq, msg);
	row = ((HeapTupleTableSlot *) slot)->tuple->t_data;
	if (HeapTupleHeaderGetNatts(row) < Natts_staging)
		return read_by_attributes(slot, seq, msg);

	next = (char *) row + row->t_hoff;
	memcpy(&fixed, next, FIXED_SIZE);
	if (fixed.seq != seq)
		return false;
	take_fixed(&fixed, msg);
	next += FIXED_SIZE;
	for (int i = 0; i < VARYING_COLUMNS; i++)
	{
		varying[i] = NULL;
		if ((row->t_infomask & HEAP_HASNULL) != 0 &&
			att_isnull(Anum_staging_kind + i, row->t_bits))
			continue;
		/* a long header is aligned, a short one follows at once */
		if (!VARATT_NOT_PAD_BYTE(next))
			next = (char *) INTALIGN(next);
		varying[i] = (struct varlena *) next;
		next += VARSIZE_ANY(next);
	}
	take_varying(varying, msg);
	return true;
}

/*
 * A header that can be short is made short.
 */
static Size
size_in_row(const struct varlena *value)
{
	return VARATT_CAN_MAKE_SHORT(value) ? VARATT_CONVERTED_SHORT_SIZE(value) :
		VARSIZE_ANY(value);
}

static bool
is_aligned_in_row(const struct varlena *value)
{
	return VARATT_IS_4B(value) && !VARATT_CAN_MAKE_SHORT(value);
}

/*
 * Returns the size of columns with those before them.
 */
static Size
size_with(Size size, const struct varlena *value)
{
	if (value == NULL)
		return size;
	return (is_aligned_in_row(value) ? INTALIGN(size) : size) + size_in_row(value);
}

/*
 * Put a value behind those that are there; returns where it ends.
 */
static char *
put_value(char *at, const struct varlena *value)
{
	Size		size = size_in_row(value);

	if (is_aligned_in_row(value))
		for (char *to = (char *) INTALIGN(at); at < to; at++)
			*at = 0;
	if (VARATT_CAN_MAKE_SHORT(value))
	{
		SET_VARSIZE_SHORT(at, size);
		memcpy(at + VARHDRSZ_SHORT, VARDATA(value), size - VARHDRSZ_SHORT);
	}
	else
		memcpy(at, value, size);
	return at + size;
}

/*
 * Returns a tuple with the fixed columns, and room for so many bytes of columns.
 */
static HeapTuple
new_tuple(const FixedColumns *fixed, Size size, bool has_nulls)
{
	int			hoff = MAXALIGN(SizeofHeapTupleHeader + (has_nulls ? BITMAPLEN(Natts_staging) : 0));
	HeapTuple	tuple = palloc(HEAPTUPLESIZE + hoff + size);

	tuple->t_len = hoff + size;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memset(tuple->t_data, 0, hoff);
	ItemPointerSetInvalid(&tuple->t_data->t_ctid);
	HeapTupleHeaderSetNatts(tuple->t_data, Natts_staging);
	tuple->t_data->t_hoff = hoff;
	tuple->t_data->t_infomask = has_nulls ? HEAP_HASNULL : 0;
	memcpy((char *) tuple->t_data + hoff, fixed, FIXED_SIZE);
	return tuple;
}

HeapTuple
outbox_message_tuple(const OutboxMessage *msg)
{
	const struct varlena *const values[VARYING_COLUMNS] = {
		msg->type, msg->key, msg->headers, msg->payload, msg->history, msg->options
	};
	FixedColumns fixed = {
		msg->xid, msg->seq, msg->enqueued_at, msg->id, msg->lsn, msg->queue,
		msg->attempts, msg->kind
	};
	bool		has_nulls = false;
	Size		size = FIXED_SIZE;
	HeapTuple	tuple;
	HeapTupleHeader row;
	char	   *at;

	for (int i = 0; i < VARYING_COLUMNS; i++)
	{
		size = size_with(size, values[i]);
		has_nulls |= values[i] == NULL;
	}
	tuple = new_tuple(&fixed, size, has_nulls);
	row = tuple->t_data;
	if (has_nulls)
		memset(row->t_bits, 0xff, Anum_staging_kind / BITS_PER_BYTE);
	at = (char *) row + row->t_hoff + FIXED_SIZE;
	for (int i = 0; i < VARYING_COLUMNS; i++)
	{
		int			column = Anum_staging_kind + i;

		if (values[i] == NULL)
			continue;
		if (has_nulls)
			row->t_bits[column / BITS_PER_BYTE] |= 1 << column % BITS_PER_BYTE;
		row->t_infomask |= HEAP_HASVARWIDTH |
			(VARATT_IS_EXTERNAL(values[i]) ? HEAP_HASEXTERNAL : 0);
		at = put_value(at, values[i]);
	}
	return tuple;
}
