-- Copyright (c) 2026, the outbox developers
--
-- Who may do what, as the catalogue has it: nothing for PUBLIC, the
-- views without payloads for pg_monitor.  That outbox_grant() is enough for a
-- producer is shown by test/t/073_privileges.pl.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS outbox;
SELECT no_plan();

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS what
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'outbox';

-- A missing list of privileges means the defaults, which for functions are
-- EXECUTE for PUBLIC.  acldefault() spells them out.
CREATE TEMP VIEW privilege AS
SELECT what, a.* FROM member
	JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid,
	aclexplode(coalesce(proacl, acldefault('f', proowner))) a
UNION ALL
SELECT what, a.* FROM member
	JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid,
	aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
UNION ALL
SELECT what, a.* FROM member
	JOIN pg_namespace n ON classid = 'pg_namespace'::regclass AND objid = n.oid,
	aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a;

SELECT isnt_empty('TABLE privilege', 'there are privileges to look at');
SELECT results_eq($$SELECT what, privilege_type FROM privilege WHERE grantee = 0 ORDER BY 1$$,
	$$VALUES ('function outbox.readable_payload(bytea,"char")', 'EXECUTE'), ('schema outbox_queues', 'USAGE')$$,
	'nothing is granted to PUBLIC but the way to the queues'' views, and a function that reads its argument only');
SELECT is_empty(
	$$SELECT what, pg_get_userbyid(grantee), privilege_type FROM privilege
	  WHERE grantee NOT IN (0, (SELECT extowner FROM pg_extension WHERE extname = 'outbox'))
		AND (pg_get_userbyid(grantee), privilege_type) NOT IN (('pg_monitor', 'SELECT'), ('pg_monitor', 'USAGE'), ('pg_monitor', 'EXECUTE'),
			('pg_read_all_data', 'EXECUTE'))$$,
	'nobody but the owner, pg_monitor and pg_read_all_data has any privilege');
SELECT is_empty(
	$$SELECT what FROM privilege WHERE is_grantable AND grantee <> (SELECT extowner FROM pg_extension WHERE extname = 'outbox')$$,
	'none that could be passed on');

SELECT is_empty(
	$$SELECT oid::regclass FROM pg_class WHERE relnamespace = 'outbox'::regnamespace
		AND relkind IN ('r', 'v', 'S') AND relname NOT IN ('status', 'server_status', 'queue_status', 'queue_settings', 'partitions', 'partition_status', 'longest_turns', 'messages', 'backfills')
		AND CASE WHEN relkind = 'S' THEN has_sequence_privilege('pg_monitor', oid, 'USAGE, SELECT, UPDATE')
			ELSE has_table_privilege('pg_monitor', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END$$,
	'pg_monitor has no privilege on what is beneath the status');
SELECT table_privs_are('outbox', v, 'pg_monitor', ARRAY['SELECT']) FROM unnest(ARRAY['status', 'server_status', 'queue_status', 'queue_settings', 'partitions', 'partition_status', 'longest_turns', 'messages', 'backfills']) v;
SELECT set_eq(
	$$SELECT proname FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	  WHERE has_function_privilege('pg_monitor', p.oid, 'EXECUTE')$$,
	ARRAY['relay_status', 'queue_stats', 'server_stats', 'partition_rows', 'queue_view', 'turn_stats', 'message_rows', 'readable_payload']::name[],
	'pg_monitor may call what is behind them');
SELECT set_eq(
	$$SELECT proname FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	  WHERE has_function_privilege('pg_read_all_data', p.oid, 'EXECUTE')$$,
	ARRAY['message_rows', 'outbox_preview', 'readable_payload']::name[],
	'pg_read_all_data may look at messages');
SELECT schema_privs_are('outbox', 'pg_monitor', ARRAY['USAGE']);

-- Each default of a user-made role.
CREATE ROLE outbox_nobody;
SELECT is_empty(
	$$SELECT what FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	  WHERE has_function_privilege('outbox_nobody', p.oid, 'EXECUTE') AND proname <> 'readable_payload'$$,
	'a new role may call nothing else');
SELECT schema_privs_are('outbox', 'outbox_nobody', ARRAY[]::text[]);
SELECT throws_ok($$SET LOCAL ROLE outbox_nobody; SELECT outbox_enqueue('q', 'x')$$, '42501');

SELECT * FROM finish();
ROLLBACK;
