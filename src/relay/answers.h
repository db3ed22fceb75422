/*-------------------------------------------------------------------------
 *
 * answers.h
 *	  Answers of Redis, each to whom it concerns.
 *
 * Purpose: take the answers that have arrived on a link.
 * Process: relay.
 * Transaction: none may be open; whom an answer concerns may have one.
 * Memory: answers are freed here.
 * Errors: those of whom an answer concerns.
 * Locks: likewise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ANSWERS_H
#define OUTBOX_RELAY_ANSWERS_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"

extern void outbox_take_answers(Relay *relay, Link *link);

#endif							/* OUTBOX_RELAY_ANSWERS_H */
