/*-------------------------------------------------------------------------
 *
 * registers.h
 *	  Numbers that outlive a relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep the number of delivered messages, and from which transaction
 *	  on messages wait.
 * Process: relay.
 * Transaction: outbox_read_registers() in the caller's; writing has its own.
 * Memory: static.
 * Errors: those of sequences.
 * Locks: AccessShareLock on the sequences, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REGISTERS_H
#define OUTBOX_RELAY_REGISTERS_H

#include "outbox.h"

#include "relay/base/state.h"

/* read them when the relay starts; false if one is locked */
extern bool outbox_read_registers(Relay *relay);

/* write "applied" if there is anything new */
extern void outbox_write_registers(Relay *relay);

/* write "delivered", in the caller's step */
extern void outbox_write_delivered(void);

#endif							/* OUTBOX_RELAY_REGISTERS_H */
