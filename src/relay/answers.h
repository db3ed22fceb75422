/*-------------------------------------------------------------------------
 *
 * answers.h
 *	  Hand each answer of Redis to the file that sent the request.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: take the answers that have arrived on a link.
 * Process: relay.
 * Transaction: none may be open; the functions called for an answer may open
 *	  one of their own.
 * Memory: answers are freed here.
 * Errors: those of the functions called for an answer.
 * Locks: those of the functions called for an answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ANSWERS_H
#define OUTBOX_RELAY_ANSWERS_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"

/* deal with all answers that have arrived; trouble is in link->trouble then */
extern void outbox_take_answers(Relay *relay, Link *link);

#endif							/* OUTBOX_RELAY_ANSWERS_H */
