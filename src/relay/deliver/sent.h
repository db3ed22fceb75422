/*-------------------------------------------------------------------------
 *
 * sent.h
 *	  What is noted when a batch is sent, and when it is answered.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the bookkeeping that all kinds of batches have in common.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a Request until its answer has been dealt with.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SENT_H
#define OUTBOX_RELAY_SENT_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/deliver/plan_rows.h"
#include "relay/deliver/script.h"

/*
 * Send a call that expects the position that the cursor has when all batches
 * under way have been applied; the call's expect_... are set.
 */
extern void outbox_send_call(RelayQueue *queue, const ScriptCall *call);

/*
 * A batch of this number of messages was sent, with the rows handed out so far:
 * await its answer.
 */
extern Request *outbox_expect_batch(RequestKind kind, RelayQueue *queue,
									int count);

/*
 * Keep what was planned until the answer has been dealt with: the plan may be another
 * one by then.
 */
extern void outbox_keep_entries(Request *request, const PlanEntry *entries,
								int n);

/* Redis has moved the cursor to the batch's position */
extern void outbox_batch_is_covered(RelayQueue *queue, const Request *request);

/* Redis has applied this number of the request's messages */
extern void outbox_batch_is_applied(Relay *relay, RelayQueue *queue,
									const Request *request, int count);

#endif							/* OUTBOX_RELAY_SENT_H */
