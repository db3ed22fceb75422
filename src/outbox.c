/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  The module: wiring only.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * With shared_preload_libraries the launcher is registered, shared memory is
 * requested and the hooks are set.  If the library is loaded later, by a
 * session's first call, it can stage messages but not wake a relay.  A server
 * that preloads the library later delivers them.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "api/server_ddl.h"
#include "database_ddl.h"
#include "fmgr.h"
#include "guc.h"
#include "launcher.h"
#include "miscadmin.h"
#include "shmem.h"

OUTBOX_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	outbox_define_settings();

	/* pg_upgrade: nothing may be delivered while tables are in transit */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	outbox_shmem_init_hooks();
	outbox_install_ddl_hooks();
	outbox_install_server_hook();
	outbox_register_launcher();
}
