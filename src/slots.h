/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  Slots are given and taken back; relays are ended and kept away.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: which database has which slot, and which database may have no relay
 *	  for now.
 * Process: launcher; backends that keep a relay away.
 * Transaction: none needed.
 * Memory: shared.
 * Errors: none thrown.
 * Locks: OutboxShared.lock; of outbox_kept_away_by() the caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SLOTS_H
#define OUTBOX_SLOTS_H

#include "outbox.h"

#include "catalog/pg_database.h"
#include "shmem.h"

/* is it a database in which a relay has to look for the extension? */
extern bool outbox_may_have_relay(const FormData_pg_database *database);

/*
 * Give a database a slot.  A slot that it still has keeps what the views show
 * of the last relay.  Returns NULL if no slot is free.
 */
extern OutboxSlot *outbox_take_slot(Oid database);

/*
 * Take a slot back.  With unless_told it is kept, and false returned, if
 * somebody has told the relay something that it has not seen.
 */
extern bool outbox_free_slot(OutboxSlot *slot, bool unless_told);

/*
 * A relay for which the slot was taken may not enter it any more.  False if one
 * has.
 */
extern bool outbox_close_slot(OutboxSlot *slot);

/* end the relay of a database, if there is one */
extern void outbox_end_relay(Oid database);

/* the same, and none is started until this process lets it */
extern void outbox_keep_relay_away(Oid database);

/* this process keeps no relay away any more */
extern void outbox_let_relays_back(void);

/* the pid of a process that keeps a relay away, or 0; the lock is held */
extern int	outbox_kept_away_by(Oid database);

#endif							/* OUTBOX_SLOTS_H */
