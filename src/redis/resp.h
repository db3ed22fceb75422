/*-------------------------------------------------------------------------
 *
 * resp.h
 *	  Commands in the form in which Redis reads them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write *argc, then $length and the bytes of each argument.
 * Process: relay; pure.
 * Transaction: none needed.
 * Memory: appends to the caller's buffer.
 * Errors: PROGRAM_LIMIT_EXCEEDED where a StringInfo gets too large.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RESP_H
#define OUTBOX_RESP_H

#include "outbox.h"

#include "lib/stringinfo.h"

/* begin a command with this number of arguments, including its name */
extern void outbox_resp_command(StringInfo out, int argc);

/* add one argument: bytes, a string, a number in decimal */
extern void outbox_resp_arg(StringInfo out, const char *data, size_t len);
extern void outbox_resp_string(StringInfo out, const char *s);
extern void outbox_resp_number(StringInfo out, uint64 n);

#endif							/* OUTBOX_RESP_H */
