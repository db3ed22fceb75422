/*-------------------------------------------------------------------------
 *
 * server_settings.h
 *	  PostgreSQL's settings, as the relay has them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: no ALTER DATABASE or ALTER ROLE changes how the relay works.
 * Process: relay.
 * Transaction: none.
 * Memory: freed by outbox_fix_settings().
 * Errors: none are expected.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SERVER_SETTINGS_H
#define OUTBOX_RELAY_SERVER_SETTINGS_H

#include "outbox.h"

/* remember the server's settings; to be called before connecting */
extern void outbox_remember_settings(void);

/* undo what database and role have set; set what the relay depends on */
extern void outbox_fix_settings(void);

#endif							/* OUTBOX_RELAY_SERVER_SETTINGS_H */
