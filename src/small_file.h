/*-------------------------------------------------------------------------
 *
 * small_file.h
 *	  Read a file that a setting or an option names.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read passwords, certificates and keys.
 * Process: relay.
 * Transaction: none needed.
 * Memory: palloc'ed.
 * Errors: none thrown for what is wrong with the file, beyond those of palloc.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SMALL_FILE_H
#define OUTBOX_SMALL_FILE_H

#include "outbox.h"

/*
 * Read all of a file.  Returns what is wrong, which begins with the name of the
 * setting and does not have the file's, or NULL; a zero byte is appended.
 */
extern const char *outbox_read_small_file(const char *path,
										  const char *setting, size_t max,
										  char **data, size_t *len);

#endif							/* OUTBOX_SMALL_FILE_H */
