/*-------------------------------------------------------------------------
 *
 * commands.h
 *	  Commands of a queue's own, with places for a message's parts.
 *
 * Purpose: compile a queue's commands; fill them in.
 * Process: backend (to check them) and relay. Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: a template is palloc'ed in the current context, as pieces of it.
 * Errors: none thrown; why there is no template is a text.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TEMPLATE_H
#define OUTBOX_TEMPLATE_H

#include "outbox.h"

#include "targets/message_args.h"

typedef struct OutboxTemplate OutboxTemplate;

/*
 * Compile the commands in a queue's options, {"commands": [[arg, ...], ...]}.
 * NULL if they can't be: then *error says why, and *hint what helps, or NULL.
 */
extern OutboxTemplate *outbox_template_compile(const struct varlena *options,
											   const char **error,
											   const char **hint);

/*
 * A message's commands: for each the number of its arguments, then these.
 */
extern void outbox_template_expand(OutboxArgs *args, const OutboxQueue *queue,
								   const OutboxMessage *msg);

#endif							/* OUTBOX_TEMPLATE_H */
