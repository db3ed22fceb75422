/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Batches in which no message is skipped, and their answers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: send the next messages of a queue's plan in one call of a script.
 * Process: relay.
 * Transaction: outbox_send_batch() in the caller's; the answer needs none.
 * Memory: a Request until its answer has been dealt with.
 * Errors: those of reading rows.
 * Locks: those of the open OutboxStaging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_BATCH_H
#define OUTBOX_RELAY_BATCH_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"
#include "store/staging.h"

/*
 * Send the next messages of the queue's plan.  Nothing is sent if all rows left
 * in the plan were rolled back, or the next message has to be skipped.
 */
extern void outbox_send_batch(Relay *relay, RelayQueue *queue,
							  OutboxStaging *staging);
extern void outbox_batch_answer(Relay *relay, const Request *request,
								const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_BATCH_H */
