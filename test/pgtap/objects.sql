-- Copyright (c) 2026, the outbox developers
--
-- The SQL surface: what CREATE EXTENSION makes, no more and no less, and what
-- the catalogue says about each of it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS outbox;
SELECT no_plan();

-- Everything that belongs to the extension.
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid,
	(pg_identify_object(d.classid, d.objid, 0)).type,
	(pg_identify_object(d.classid, d.objid, 0)).identity,
	(pg_identify_object(d.classid, d.objid, 0)).schema
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'outbox';

SELECT has_extension('outbox');
SELECT has_schema('outbox');
SELECT has_schema('outbox_queues');

-- Functions.
SELECT has_function('outbox_enqueue', ARRAY['text', p, 'text', 'text', 'jsonb', 'uuid', 'interval', 'timestamp with time zone', 'jsonb'])
	FROM unnest(ARRAY['jsonb', 'json', 'text', 'bytea']) p;
SELECT function_returns('outbox_enqueue', ARRAY['text', p, 'text', 'text', 'jsonb', 'uuid', 'interval', 'timestamp with time zone', 'jsonb'], 'uuid')
	FROM unnest(ARRAY['jsonb', 'json', 'text', 'bytea']) p;
SELECT is(count(*), 4::bigint, 'and no other function of this name') FROM pg_proc WHERE proname = 'outbox_enqueue';
SELECT function_returns(f, args, returns) FROM (VALUES
	('outbox_enqueue_json', ARRAY['text', 'jsonb', 'text', 'text', 'jsonb', 'uuid', 'interval', 'timestamp with time zone', 'jsonb'], 'uuid'),
	('outbox_grant', ARRAY['regrole', 'text'], 'void'),
	('outbox_revoke', ARRAY['regrole', 'text'], 'void'),
	('outbox_create_queue', ARRAY['text', 'text', 'text', 'text', 'bigint',
		'text', 'integer', 'interval', 'double precision', 'interval', 'interval', 'jsonb', 'boolean', 'jsonb', 'boolean'], 'void'),
	('outbox_alter_queue', ARRAY['text',
		'text', 'integer', 'interval', 'double precision', 'interval', 'interval', 'bigint', 'jsonb', 'boolean', 'jsonb'], 'void'),
	('outbox_pause_queue', ARRAY['text'], 'void'),
	('outbox_resume_queue', ARRAY['text'], 'void'),
	('outbox_drop_queue', ARRAY['text', 'boolean'], 'void'),
	('outbox_purge_queue', ARRAY['text', 'boolean'], 'bigint'),
	('outbox_cancel', ARRAY['uuid'], 'boolean'),
	('outbox_cancel_key', ARRAY['text', 'text'], 'bigint'),
	('outbox_preview', ARRAY['uuid'], 'setof text[]'),
	('outbox_capture', ARRAY['regclass', 'text', 'text[]', 'text[]', 'text', 'text[]', 'jsonb'], 'void'),
	('outbox_uncapture', ARRAY['regclass', 'text'], 'void'),
	('outbox_capture_row', ARRAY[]::text[], 'trigger'),
	('outbox_stop_backfill', ARRAY['regclass', 'text'], 'boolean'),
	('outbox_forward_watermill', ARRAY['regclass', 'jsonb'], 'void'),
	('outbox_unforward_watermill', ARRAY['regclass'], 'void'),
	('outbox_forward_watermill_row', ARRAY[]::text[], 'trigger'),
	('outbox_replay', ARRAY['uuid'], 'boolean'),
	('outbox_replay_queue', ARRAY['text', 'bigint'], 'bigint'),
	('outbox_discard', ARRAY['uuid'], 'boolean'),
	('outbox_discard_queue', ARRAY['text'], 'bigint'),
	('outbox_resend', ARRAY['text', 'timestamp with time zone'], 'void'),
	('outbox_release', ARRAY['text'], 'record'), ('outbox_enable', ARRAY['boolean'], 'void'),
	('outbox_gone_cursors', ARRAY[]::text[], 'setof record'), ('outbox_remove_cursor', ARRAY['text'], 'void'),
	('outbox_celery_task', ARRAY['text', 'jsonb', 'jsonb', 'jsonb'], 'jsonb'),
	('outbox_sidekiq_job', ARRAY['text', 'jsonb', 'jsonb'], 'jsonb'),
	('outbox_rq_job', ARRAY['text', 'jsonb', 'jsonb', 'jsonb'], 'jsonb'),
	('outbox_dramatiq_message', ARRAY['text', 'jsonb', 'jsonb', 'jsonb'], 'jsonb')) v (f, args, returns);

SELECT results_eq(
	$$SELECT p.proargnames::text COLLATE "default", pg_get_function_arguments(p.oid)::text FROM pg_proc p
	  WHERE proname LIKE 'outbox\_%' AND prorettype <> 'trigger'::regtype AND oid IN (SELECT objid FROM member)
		AND pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'outbox')
	  ORDER BY 2$$,
	$$VALUES
	  ('{queue,payload,type,key,headers,id,delay,deliver_at,options}', 'queue text, payload bytea, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid, delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{queue,payload,type,key,headers,id,delay,deliver_at,options}', 'queue text, payload json, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid, delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{queue,payload,type,key,headers,id,delay,deliver_at,options}', 'queue text, payload jsonb, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid, delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{queue,payload,type,key,headers,id,delay,deliver_at,options}', 'queue text, payload jsonb, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid, delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{queue,payload,type,key,headers,id,delay,deliver_at,options}', 'queue text, payload text, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid, delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{queue,payloads,types,keys,headers,ids,delay,deliver_at,options}', 'queue text, payloads jsonb, types text[] DEFAULT NULL::text[], keys text[] DEFAULT NULL::text[], headers jsonb DEFAULT NULL::jsonb, ids uuid[] DEFAULT NULL::uuid[], delay interval DEFAULT NULL::interval, deliver_at timestamp with time zone DEFAULT NULL::timestamp with time zone, options jsonb DEFAULT NULL::jsonb'),
	  ('{role,queue}', 'role regrole, queue text DEFAULT NULL::text'), ('{role,queue}', 'role regrole, queue text DEFAULT NULL::text'),
	  ('{queue,force}', 'queue text, force boolean DEFAULT false'),
	  ('{name,target,redis_key,format,maxlen,on_failure,max_attempts,retry_delay,retry_backoff,retry_max_delay,expires_after,options,consumer_retry,settings,if_not_exists}',
		'name text, target text DEFAULT ''stream''::text, redis_key text DEFAULT NULL::text, format text DEFAULT NULL::text, maxlen bigint DEFAULT NULL::bigint, on_failure text DEFAULT ''block''::text, max_attempts integer DEFAULT 10, retry_delay interval DEFAULT ''00:00:01''::interval, retry_backoff double precision DEFAULT 2.0, retry_max_delay interval DEFAULT ''00:10:00''::interval, expires_after interval DEFAULT NULL::interval, options jsonb DEFAULT NULL::jsonb, consumer_retry boolean DEFAULT false, settings jsonb DEFAULT NULL::jsonb, if_not_exists boolean DEFAULT false'),
	  ('{queue,on_failure,max_attempts,retry_delay,retry_backoff,retry_max_delay,expires_after,maxlen,options,consumer_retry,settings}',
		'queue text, on_failure text DEFAULT NULL::text, max_attempts integer DEFAULT NULL::integer, retry_delay interval DEFAULT NULL::interval, retry_backoff double precision DEFAULT NULL::double precision, retry_max_delay interval DEFAULT NULL::interval, expires_after interval DEFAULT NULL::interval, maxlen bigint DEFAULT NULL::bigint, options jsonb DEFAULT NULL::jsonb, consumer_retry boolean DEFAULT NULL::boolean, settings jsonb DEFAULT NULL::jsonb'),
	  ('{queue}', 'queue text'), ('{queue}', 'queue text'),
	  ('{table_name,queue,columns,key,condition,operations,settings}',
		'table_name regclass, queue text, columns text[] DEFAULT NULL::text[], key text[] DEFAULT NULL::text[], condition text DEFAULT NULL::text, operations text[] DEFAULT ''{insert,update,delete}''::text[], settings jsonb DEFAULT NULL::jsonb'),
	  ('{table_name,queue}', 'table_name regclass, queue text'), ('{table_name,queue}', 'table_name regclass, queue text'),
	  ('{table_name,queue,settings}', 'IN table_name regclass, IN queue text, IN settings jsonb DEFAULT NULL::jsonb'),
	  ('{topic_table}', 'topic_table regclass'),
	  ('{topic_table,settings}', 'topic_table regclass, settings jsonb DEFAULT NULL::jsonb'),
	  ('{id}', 'id uuid'), ('{id}', 'id uuid'), ('{id}', 'id uuid'), ('{id}', 'id uuid'),
	  ('{queue,max}', 'queue text, max bigint DEFAULT NULL::bigint'),
	  ('{queue,force}', 'queue text, force boolean DEFAULT false'), ('{queue,key}', 'queue text, key text'), ('{queue}', 'queue text'),
	  ('{queue,since}', 'queue text, since timestamp with time zone'),
	  ('{task,args,kwargs,options}', 'task text, args jsonb DEFAULT ''[]''::jsonb, kwargs jsonb DEFAULT ''{}''::jsonb, options jsonb DEFAULT NULL::jsonb'),
	  ('{class,args,options}', 'class text, args jsonb DEFAULT ''[]''::jsonb, options jsonb DEFAULT NULL::jsonb'),
	  ('{func,args,kwargs,options}', 'func text, args jsonb DEFAULT ''[]''::jsonb, kwargs jsonb DEFAULT ''{}''::jsonb, options jsonb DEFAULT NULL::jsonb'),
	  ('{actor,args,kwargs,options}', 'actor text, args jsonb DEFAULT ''[]''::jsonb, kwargs jsonb DEFAULT ''{}''::jsonb, options jsonb DEFAULT NULL::jsonb'),
	  ('{enabled}', 'enabled boolean'), ('{name}', 'name text'),
	  ('{name,database,last_used,removable,server}', 'OUT name text, OUT database oid, OUT last_used timestamp with time zone, OUT removable boolean, OUT server text'),
	  ('{reason,messages,address}', 'reason text, OUT messages bigint, OUT address text')
	  ORDER BY 2$$,
	'the functions for users, their arguments and defaults');

-- All but those that make payloads write: volatile, and never in a parallel
-- worker.  None is strict: a NULL gets an error, not silence.
CREATE TEMP VIEW pure (name, volatility) AS VALUES ('outbox_celery_task', 's'), ('outbox_sidekiq_job', 'i'),
	('outbox_rq_job', 'i'), ('outbox_dramatiq_message', 'i');
SELECT is_empty(
	$$SELECT identity FROM member JOIN pg_proc ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	  WHERE proname LIKE 'outbox\_%' AND proname NOT IN (SELECT name FROM pure)
		AND (provolatile <> 'v' OR proparallel <> 'u' OR proisstrict)$$,
	'functions that write are volatile, parallel unsafe and not strict');
SELECT is_empty(
	$$SELECT identity FROM member JOIN pg_proc ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
		JOIN pure ON proname = name
	  WHERE provolatile::text <> volatility OR proparallel <> 's' OR proisstrict OR prosecdef OR prosqlbody IS NULL$$,
	'those that make payloads are stable or immutable, and were parsed when they were made, so that no search path matters');
SELECT is_empty(
	$$SELECT identity FROM member JOIN pg_proc ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	  WHERE prosecdef AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')$$,
	'no SECURITY DEFINER function without a search path of its own');

-- Servers.
SELECT fdw_privs_are('outbox', 'pg_monitor', '{}', 'the wrapper is for superusers');
SELECT is(fdwvalidator::regprocedure::text COLLATE "default", 'outbox.server_options(text[],oid)', 'which has a validator')
	FROM pg_foreign_data_wrapper WHERE fdwname = 'outbox' AND fdwhandler = 0;

-- Relations.
SELECT results_eq(
	$$SELECT relname::text COLLATE "default", relkind::text COLLATE "default" FROM pg_class
	  WHERE relnamespace = 'outbox'::regnamespace AND relkind NOT IN ('i', 't', 'c') ORDER BY 1$$,
	$$VALUES ('applied', 'S'), ('backfill', 'r'), ('backfills', 'v'), ('consumer_position', 'r'), ('dead_letter', 'r'), ('dead_letters', 'v'), ('deferred', 'r'), ('delivered', 'S'), ('delivery', 'r'),
		('longest_turns', 'v'), ('messages', 'v'), ('partition_status', 'v'), ('partitions', 'v'), ('queue', 'r'), ('queue_id', 'S'), ('queue_settings', 'v'), ('queue_status', 'v'), ('queue_total', 'r'), ('relay_state', 'r'),
		('resend_request', 'r'), ('returned', 'r'), ('returned_n', 'S'), ('run', 'r'), ('seq', 'S'), ('server_status', 'v'), ('staging_1', 'r'), ('staging_2', 'r'), ('status', 'v') ORDER BY 1$$,
	'the relations of schema outbox');
SELECT columns_are('outbox', t, ARRAY['xid', 'seq', 'enqueued_at', 'id', 'lsn', 'queue',
		'attempts', 'kind', 'type', 'key', 'headers', 'payload', 'history', 'options'])
	FROM unnest(ARRAY['staging_1', 'staging_2']) t;
SELECT columns_are('outbox', 'deferred', ARRAY['xid', 'seq', 'enqueued_at', 'id', 'lsn', 'queue',
		'attempts', 'kind', 'type', 'key', 'headers', 'payload', 'history', 'options', 'reason', 'due_at']);
SELECT columns_are('outbox', 'dead_letter', ARRAY['xid', 'seq', 'enqueued_at', 'id', 'lsn', 'queue',
		'attempts', 'kind', 'type', 'key', 'headers', 'payload', 'history', 'options', 'reason', 'error', 'dead_at',
		'skipped', 'gone_at']);
SELECT columns_are('outbox', 'queue', ARRAY['id', 'name', 'target', 'redis_key', 'format', 'maxlen',
		'on_failure', 'max_attempts', 'retry_delay', 'retry_backoff', 'retry_max_delay', 'expires_after',
		'paused_at', 'created_at', 'options', 'consumer_retry', 'payload_type', 'fields', 'server', 'partitions', 'moving_from']);
SELECT columns_are('outbox', 'queue_total', ARRAY['queue', 'delivered', 'failed', 'dead_lettered', 'expired',
		'cursor_key', 'cursor_pos', 'cursor_seq', 'cursor_count']);
SELECT columns_are('outbox', 'backfill', ARRAY['relation', 'queue', 'key', 'position', 'rows', 'started_at', 'pid',
		'called_at', 'moved_at', 'stopped_at', 'finished_at']);
SELECT columns_are('outbox', 'resend_request', ARRAY['queue', 'since', 'upto', 'done']);
SELECT columns_are('outbox', 'returned', ARRAY['n', 'queue', 'id', 'attempts', 'digest', 'due_at', 'history']);
SELECT columns_are('outbox', 'consumer_position', ARRAY['queue', 'address', 'redis_key', 'retry_id', 'dead_id']);
SELECT columns_are('outbox', 'relay_state', ARRAY['source', 'database', 'held', 'held_why', 'held_since', 'restored']);
SELECT columns_are('outbox', 'delivery', ARRAY['one', 'enabled', 'since']);
SELECT columns_are('outbox', 'run', ARRAY['number', 'id', 'system', 'timeline', 'start', 'place', 'server_version', 'recorded_at']);

-- What users read: names and types are for them to rely on.
CREATE FUNCTION pg_temp.columns_of(view regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = view AND attnum > 0 AND NOT attisdropped $$;
SELECT is(pg_temp.columns_of('outbox.status'), 'state text, since timestamp with time zone, why text, pid integer, '
	'waiting bigint, oldest interval, delivered bigint, last_error text, '
	'last_error_at timestamp with time zone, last_success timestamp with time zone, summary text, '
	'staging_kept_by text, staging_kept_since timestamp with time zone, server text, address text, '
	'replicas_behind text, replicas_behind_since timestamp with time zone', 'status');
SELECT is(pg_temp.columns_of('outbox.queue_status'), 'queue text, state text, since timestamp with time zone, why text, '
	'enqueued bigint, delivered bigint, failed bigint, dead_lettered bigint, expired bigint, '
	'waiting bigint, delayed bigint, retrying bigint, dead_letters bigint, oldest interval, '
	'last_error text, last_error_at timestamp with time zone, last_success timestamp with time zone, '
	'latency_p50 double precision, latency_p99 double precision', 'queue_status');
SELECT is(pg_temp.columns_of('outbox.server_status'), 'server text, address text, state text, since timestamp with time zone, why text, '
	'last_error text, last_error_at timestamp with time zone, last_success timestamp with time zone, '
	'queues integer, waiting bigint, delivered bigint', 'server_status');
SELECT is(pg_temp.columns_of('outbox.partitions'), 'queue text, partition integer, redis_key text, slot integer', 'partitions');
SELECT is(pg_temp.columns_of('outbox.backfills'), 'table_name regclass, queue text, state text, rows bigint, position text[], '
	'started_at timestamp with time zone, moved_at timestamp with time zone, finished_at timestamp with time zone, pid integer', 'backfills');
SELECT is(pg_temp.columns_of('outbox.longest_turns'), 'step text, clock text, ms double precision, '
	'at timestamp with time zone, queue text, rows bigint', 'longest_turns');
SELECT is(pg_temp.columns_of('outbox.dead_letters'), 'queue text, reason text, id uuid, type text, key text, headers jsonb, '
	'payload json, payload_type text, enqueued_at timestamp with time zone, '
	'attempts integer, last_error text, first_failed_at timestamp with time zone, '
	'last_failed_at timestamp with time zone, dead_at timestamp with time zone, history jsonb', 'dead_letters');
SELECT is(pg_temp.columns_of('outbox.messages'), 'queue text, state text, id uuid, type text, key text, headers jsonb, '
	'payload json, payload_type text, enqueued_at timestamp with time zone, due_at timestamp with time zone, '
	'attempts integer, last_error text, as_of timestamp with time zone, seq bigint', 'messages');

-- One index on a staging table, and it is enough to plan a tick.
SELECT results_eq(
	$$SELECT pg_get_indexdef(indexrelid) ~ '\(xid, queue, seq\)' FROM pg_index
	  WHERE indrelid IN ('outbox.staging_1'::regclass, 'outbox.staging_2'::regclass)$$,
	$$VALUES (true), (true)$$,
	'staging tables have one index each, on (xid, queue, seq)');
SELECT results_eq(
	$$SELECT seqcache FROM pg_sequence WHERE seqrelid = 'outbox.seq'::regclass$$, ARRAY[1::bigint],
	'message numbers come one at a time: sessions must not cache some');

-- What a dump has to carry; not the identity of the relay, nor what is done with.
SELECT results_eq(
	$$SELECT c::regclass::text COLLATE "default", left(ltrim(condition, E'\n '), 12) COLLATE "default"
		FROM pg_extension, unnest(extconfig, extcondition) u (c, condition) WHERE extname = 'outbox' ORDER BY 1$$,
	$$VALUES ('outbox.dead_letter', 'WHERE false'||E'\n'), ('outbox.deferred', 'WHERE false'||E'\n'),
		('outbox.queue', ''), ('outbox.queue_id', ''), ('outbox.returned', ''), ('outbox.returned_n', '') ORDER BY 1$$,
	'a dump carries queues, messages, dead letters and what was returned, not the relay''s identity');
SELECT results_eq(
	$$SELECT tgrelid::regclass::text COLLATE "default", tgenabled::text COLLATE "default" FROM pg_trigger
		WHERE tgname = 'hold_restored' ORDER BY 1$$,
	$$VALUES ('outbox.dead_letter', 'A'), ('outbox.deferred', 'A'), ('outbox.staging_1', 'A'), ('outbox.staging_2', 'A')$$,
	'and what comes out of it is seen, also by a session that applies changes of another server');

-- Publications FOR ALL TABLES have each table, and a subscriber ignores what comes.
SELECT is_empty(
	$$SELECT oid::regclass FROM pg_class c WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r'
		AND relreplident <> CASE WHEN EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary) THEN 'd' ELSE 'f' END::"char"$$,
	'every table has a replica identity');
SELECT is_empty(
	$$SELECT oid::regclass, name FROM pg_class c, unnest(ARRAY['a_replicated', 'a_replicated_truncate']) AS name
		WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r'
		AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = name AND tgenabled = 'A')$$,
	'and ignores what a subscription brings');
SELECT is_empty(
	$$SELECT tgrelid::regclass, tgname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = 'outbox'::regnamespace
		AND tgtype & 3 = 3 AND tgname < 'a_replicated'$$,
	'before any other trigger sees it');

-- Every object explains itself.
SELECT is_empty(
	$$SELECT type, identity FROM member WHERE type NOT LIKE '%type%'
	  AND coalesce(obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)), '') = ''$$,
	'every object has a comment');
SELECT is_empty(
	$$SELECT attrelid::regclass, attname FROM pg_attribute
	  WHERE attrelid IN ('outbox.status'::regclass, 'outbox.queue'::regclass, 'outbox.queue_status'::regclass,
		'outbox.dead_letters'::regclass, 'outbox.messages'::regclass,
		'outbox.partitions'::regclass, 'outbox.partition_status'::regclass) AND attnum > 0
		AND NOT attisdropped AND coalesce(col_description(attrelid, attnum), '') = ''$$,
	'and so has every column of what users read');

-- Settings.
SELECT results_eq(
	$$SELECT name, context, vartype FROM pg_settings WHERE name LIKE 'outbox.%' ORDER BY 1$$,
	$$VALUES ('outbox.max_message_size', 'sighup', 'integer'), ('outbox.redis_url', 'sighup', 'string'),
		('outbox.retention', 'sighup', 'integer'),
		('outbox.wait_for_standby', 'sighup', 'bool') ORDER BY 1$$,
	'the settings, all applied by a reload');
SELECT is(current_setting(name), value, name) FROM (VALUES
	('outbox.retention', '1min'), ('outbox.max_message_size', '1MB'),
	('outbox.wait_for_standby', 'on')) v (name, value);

SELECT * FROM finish();
ROLLBACK;
