/*-------------------------------------------------------------------------
 *
 * script.h
 *	  The scripts that move cursors, and how they are called.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: load the scripts; lay out a call of one.
 * Process: relay.
 * Transaction: none needed.
 * Memory: parts of the link and of the queue; a call is written into the
 *	  link's buffer.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SCRIPT_H
#define OUTBOX_RELAY_SCRIPT_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"

typedef enum OutboxScript
{
	OUTBOX_SCRIPT_APPLY,
	OUTBOX_SCRIPT_SKIP
} OutboxScript;

#define OUTBOX_SCRIPTS	(OUTBOX_SCRIPT_SKIP + 1)

/* a SHA-1 in hex and \0: the name of a script, which SCRIPT LOAD answers */
#define OUTBOX_SHA_SIZE	41

typedef struct LinkScripts
{
	char		shas[OUTBOX_SCRIPTS][OUTBOX_SHA_SIZE];
} LinkScripts;

/* a queue's own scripts, if it has a function */
typedef struct QueueScripts
{
	char		shas[OUTBOX_SCRIPTS][OUTBOX_SHA_SIZE];
} QueueScripts;

/* what a call does, by the names that the scripts have for it */
typedef enum ScriptMode
{
	SCRIPT_APPLY,				/* messages, up to one that fails */
	SCRIPT_ONE,					/* the same, of one message */
	SCRIPT_MOVE,				/* the cursor only, and shorten its skip list */
	SCRIPT_SKIP,				/* messages; those that fail are skipped */
	SCRIPT_RETRY				/* skipped messages */
} ScriptMode;

/* see the scripts for what each member does */
typedef struct ScriptCall
{
	ScriptMode	mode;
	const char *expect_text;	/* the position that the cursor must have */
	const char *expect_seq;
	uint64		expect_count;	/* ... and the number of messages it has had */
	const char *to_text;		/* the position that the cursor is moved to */
	uint64		to_seq;
	int			count;			/* messages */
	const StringInfoData *seqs; /* each followed by a space; NULL: none */
	const char *line;			/* for SCRIPT_MOVE: the runs of the relay's
								 * database; NULL: those in the cursor stay */
	int			nargs;			/* further arguments, */
	const StringInfoData *args; /* ... as Redis reads them */
} ScriptCall;

/* may a batch that is this message be sent as SCRIPT_ONE? */
extern bool outbox_is_for_one(const OutboxQueue *settings, int count,
							  int nargs);

extern void outbox_link_scripts_init(Link *link);
extern void outbox_scripts_init(RelayQueue *queue);

/* load the scripts that all queues share, or the queue's own ones */
extern void outbox_send_scripts(Link *link, RelayQueue *queue);

/* ask which commands the server has */
extern void outbox_ask_for_commands(Link *link);

/*
 * By scripts that are not loaded: mark a queue's cursor; find marked cursors from
 * a place on; remove a cursor that has this mark, or read its mark.
 */
extern void outbox_mark_cursor(RelayQueue *queue, const char *owner);
extern void outbox_find_cursors(Link *link, const char *place);
extern void outbox_remove_cursor(Link *link, const char *key, const char *mark);

/* by move.lua, which is not loaded either, with these arguments: seal or settle */
extern Request *outbox_send_move(RelayQueue *queue, int argc,
								 const char *const *argv);

/* keep the name of a script; true if it is the last that all queues share */
extern bool outbox_script_loaded(Link *link, const Request *request,
								 const char *sha);

/* write a call into the link's buffer */
extern void outbox_call_script(RelayQueue *queue, const ScriptCall *call);

#endif							/* OUTBOX_RELAY_SCRIPT_H */
