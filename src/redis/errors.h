/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  What an error reply of Redis is about.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: tell trouble of the server from that of a queue or a message.
 * Process: relay; pure.
 * Transaction: none needed.
 * Memory: none.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ERRORS_H
#define OUTBOX_ERRORS_H

#include "outbox.h"

typedef enum OutboxErrorClass
{
	OUTBOX_ERROR_SERVER,		/* the server cannot do it now */
	OUTBOX_ERROR_OPERATOR,		/* the operator must act */
	OUTBOX_ERROR_REDIRECT,		/* it is a cluster: ask another server */
	OUTBOX_ERROR_NOSCRIPT,		/* the script is gone: load it again */
	OUTBOX_ERROR_QUEUE,			/* this queue is broken */
	OUTBOX_ERROR_MESSAGE		/* this message is bad */
} OutboxErrorClass;

/* the class of an error reply's text; SERVER if its first word is not known */
extern OutboxErrorClass outbox_classify_error(const char *error);

/* true if Redis refuses the message or the queue: QUEUE or MESSAGE */
extern bool outbox_is_refusal(const char *error);

/* copy an error text, fit for logs: one line, printable, without arguments */
extern void outbox_clean_error(char *dst, const char *error, size_t size);

#endif							/* OUTBOX_ERRORS_H */
