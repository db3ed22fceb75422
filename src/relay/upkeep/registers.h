/*-------------------------------------------------------------------------
 *
 * registers.h
 *	  Numbers that outlive a relay.
 *
 * Purpose: keep the total of delivered messages, and where to begin to count
 *	  what waits.
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

/* false if somebody's lock is in the way */
extern bool outbox_read_registers(Relay *relay);
extern void outbox_write_registers(Relay *relay);

#endif							/* OUTBOX_RELAY_REGISTERS_H */
