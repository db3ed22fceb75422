/*-------------------------------------------------------------------------
 *
 * queue_taken.h
 *	  A queue to which nobody can enqueue until the transaction ends.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what dropping, purging and altering a queue have in common: the lock,
 *	  and what the queue still has.
 * Process: backend.
 * Transaction: the caller's.  But for outbox_take_queue() and
 *	  outbox_tables_captured(), SPI is connected as the owner of our tables.
 * Memory: palloc'ed in the current context.
 * Errors: OBJECT_IN_USE, UNDEFINED_OBJECT.
 * Locks: the queue's view and the queue, exclusively, and the queue's row, to the
 *	  transaction's end.  They are not waited for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_TAKEN_H
#define OUTBOX_QUEUE_TAKEN_H

#include "queue/queue.h"

/*
 * Take the queue with this name; an error if it is in use.  Locks are not waited
 * for long from here on.  Returns a level for AtEOXact_GUC(), which ends that.
 */
extern int	outbox_take_queue(const char *name, OutboxQueue *queue);

/* the number that a command returns, about this queue as $queue ... $last */
extern int64 outbox_count_of_queue(const OutboxQueue *queue, const char *command);

/* run a command about this queue, whose partitions have the ids $queue to $last */
extern void outbox_run_for_queue(const OutboxQueue *queue, const char *command);

/* has this transaction enqueued to it? */
extern bool outbox_queue_has_own(const OutboxQueue *queue);

/* has it rows in staging, whether their messages are delivered or not? */
extern bool outbox_queue_is_staged(const OutboxQueue *queue);

/*
 * How many of its staged messages are not delivered, as the relay says; -1 if it
 * does not answer.  It counts those out of a dump, too, while all are held.
 */
extern int64 outbox_ask_waiting(const OutboxQueue *queue, bool *held);

/*
 * Give the queue's row a new id, and what is known of the queue beside its
 * messages.  These are given up; if they are not to be, one that has come just now
 * is an error.  Returns the id.
 */
extern int32 outbox_renew_id(const OutboxQueue *queue, bool give_up);

/* an error if tables (a list of OIDs) are captured to the queue */
extern void outbox_check_captures(const OutboxQueue *queue, const List *tables,
								  const char *hint);

#endif							/* OUTBOX_QUEUE_TAKEN_H */
