-- The settings of a queue that are keys of an argument, and queues that exist.
SET client_min_messages = notice;

CREATE FUNCTION try(command text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN QUERY SELECT '00000', 'accepted', '', '';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
CREATE VIEW settings AS
    SELECT name, payload_type AS type, fields, server, partitions FROM outbox.queue WHERE name LIKE 's\_%' ORDER BY id;

-- none, each, all
SELECT outbox_create_queue('s_none', settings => '{}');
SELECT outbox_create_queue('s_null', settings => NULL);
SELECT outbox_create_queue('s_type', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('s_json', settings => '{"payload_type": "json", "fields": []}');
SELECT outbox_create_queue('s_fields', settings => '{"fields": ["queue", "enqueued_at", "queue"]}');
SELECT outbox_create_queue('s_list', 'list', settings => '{"fields": ["queue"], "payload_type": "bytea"}');
SELECT outbox_create_queue('s_publish', 'publish', settings => '{"fields": ["enqueued_at"]}');
SELECT outbox_create_queue('s_raw', 'list', format => 'raw', settings => '{"fields": null, "payload_type": "json"}');
SELECT outbox_create_queue('s_asynq', 'asynq', settings => '{"fields": [], "payload_type": "json"}');
SELECT * FROM settings;

-- altered; what is not said stays
SELECT outbox_alter_queue('s_fields', settings => '{"payload_type": "bytea"}');
SELECT outbox_alter_queue('s_type', settings => '{"fields": ["queue"]}');
SELECT outbox_alter_queue('s_list', 'retry', settings => '{"fields": null}');
SELECT outbox_alter_queue('s_publish', settings => '{"fields": ["queue"], "payload_type": "text"}');
SELECT outbox_alter_queue('s_none', settings => '{}');
SELECT outbox_alter_queue('s_null', max_attempts => 2);
SELECT outbox_alter_queue('s_json', settings => NULL);
SELECT * FROM settings;
SELECT outbox_alter_queue('s_type', settings => '{"fields": []}');
BEGIN;
SELECT outbox_alter_queue('s_type', settings => '{"payload_type": "json"}');
SELECT outbox_enqueue('s_type', 'words');
ROLLBACK;
SELECT type, fields FROM settings WHERE name = 's_type';

-- to and fro: what is staged or deferred keeps the type that it was enqueued with
SELECT outbox_enqueue('s_type', 'words', delay => d) IS NOT NULL AS ok FROM unnest('{0, 1 day}'::interval[]) AS d;
SELECT outbox_alter_queue('s_type', settings => '{"payload_type": "bytea"}');
SELECT outbox_enqueue('s_type', '\x00', delay => d) IS NOT NULL AS ok FROM unnest('{0, 1 day}'::interval[]) AS d;
SELECT outbox_alter_queue('s_type', settings => '{"payload_type": "json"}');
SELECT outbox_enqueue('s_type', '{}', delay => d) IS NOT NULL AS ok FROM unnest('{0, 1 day}'::interval[]) AS d;
SELECT outbox_alter_queue('s_type', settings => '{"payload_type": "text"}');
SELECT outbox_enqueue('s_type', 'words again', delay => d) IS NOT NULL AS ok FROM unnest('{0, 1 day}'::interval[]) AS d;
SELECT place, kind, payload FROM (SELECT 'staged' AS place, seq, kind, payload, queue FROM outbox.staging_1 UNION ALL
    SELECT 'staged', seq, kind, payload, queue FROM outbox.staging_2 UNION ALL
    SELECT 'deferred', seq, kind, payload, queue FROM outbox.deferred) AS s
WHERE queue = (SELECT id FROM outbox.queue WHERE name = 's_type') ORDER BY place, seq;

-- refused
SELECT s, t.* FROM (VALUES ('[]'), ('"payload_type"'), ('null'), ('1'), ('{"payload_types": "json"}'), ('{"Payload_type": "json"}'), ('{"": 1}'),
    ('{"payload_type": "text", "partitions": 0}'), ('{"server": "other"}'),
    ('{"payload_type": "jsonb"}'), ('{"payload_type": "JSON"}'), ('{"payload_type": ""}'), ('{"payload_type": null}'), ('{"payload_type": 1}'),
    ('{"payload_type": ["json"]}'), ('{"payload_type": {"json": 1}}'), ('{"payload_type": true}'),
    ('{"fields": "queue"}'), ('{"fields": {"queue": true}}'), ('{"fields": ["id"]}'), ('{"fields": ["queue", null]}'), ('{"fields": ["queue", ["enqueued_at"]]}'),
    ('{"fields": [1]}'), ('{"fields": 1}'), ('{"fields": false}'), ('{"fields": [""]}')) AS v (s),
    LATERAL try(format($$SELECT outbox_create_queue('s_x', settings => %L)$$, s)) AS t;
SELECT s, t.code FROM (VALUES ('[]'), ('{"payload_types": "json"}'), ('{"payload_type": null}'), ('{"fields": ["id"]}')) AS v (s),
    LATERAL try(format($$SELECT outbox_alter_queue('s_none', settings => %L)$$, s)) AS t;
-- fields are for outbox's own formats
SELECT args, t.* FROM (VALUES ($$'asynq'$$), ($$'watermill'$$), ($$'commands', options => '{"commands": [["PING"]]}'$$), ($$'function', options => '{"function": "return"}'$$),
    ($$'list', format => 'raw'$$), ($$'publish', format => 'raw'$$)) AS v (args),
    LATERAL try(format($$SELECT outbox_create_queue('s_x', %s, settings => '{"fields": ["queue"]}')$$, args)) AS t;
SELECT name, t.* FROM unnest('{s_raw, s_asynq}'::text[]) AS name,
    LATERAL try(format($$SELECT outbox_alter_queue(%L, settings => '{"fields": ["enqueued_at"]}')$$, name)) AS t;
SELECT * FROM settings;
-- nor by other means
\set VERBOSITY terse
UPDATE outbox.queue SET payload_type = 'xml' WHERE name = 's_none';
UPDATE outbox.queue SET fields = '{id}' WHERE name = 's_none';
UPDATE outbox.queue SET partitions = 0 WHERE name = 's_none';
\set VERBOSITY default

-- a queue that exists: the same settings, or what differs
SELECT outbox_create_queue('s_new', if_not_exists => true);
SELECT outbox_create_queue('s_new', if_not_exists => true);
SELECT outbox_create_queue('s_new', 'stream', 's_new', NULL, settings => '{"payload_type": "json", "fields": null}', if_not_exists => true);
SELECT outbox_create_queue('s_new', if_not_exists => NULL);
SELECT outbox_create_queue('s_new');
SELECT outbox_create_queue('s_new', settings => '{"payload_type": "text"}', if_not_exists => true);
SELECT outbox_create_queue('s_new', 'list', 'other', maxlen => NULL, on_failure => 'retry', settings => '{"fields": ["queue"]}', if_not_exists => true);
SELECT outbox_create_queue('s_new', maxlen => 1, max_attempts => 1, retry_delay => '0', retry_backoff => 1, retry_max_delay => '0', expires_after => '1 day', if_not_exists => true);
-- what is wrong is wrong, also for one that exists
SELECT outbox_create_queue('s_new', settings => '{"payload_type": "xml"}', if_not_exists => true);
-- whatever it had: all settings, altered, paused
SELECT outbox_create_queue('s_all', 'stream', 's:all', NULL, 10, 'retry', 3, '5 seconds', 1.5, '1 hour', '1 day', NULL, true,
    '{"payload_type": "bytea", "fields": ["enqueued_at", "queue"]}', true) FROM generate_series(1, 2);
SELECT outbox_pause_queue('s_all');
SELECT outbox_create_queue('s_all', 'stream', 's:all', NULL, 10, 'retry', 3, '5 seconds', 1.5, '1 hour', '1 day', '{}', true,
    '{"fields": ["queue", "enqueued_at"], "payload_type": "bytea"}', true);
SELECT outbox_alter_queue('s_all', expires_after => '0', consumer_retry => false);
SELECT outbox_create_queue('s_all', 'stream', 's:all', NULL, 10, 'retry', 3, '5 seconds', 1.5, '1 hour', '1 day', NULL, true,
    '{"payload_type": "bytea", "fields": ["enqueued_at", "queue"]}', true);
SELECT outbox_create_queue('s_task', 'asynq', options => '{"max_retry": 3, "timeout": "1 minute"}', if_not_exists => true) FROM generate_series(1, 2);
SELECT outbox_create_queue('s_task', 'asynq', options => '{"max_retry": 4, "timeout": "1 minute"}', if_not_exists => true);
SELECT outbox_create_queue('s_raw', 'list', format => 'raw', if_not_exists => true);
SELECT outbox_create_queue('s_ünï "q"', if_not_exists => true) FROM generate_series(1, 2);
-- in one transaction, and dropped and made again
BEGIN;
SELECT outbox_drop_queue('s_new');
SELECT outbox_create_queue('s_new', settings => '{"payload_type": "text"}', if_not_exists => true);
SELECT outbox_enqueue('s_new', 'words') IS NOT NULL AS ok;
ROLLBACK;
SELECT type FROM settings WHERE name = 's_new';

SELECT outbox_drop_queue(name, force => true) FROM settings;
DROP VIEW settings;
DROP FUNCTION try(text);
