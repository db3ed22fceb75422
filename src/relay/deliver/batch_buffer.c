/*-------------------------------------------------------------------------
 *
 * batch_buffer.c
 *	  The buffer into which the messages of a batch are encoded.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A command begins with the number of its arguments, which is known only when
 * all messages of the batch are encoded.  So messages are written into this
 * buffer first, and copied behind the beginning of the command.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/batch_buffer.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* a buffer that is larger than this is given back */
#define BUFFER_KEEP		(1024 * 1024)

static BatchBuffer the_buffer;

void
outbox_batch_buffer_init(Relay *relay)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);

	initStringInfo(&the_buffer.args.data);
	initStringInfo(&the_buffer.seqs);
	the_buffer.scratch = AllocSetContextCreate(relay->context,
											   "outbox relay batch",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(old);
}

static void
empty(StringInfo buf)
{
	resetStringInfo(buf);
	if (buf->maxlen > BUFFER_KEEP)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(buf->data));

		pfree(buf->data);
		initStringInfo(buf);
		MemoryContextSwitchTo(old);
	}
}

BatchBuffer *
outbox_batch_buffer(void)
{
	empty(&the_buffer.args.data);
	resetStringInfo(&the_buffer.seqs);
	MemoryContextReset(the_buffer.scratch);
	the_buffer.args.count = 0;
	the_buffer.args.run_shape = 0;
	the_buffer.args.now = GetCurrentTimestamp();
	return &the_buffer;
}

void
outbox_batch_add_seq(BatchBuffer *buffer, uint64 seq)
{
	StringInfo	seqs = &buffer->seqs;

	enlargeStringInfo(seqs, OUTBOX_UINT64_SIZE);
	seqs->len += pg_ulltoa_n(seq, seqs->data + seqs->len);
	seqs->data[seqs->len++] = ' ';
}
