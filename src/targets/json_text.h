/*-------------------------------------------------------------------------
 *
 * json_text.h
 *	  JSON as it was written, and as encoders write it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: go through JSON in UTF-8 value by value, without changing a byte;
 *	  append strings to JSON.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: what is appended grows the caller's buffer; scratch in the current
 *	  context; values point into the text.
 * Errors: none thrown; a scan has a fault.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JSON_TEXT_H
#define OUTBOX_JSON_TEXT_H

#include "outbox.h"

#include "convert.h"
#include "lib/stringinfo.h"

/* how deep values may lie in each other; Ruby's JSON reads no more */
#define OUTBOX_JSON_DEPTH	100

/* where in a text a scan has got */
typedef struct OutboxJsonScan
{
	const char *at;
	const char *end;
	const char *fault;			/* what is wrong there, a sentence; or NULL */
} OutboxJsonScan;

/* these return false if the text has a fault, which the scan then has */

/* scan a value that lies so deep: 1 for the outermost; *value is its text */
extern bool outbox_scan_value(OutboxJsonScan *scan, int depth, OutboxBytes *value);

/* scan the beginning of an object or an array */
extern bool outbox_scan_open(OutboxJsonScan *scan, char bracket);

/* is there another element before this bracket?  Also false at a fault */
extern bool outbox_scan_next(OutboxJsonScan *scan, char bracket, bool *first);

/* scan the name of a member and the colon; *name is without quotes, as written */
extern bool outbox_scan_name(OutboxJsonScan *scan, OutboxBytes *name);

/* is there nothing but white space left? */
extern bool outbox_scan_end(OutboxJsonScan *scan);

/* returns what a string that has been scanned stands for */
extern OutboxBytes outbox_json_string(OutboxBytes value);

/*
 * Append text as a string, in UTF-8 or another encoding that a server can have;
 * bytes as base64 without quotes.
 */
extern void outbox_append_json_string(StringInfo out, OutboxBytes text);
extern void outbox_append_base64(StringInfo out, OutboxBytes bytes);

/* append a comma and what is in an object, unless that is empty */
extern void outbox_append_members(StringInfo out, OutboxBytes object);

/* append bytes as they are */
static inline void
outbox_append_bytes(StringInfo out, OutboxBytes bytes)
{
	appendBinaryStringInfo(out, bytes.data, bytes.len);
}

#endif							/* OUTBOX_JSON_TEXT_H */
