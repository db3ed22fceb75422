/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  What an error reply of Redis is about.
 *
 * Purpose: tell the server's trouble from the queue's and the message's.
 * Process: relay; pure.
 * Transaction: none needed.  Memory: none.  Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ERRORS_H
#define OUTBOX_ERRORS_H

#include "outbox.h"

typedef enum OutboxErrorClass
{
	OUTBOX_ERROR_SERVER,		/* the server cannot now */
	OUTBOX_ERROR_OPERATOR,		/* the operator must act */
	OUTBOX_ERROR_REDIRECT,		/* a cluster */
	OUTBOX_ERROR_NOSCRIPT,		/* the script is gone: load it again */
	OUTBOX_ERROR_QUEUE,			/* this queue is broken */
	OUTBOX_ERROR_MESSAGE		/* this message is bad */
} OutboxErrorClass;

extern OutboxErrorClass outbox_classify_error(const char *error);

/* does Redis refuse this message or queue, rather than fail itself? */
extern bool outbox_is_refusal(const char *error);

/* an error text fit for logs, in a buffer of this size */
extern void outbox_clean_error(char *dst, const char *error, size_t size);

#endif							/* OUTBOX_ERRORS_H */
