-- What is enqueued can be looked at: outbox.messages, and outbox_preview(), in a
-- transaction that is rolled back.  test/t/220_messages.pl has the states that need a relay.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE ROLE regress_outbox_app;
CREATE ROLE regress_outbox_other;
CREATE ROLE regress_outbox_watch IN ROLE pg_monitor;
CREATE ROLE regress_outbox_reader IN ROLE pg_read_all_data;
SELECT outbox_create_queue('m_json', 'list', format => 'json');
SELECT outbox_create_queue('m_text', 'list', format => 'raw', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('m_bytes', 'list', format => 'raw');
SELECT outbox_create_queue('m_asynq', 'asynq', redis_key => 'critical');
SELECT outbox_create_queue('m_celery', 'celery', redis_key => 'celery');
SELECT outbox_create_queue('m_others', 'list');
SELECT outbox_create_queue('m_bad', 'commands', options => '{"commands": [["SET", "{key}", "{payload}"], ["PUBLISH", "c", "{now_ms}"]]}');
SELECT outbox_create_queue('m_function', 'function', redis_key => 'f', options => '{"function": "redis.call(\"INCR\", key)"}');
SELECT outbox_grant('regress_outbox_app', queue) FROM unnest('{m_json,m_text,m_bytes,m_asynq,m_celery,m_bad,m_function}'::text[]) AS queue;
SELECT outbox_grant('regress_outbox_other', 'm_json');

-- payloads as their queues have them, in a transaction of the role's own
SET ROLE regress_outbox_app;
SELECT count(*) FROM outbox.messages;
BEGIN;
SELECT count(*) FROM outbox.messages;
SELECT count(outbox_enqueue('m_json', payload, type => 't', key => 'k', headers => '{"h": "v"}'))
    FROM unnest(ARRAY['{"b": 1, "a": [1.50, "é"], "b": 2}', '"text"', '17', '{"z": "\u0000"}', '{"big": 1e400000}']) AS payload;
SELECT count(outbox_enqueue('m_text', payload)) FROM unnest(ARRAY['plain', '{"not": "json"}', '', E'a "b" \\ \n\u0001 é']) AS payload;
SELECT count(outbox_enqueue('m_bytes', payload)) FROM unnest(ARRAY['\x00ff', '\x', '\x7b7d']::bytea[]) AS payload;
SELECT outbox_enqueue('m_json', '{"later": true}', delay => '1 day') AS later \gset
SELECT queue, state, type, key, headers, payload, payload_type, attempts, last_error FROM outbox.messages ORDER BY seq;
SELECT payload ->> 'b' AS b, payload -> 'a' ->> 1 AS a FROM outbox.messages WHERE payload::text LIKE '%1.50%';
SELECT payload #>> '{}' AS text, (payload #>> '{}')::bytea = '\x00ff' AS bytes FROM outbox.messages WHERE queue IN ('m_bytes') ORDER BY seq LIMIT 1;
SELECT state, due_at > now() + interval '23 hours' AS due, payload FROM outbox.messages WHERE id = :'later';
-- rolled back with a savepoint, and what the command itself has enqueued
SAVEPOINT s;
SELECT outbox_enqueue('m_json', '{"gone": 1}') AS gone \gset
SELECT count(*) FROM outbox.messages WHERE id = :'gone';
SELECT count(*) FROM outbox_preview(:'gone');
ROLLBACK TO s;
SELECT count(*) FROM outbox.messages WHERE id = :'gone';
SELECT count(*) FROM outbox_preview(:'gone');
SELECT outbox_preview(outbox_enqueue('m_text', 'at once'));
WITH m AS MATERIALIZED (SELECT outbox_enqueue('m_text', 'in a query') AS id)
SELECT outbox_preview(id) FROM m;
RESET ROLE;
SELECT outbox_cancel(:'later');
SET ROLE regress_outbox_app;
SELECT count(*) FROM outbox.messages WHERE id = :'later';
ROLLBACK;
SET ROLE regress_outbox_app;
SELECT count(*) FROM outbox.messages;

-- the commands of each target; the time of delivery is now()
BEGIN;
SELECT outbox_enqueue('m_celery', '{"task": "proj.add", "args": [2, 3]}') AS id \gset
SELECT c[1], c[2], convert_from(decode(c[3]::json ->> 'body', 'base64'), 'UTF8') AS body, c[3]::json -> 'headers' ->> 'task' AS task,
    c[3]::json -> 'headers' ->> 'id' = :'id' AS id,
    c[3]::json -> 'properties' ->> 'delivery_tag' = format('%s.%s000', :'id', (extract(epoch FROM now()) * 1000000)::bigint) AS now
FROM outbox_preview(:'id') AS c;
CREATE TEMP TABLE task AS SELECT outbox_enqueue('m_asynq', '{"user": 1}', type => 'email', options => o, delay => d) AS id, o, d
    FROM (VALUES (NULL::jsonb, NULL::interval), ('{"unique_ttl": 60}', NULL), ('{"group": "g"}', NULL), ('{"group": "g", "unique_ttl": 60}', NULL),
          (NULL, '1 hour'), ('{"unique_ttl": 60, "group": "g"}', '1 hour'), ('{"message_id": "mine"}', NULL)) AS v (o, d);
SELECT o, d IS NOT NULL AS later, (SELECT array_agg(regexp_replace(replace(replace(replace(a, id::text, 'ID'),
        (extract(epoch FROM now()) * 1000000)::bigint || '000', 'NOW NS'), floor(extract(epoch FROM now()))::bigint::text, 'NOW S'), '^\\x0a05656d61696c.*', 'MSG'))
    FROM unnest(c) AS a) AS command
FROM task, LATERAL (SELECT outbox_preview(id)) AS p (c) WHERE d IS NULL;
SELECT o, (SELECT array_agg(CASE WHEN a ~ '^\d{4,}$' THEN 'N' ELSE regexp_replace(replace(a, id::text, 'ID'), '^\\x0a05656d61696c.*', 'MSG') END)
    FROM unnest(c) AS a) AS command
FROM task, LATERAL (SELECT outbox_preview(id)) AS p (c) WHERE d IS NOT NULL;
SELECT outbox_enqueue('m_bad', 'v', key => 'k') AS id \gset
SELECT array_replace(c, (floor(extract(epoch FROM now()) * 1000))::bigint::text, 'NOW MS') FROM outbox_preview(:'id') AS c;
SELECT outbox_enqueue('m_bad', 'v', key => 'k', delay => '1 day') AS id \gset
SELECT c[3]::bigint > extract(epoch FROM now()) * 1000 + 23 * 3600000 AS "when it is due" FROM outbox_preview(:'id') AS c WHERE c[1] = 'PUBLISH';
SELECT outbox_enqueue('m_bad', 'v', key => 'k:outbox:12345678-1234-1234-1234-123456789abc:1') AS id \gset
SAVEPOINT s;
SELECT outbox_preview(:'id');
ROLLBACK TO s;
SELECT outbox_enqueue('m_function', '\x00', type => 't', key => E'\\x41') AS id \gset
SELECT array_replace(array_replace(c, :'id', 'ID'), (floor(extract(epoch FROM now()) * 1000))::bigint::text, 'NOW MS') FROM outbox_preview(:'id') AS c;
-- one id in two queues: the commands of both
SELECT outbox_enqueue('m_text', 'a', id => '00000000-0000-0000-0000-00000000000a'), outbox_enqueue('m_bytes', '\x80', id => '00000000-0000-0000-0000-00000000000a');
SELECT outbox_preview('00000000-0000-0000-0000-00000000000a');
SELECT outbox_preview('00000000-0000-0000-0000-00000000000b'), outbox_preview(NULL);
ROLLBACK;

-- who sees what: a committed message, others' open ones, and a role that loses its right
SELECT outbox_enqueue('m_json', '{"committed": 1}', type => 't', key => 'secret', headers => '{"h": "secret"}') AS id \gset
SELECT count(*) FROM outbox.messages;
SELECT count(*) FROM outbox_preview(:'id');
RESET ROLE;
BEGIN;
SELECT outbox_enqueue('m_others', '{"of": "the owner"}') AS others \gset
SELECT outbox_enqueue('m_json', '{"of": "the owner"}') AS own \gset
SELECT queue, payload FROM outbox.messages WHERE queue LIKE 'm\_%' ORDER BY seq;
SELECT count(*) FROM outbox_preview(:'id');
SET ROLE regress_outbox_app;
SELECT queue, payload FROM outbox.messages ORDER BY seq;
SELECT count(*) FROM outbox_preview(:'others');
SELECT count(*) FROM outbox_preview(:'own');
SET ROLE regress_outbox_reader;
SELECT queue, key, payload FROM outbox.messages WHERE queue LIKE 'm\_%' ORDER BY seq;
SELECT count(*) FROM outbox_preview(:'id');
SET ROLE regress_outbox_watch;
SELECT queue, state, type, key, headers, payload, payload_type, attempts, last_error, id IS NOT NULL AS id, enqueued_at IS NOT NULL AS at
    FROM outbox.messages WHERE queue LIKE 'm\_%' ORDER BY seq;
SAVEPOINT s;
SELECT count(*) FROM outbox_preview(:'id');
ROLLBACK TO s;
RESET ROLE;
SELECT outbox_grant('regress_outbox_watch', 'm_json');
SET ROLE regress_outbox_watch;
SELECT queue, payload FROM outbox.messages WHERE queue LIKE 'm\_%' ORDER BY seq;
SELECT count(*) FROM outbox_preview(:'id');
SELECT count(*) FROM outbox_preview(:'own');
RESET ROLE;
SELECT outbox_revoke('regress_outbox_app', 'm_json');
SET ROLE regress_outbox_app;
SELECT count(*) FROM outbox.messages;
SELECT count(*) FROM outbox_preview(:'own');
RESET ROLE;
ROLLBACK;
SELECT outbox_revoke('regress_outbox_app');
SET ROLE regress_outbox_app;
SELECT count(*) FROM outbox.messages;
SELECT count(*) FROM outbox_preview(:'id');
RESET ROLE;

-- no lock on staging is left, whatever the transaction does then; a message may be in the toast table
BEGIN;
SELECT count(*) FROM outbox.messages WHERE queue = 'm_json';
SELECT count(*) FROM outbox_preview(:'id');
SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text LIKE '%staging%';
COMMIT;
BEGIN;
SELECT outbox_enqueue('m_text', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10000) AS i)) AS long \gset
SELECT length(payload #>> '{}') FROM outbox.messages WHERE id = :'long';
SELECT length(c[3]), md5(c[3]) = md5((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10000) AS i)) AS same FROM outbox_preview(:'long') AS c;
ROLLBACK;

-- the newest is seen whatever the snapshot is; and a row that is edited ends nothing
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT outbox_enqueue('m_json', '{"n": 1}') AS id1 \gset
UPDATE outbox.staging_1 SET payload = '\x7b' WHERE id = :'id1';
UPDATE outbox.staging_1 SET payload = '\xff' WHERE id = :'id';
SELECT payload FROM outbox.messages WHERE id IN (:'id', :'id1') ORDER BY seq;
ROLLBACK;

-- what comes out of a dump
BEGIN;
INSERT INTO outbox.staging_1 SELECT * FROM outbox.staging_1 WHERE id = :'id';
SELECT state FROM outbox.messages WHERE id = :'id' ORDER BY state;
ROLLBACK;
SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'm\_%';
DROP OWNED BY regress_outbox_app, regress_outbox_other;
DROP ROLE regress_outbox_app, regress_outbox_other, regress_outbox_watch, regress_outbox_reader;
