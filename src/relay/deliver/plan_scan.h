/*-------------------------------------------------------------------------
 *
 * plan_scan.h
 *	  Find the rows of queues' ticks.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: begin scans for queues that need a plan, and go on with them a piece
 *	  in each turn.
 * Process: relay.
 * Transaction: the caller's.
 * Memory: static, and the transaction ids that a scan looks for.
 * Errors: those of index scans.
 * Locks: those of the open OutboxStaging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_PLAN_SCAN_H
#define OUTBOX_RELAY_PLAN_SCAN_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/staging.h"

/* is a scan under way? */
extern bool outbox_is_planning(void);

/* begin scans for the queues that flow and need a plan */
extern void outbox_begin_plans(Relay *relay, OutboxStaging *staging);

/*
 * Go on with the scans.  True if there are rows to be sent; then the commits of
 * their transactions are on disk.
 */
extern bool outbox_go_on_planning(Relay *relay, OutboxStaging *staging);

/* true if the last plans were begun without this queue */
extern bool outbox_missed_plan(const RelayQueue *queue);

/* forget all planned rows if a table has been rewritten since the plan, and return false */
extern bool outbox_check_plan_files(Relay *relay, OutboxStaging *staging);

#endif							/* OUTBOX_RELAY_PLAN_SCAN_H */
