/*-------------------------------------------------------------------------
 *
 * commands.h
 *	  A queue's own commands, with placeholders for a message's parts.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: compile a queue's commands; fill in a message.
 * Process: backend (to check the commands) and relay.  Pure: no catalog, no
 *	  socket.
 * Transaction: none needed.
 * Memory: a template is palloc'ed in the current context, in several pieces.
 * Errors: none thrown; outbox_template_compile() returns them as text.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_COMMANDS_H
#define OUTBOX_COMMANDS_H

#include "outbox.h"

#include "targets/message_args.h"

typedef struct OutboxTemplate OutboxTemplate;

/*
 * Compile the commands in a queue's options, {"commands": [[arg, ...], ...]}.
 * Returns NULL if they are wrong; then *error says why, and *hint how to mend
 * it, or is NULL.
 */
extern OutboxTemplate *outbox_template_compile(const struct varlena *options,
											   const char **error,
											   const char **hint);

/* the number of commands; and the name of one, with its number of arguments */
extern int	outbox_template_length(const OutboxTemplate *template);
extern const char *outbox_template_command(const OutboxTemplate *template,
										   int n, int *nargs);

/* the slot of a command's argument in a cluster; -1 if that depends on the message */
extern int	outbox_template_slot(const OutboxTemplate *template, int n, int arg,
								 const OutboxQueue *queue);

/* append a message's commands: for each the number of its arguments, then these */
extern void outbox_template_expand(OutboxArgs *args, const OutboxQueue *queue,
								   const OutboxMessage *msg);

#endif							/* OUTBOX_COMMANDS_H */
