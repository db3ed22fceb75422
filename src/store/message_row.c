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
