/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every test of a PostgreSQL or hiredis version, and nothing else.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let all other code be the same for PostgreSQL 15 to 19 and hiredis
 *	  0.14 and 1.x.
 * Process: all.
 * Transaction, memory, errors, locks: those of the functions that are called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_COMPAT_H
#define OUTBOX_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "outbox needs PostgreSQL 15 or newer"
#endif

/* 18: modules carry a name and a version */
#if PG_VERSION_NUM >= 180000
#define OUTBOX_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "outbox", .version = "1.0")
#else
#define OUTBOX_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 16: relation files are "locators" and "numbers" */
#if PG_VERSION_NUM >= 160000
#define outbox_relation_file(rel) ((rel)->rd_locator.relNumber)
#define outbox_new_relation_file(rel) \
	RelationSetNewRelfilenumber(rel, (rel)->rd_rel->relpersistence)
#else
#define outbox_relation_file(rel) ((rel)->rd_node.relNode)
#define outbox_new_relation_file(rel) \
	RelationSetNewRelfilenode(rel, (rel)->rd_rel->relpersistence)
#endif

/* 16: memory that belongs to a setting has allocation functions of its own */
#if PG_VERSION_NUM >= 160000
#define outbox_guc_malloc(size) guc_malloc(LOG, size)
#define outbox_guc_free(ptr) guc_free(ptr)
#else
#define outbox_guc_malloc(size) malloc(size)
#define outbox_guc_free(ptr) free(ptr)
#endif

/* 16: the list of settings is told with its length */
#if PG_VERSION_NUM >= 160000
#define outbox_all_settings(n) get_guc_variables(n)
#else
#define outbox_all_settings(n) \
	(*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* 16: varlena access has a header of its own */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: one function checks the ownership of all kinds of objects */
#if PG_VERSION_NUM >= 160000
#define outbox_owns_database(database) \
	object_ownercheck(DatabaseRelationId, database, GetUserId())
#else
#define outbox_owns_database(database) \
	pg_database_ownercheck(database, GetUserId())
#endif

/* 16: one function checks the rights on all kinds of objects */
#if PG_VERSION_NUM >= 160000
#define outbox_may_execute(function, role) \
	object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#define outbox_server_acl(server, role) \
	object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE)
#else
#define outbox_server_acl(server, role) \
	pg_foreign_server_aclcheck(server, role, ACL_USAGE)
#define outbox_may_execute(function, role) \
	pg_proc_aclcheck(function, role, ACL_EXECUTE)
#endif

/* 17: processes are found by ProcNumber, wait events have names */
#if PG_VERSION_NUM >= 170000
#define outbox_my_procno() ((uint32) MyProcNumber)
#define outbox_my_lxid() (MyProc->vxid.lxid)
#define outbox_wait_event(name) WaitEventExtensionNew(name)
#include "utils/wait_event.h"
#else
#define outbox_my_procno() ((uint32) MyProc->pgprocno)
#define outbox_my_lxid() (MyProc->lxid)
#define outbox_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 17: what is known of transaction ids has another name */
#if PG_VERSION_NUM >= 170000
#define outbox_oldest_in_commit_log() (TransamVariables->oldestClogXid)
#else
#define outbox_oldest_in_commit_log() (ShmemVariableCache->oldestClogXid)
#endif

/* 17: the statement that rebuilds indexes is known */
#if PG_VERSION_NUM >= 170000
#define outbox_reindex(relid, flags, params) \
	reindex_relation(NULL, relid, flags, params)
#else
#define outbox_reindex(relid, flags, params) \
	reindex_relation(relid, flags, params)
#endif

/* 17: transactions may time out */
#if PG_VERSION_NUM >= 170000
#define OUTBOX_SETTINGS_OF_VERSION {"transaction_timeout", "0"},
#else
#define OUTBOX_SETTINGS_OF_VERSION
#endif

/* 17: wait event sets belong to resource owners */
#if PG_VERSION_NUM >= 170000
#define outbox_create_wait_set(n) CreateWaitEventSet(NULL, n)
#else
#define outbox_create_wait_set(n) CreateWaitEventSet(TopMemoryContext, n)
#endif

/* 18: an index scan can be instrumented; 19: and has flags */
#if PG_VERSION_NUM >= 190000
#define outbox_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0)
#define outbox_index_fetch_begin(heap) table_index_fetch_begin(heap, 0)
#elif PG_VERSION_NUM >= 180000
#define outbox_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define outbox_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

#if PG_VERSION_NUM < 190000
#define outbox_index_fetch_begin(heap) table_index_fetch_begin(heap)
#endif

/* 16: triggers of partitions */
#if PG_VERSION_NUM >= 160000
#define outbox_enable_trigger(rel, name, when, lock) \
	EnableDisableTrigger(rel, name, InvalidOid, when, false, false, lock)
#else
#define outbox_enable_trigger(rel, name, when, lock) \
	EnableDisableTrigger(rel, name, when, false, lock)
#endif

/* 16, 19: how an executor's index entries are inserted */
#if PG_VERSION_NUM >= 190000
#define outbox_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, estate, 0, slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define outbox_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#else
#define outbox_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#endif

/* 18: what does not return says so before its declaration */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 17: a JSON lexer may be the caller's, and is freed by a function */
#if PG_VERSION_NUM >= 170000
#define outbox_json_lex(data, len) \
	makeJsonLexContextCstringLen(NULL, data, len, PG_UTF8, false)
#define outbox_json_lex_free(lex) freeJsonLexContext(lex)
#else
#define outbox_json_lex(data, len) \
	makeJsonLexContextCstringLen(data, len, PG_UTF8, false)
#define outbox_json_lex_free(lex) pfree(lex)
#endif

/* 18: base64 functions take unsigned bytes */
#if PG_VERSION_NUM >= 180000
#define outbox_b64_encode(src, len, dst, size) \
	pg_b64_encode((const uint8 *) (src), len, dst, size)
#else
#define outbox_b64_encode(src, len, dst, size) \
	pg_b64_encode(src, len, dst, size)
#endif

/* in minor versions since 2023: a database whose DROP was interrupted */
#define OUTBOX_INVALID_DATABASE (-2)

/* 18: generated columns may be virtual */
#define OUTBOX_GENERATED_VIRTUAL 'v'

/* 19: signal handlers have a second argument; to be called in a handler */
#if PG_VERSION_NUM >= 190000
#define outbox_die() die(postgres_signal_arg, pg_siginfo)
#else
#define outbox_die() die(postgres_signal_arg)
#endif

/* hiredis 1.0: how its reader tells the number of an array's elements */
#define OUTBOX_HIREDIS_COUNT OUTBOX_HIREDIS_COUNT_IN(HIREDIS_MAJOR)
#define OUTBOX_HIREDIS_COUNT_IN(major) CppConcat(OUTBOX_HIREDIS_COUNT_, major)
#define OUTBOX_HIREDIS_COUNT_0 int
#define OUTBOX_HIREDIS_COUNT_1 size_t

#endif							/* OUTBOX_COMPAT_H */
