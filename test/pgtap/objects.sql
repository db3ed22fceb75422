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

-- Functions.
SELECT has_function('outbox_enqueue', ARRAY['text', p, 'text', 'text', 'jsonb', 'uuid'])
	FROM unnest(ARRAY['jsonb', 'text', 'bytea']) p;
SELECT function_returns('outbox_enqueue', ARRAY['text', p, 'text', 'text', 'jsonb', 'uuid'], 'uuid')
	FROM unnest(ARRAY['jsonb', 'text', 'bytea']) p;
SELECT has_function('outbox_create_queue', ARRAY['text', 'text', 'text', 'text', 'bigint']);
SELECT has_function('outbox_drop_queue', ARRAY['text', 'boolean']);
SELECT has_function('outbox_resume', ARRAY[]::text[]);

SELECT results_eq(
	$$SELECT p.proargnames::text COLLATE "default", pg_get_function_arguments(p.oid)::text FROM pg_proc p
	  WHERE proname LIKE 'outbox\_%' AND prorettype <> 'trigger'::regtype AND oid IN (SELECT objid FROM member)
		AND pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'outbox')
	  ORDER BY 2$$,
	$$VALUES
	  ('{queue,payload,type,key,headers,id}', 'queue text, payload bytea, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid'),
	  ('{queue,payload,type,key,headers,id}', 'queue text, payload jsonb, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid'),
	  ('{queue,payload,type,key,headers,id}', 'queue text, payload text, type text DEFAULT NULL::text, key text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, id uuid DEFAULT NULL::uuid'),
	  ('{name,force}', 'name text, force boolean DEFAULT false'),
	  ('{name,target,redis_key,format,maxlen}', 'name text, target text DEFAULT ''stream''::text, redis_key text DEFAULT NULL::text, format text DEFAULT NULL::text, maxlen bigint DEFAULT NULL::bigint'),
	  (NULL, '')
	  ORDER BY 2$$,
	'the functions for users, their arguments and defaults');

-- All of them write: volatile, and never in a parallel worker.  None is
-- strict: a NULL gets an error, not silence.
SELECT is_empty(
	$$SELECT identity FROM member JOIN pg_proc ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	  WHERE proname IN ('outbox_enqueue', 'outbox_create_queue', 'outbox_drop_queue', 'outbox_resume')
		AND (provolatile <> 'v' OR proparallel <> 'u' OR proisstrict)$$,
	'functions that write are volatile, parallel unsafe and not strict');
SELECT is_empty(
	$$SELECT identity FROM member JOIN pg_proc ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	  WHERE prosecdef AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')$$,
	'no SECURITY DEFINER function without a search path of its own');

-- Relations.
SELECT results_eq(
	$$SELECT relname::text COLLATE "default", relkind::text COLLATE "default" FROM pg_class
	  WHERE relnamespace = 'outbox'::regnamespace AND relkind NOT IN ('i', 't', 'c') ORDER BY 1$$,
	$$VALUES ('applied', 'S'), ('deferred', 'r'), ('delivered', 'S'), ('queue', 'r'), ('queue_id', 'S'),
		('relay_state', 'r'), ('seq', 'S'), ('staging_1', 'r'), ('staging_2', 'r'), ('status', 'v') ORDER BY 1$$,
	'the relations of schema outbox');
SELECT columns_are('outbox', t, ARRAY['xid', 'seq', 'enqueued_at', 'id', 'queue', 'timeline',
		'attempts', 'kind', 'type', 'key', 'headers', 'payload'])
	FROM unnest(ARRAY['staging_1', 'staging_2']) t;
SELECT columns_are('outbox', 'deferred', ARRAY['xid', 'seq', 'enqueued_at', 'id', 'queue', 'timeline',
		'attempts', 'kind', 'type', 'key', 'headers', 'payload', 'reason']);
SELECT columns_are('outbox', 'queue', ARRAY['id', 'name', 'target', 'redis_key', 'format', 'maxlen', 'created_at']);
SELECT columns_are('outbox', 'relay_state', ARRAY['source', 'database']);
SELECT columns_are('outbox', 'status', ARRAY['state', 'since', 'why', 'pid', 'waiting', 'oldest',
		'delivered', 'last_error', 'last_error_at', 'last_success']);
SELECT col_type_is('outbox', 'status', c, t, 'type of status.' || c) FROM (VALUES
	('state', 'text'), ('since', 'timestamp with time zone'), ('why', 'text'), ('pid', 'integer'),
	('waiting', 'bigint'), ('oldest', 'interval'), ('delivered', 'bigint'), ('last_error', 'text'),
	('last_error_at', 'timestamp with time zone'), ('last_success', 'timestamp with time zone')) v (c, t);

-- One index on a staging table, and it is enough to plan a tick.
SELECT results_eq(
	$$SELECT pg_get_indexdef(indexrelid) ~ '\(xid, seq\) INCLUDE \(queue\)$' FROM pg_index
	  WHERE indrelid IN ('outbox.staging_1'::regclass, 'outbox.staging_2'::regclass)$$,
	$$VALUES (true), (true)$$,
	'staging tables have one index each, on (xid, seq), with the queue');
SELECT results_eq(
	$$SELECT seqcache FROM pg_sequence WHERE seqrelid = 'outbox.seq'::regclass$$, ARRAY[1::bigint],
	'message numbers come one at a time: sessions must not cache some');

-- What a dump has to carry; not the identity of the relay.
SELECT results_eq(
	$$SELECT c::regclass::text COLLATE "default" FROM pg_extension, unnest(extconfig) c WHERE extname = 'outbox'
		ORDER BY 1$$,
	$$VALUES ('outbox.deferred'), ('outbox.queue'), ('outbox.queue_id'), ('outbox.staging_1'), ('outbox.staging_2') ORDER BY 1$$,
	'a dump carries queues and messages, not the relay''s identity');

-- Every object explains itself.
SELECT is_empty(
	$$SELECT type, identity FROM member WHERE type NOT LIKE '%type%'
	  AND coalesce(obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)), '') = ''$$,
	'every object has a comment');
SELECT is_empty(
	$$SELECT attrelid::regclass, attname FROM pg_attribute
	  WHERE attrelid IN ('outbox.status'::regclass, 'outbox.queue'::regclass) AND attnum > 0
		AND NOT attisdropped AND coalesce(col_description(attrelid, attnum), '') = ''$$,
	'and so has every column of what users read');

-- Settings.
SELECT results_eq(
	$$SELECT name, context, vartype FROM pg_settings WHERE name LIKE 'outbox.%' ORDER BY 1$$,
	$$VALUES ('outbox.max_message_size', 'sighup', 'integer'), ('outbox.redis_url', 'sighup', 'string'),
		('outbox.retention', 'sighup', 'integer') ORDER BY 1$$,
	'the settings, all applied by a reload');
SELECT is(current_setting(name), value, name) FROM (VALUES
	('outbox.retention', '1min'), ('outbox.max_message_size', '1MB')) v (name, value);

SELECT * FROM finish();
ROLLBACK;
