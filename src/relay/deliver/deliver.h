/*-------------------------------------------------------------------------
 *
 * deliver.h
 *	  One turn of delivery: plan, and send what may be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decide which queue gets its next plan, batch or retry.
 * Process: relay.
 * Transaction: outbox_deliver() in the caller's; no other may be open.
 * Memory: plans and requests, see plan.h and link.h.
 * Errors: those of reading rows.
 * Locks: AccessShareLock on the tables of messages, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_DELIVER_H
#define OUTBOX_RELAY_DELIVER_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* true if there is anything to plan or to send now */
extern bool outbox_may_deliver(Relay *relay, OutboxTime now);

/* make a plan and send what may be sent; false if a table is locked */
extern bool outbox_deliver(Relay *relay, OutboxTime now);

/* after an error in that: the queue that it came from, or NULL */
extern RelayQueue *outbox_queue_at_work(void);

/* milliseconds until something may be sent because its time has come */
extern long outbox_ms_until_delivery(Relay *relay, OutboxTime now);

/*
 * True if all cursors of the link's queues have been read and nothing waits to
 * be sent or answered.
 */
extern bool outbox_all_is_delivered(Relay *relay, const Link *link);

/* to be called now and then: move "settled" of queues that are idle */
extern void outbox_settle_idle_queues(Relay *relay);

#endif							/* OUTBOX_RELAY_DELIVER_H */
