/*-------------------------------------------------------------------------
 *
 * iso_time.h
 *	  Times as ISO 8601 writes them, whatever the session's settings are.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read and write times that are part of a message.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: grows the caller's buffer.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ISO_TIME_H
#define OUTBOX_ISO_TIME_H

#include "outbox.h"

#include "convert.h"
#include "lib/stringinfo.h"

/*
 * Read a time with its time zone, from 1970 to 9998, as jsonb and text have a
 * timestamptz; *us is microseconds since 1970.  Returns false if it is none.
 */
extern bool outbox_iso_time(OutboxBytes text, int64 *us);

/* append it: 2026-01-31T23:59:59.000000 in UTC, without a time zone */
extern void outbox_append_iso_time(StringInfo out, int64 us);

#endif							/* OUTBOX_ISO_TIME_H */
