/*-------------------------------------------------------------------------
 *
 * batch_buffer.c
 *	  Where the messages of a batch are written before it is sent.
 *
 * Design notes
 *
 * How many arguments a call has stands at its beginning, and is known only
 * when all messages are encoded.  So these are written here, and copied behind
 * the beginning when it is known.
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
	char		text[OUTBOX_UINT64_SIZE];

	appendBinaryStringInfoNT(&buffer->seqs, text,
							 outbox_uint64_text(seq, text));
	appendStringInfoCharMacro(&buffer->seqs, ' ');
}
