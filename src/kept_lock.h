/*-------------------------------------------------------------------------
 *
 * kept_lock.h
 *	  The lock that a subtransaction took last, and keeps.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: not to ask the lock manager for a lock once more, message by message.
 * Process: backend.
 * Transaction: the current one.
 * Memory: the caller's.
 * Errors: none.
 * Locks: none; the caller takes them, and keeps them to the end.
 *
 * Locks end with the transaction, or when the subtransaction that has taken them
 * rolls back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KEPT_LOCK_H
#define OUTBOX_KEPT_LOCK_H

#include "outbox.h"

#include "access/xact.h"
#include "compat.h"
#include "storage/lock.h"
#include "storage/proc.h"

typedef struct OutboxKeptLock
{
	LocalTransactionId lxid;
	SubTransactionId subxid;
	uint32		object;			/* a relation, or a queue */
}			OutboxKeptLock;

static inline OutboxKeptLock
outbox_kept_lock(uint32 object)
{
	return (OutboxKeptLock) {
		outbox_my_lxid(), GetCurrentSubTransactionId(), object
	};
}

/* is this the lock on the object, and do we have it still? */
static inline bool
outbox_is_kept(const OutboxKeptLock * lock, uint32 object)
{
	return lock->object == object && lock->lxid == outbox_my_lxid() &&
		lock->subxid == GetCurrentSubTransactionId();
}

#endif							/* OUTBOX_KEPT_LOCK_H */
