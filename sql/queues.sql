-- Queues that get another name, key in Redis, target or format; that are purged;
-- whose dead letters are discarded.
SET client_min_messages = warning;
CREATE ROLE regress_outbox_queues;
CREATE VIEW queue AS
    SELECT queue, target, redis_key, format, payload_type AS type, fields, maxlen, options, consumer_retry AS returns, view
    FROM outbox.queue_settings WHERE queue LIKE 'x\_%' OR length(queue) > 63 ORDER BY queue;
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', sqlstate || ' ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END;
$$;
\pset format unaligned
\pset tuples_only on

-- settings, for who monitors: all but the id and what is not in use yet
SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'outbox.queue'::regclass AND attnum > 0 AND attname NOT IN
    (SELECT attname FROM pg_attribute WHERE attrelid = 'outbox.queue_settings'::regclass);

-- each alone and all together; the id is another one, the view and its grants go along
SELECT outbox_create_queue('x_a', maxlen => 5, settings => '{"fields": ["queue"]}');
SELECT outbox_grant('regress_outbox_queues', 'x_a');
SELECT id AS before, created_at FROM outbox.queue WHERE name = 'x_a' \gset
SELECT outbox_alter_queue('x_a', settings => '{"name": "x_b"}');
TABLE queue;
SELECT outbox_alter_queue('x_b', settings => '{"redis_key": "x:b"}');
SELECT outbox_alter_queue('x_b', settings => '{"target": "list"}');
TABLE queue;
SELECT outbox_alter_queue('x_b', settings => '{"format": "raw"}');
TABLE queue;
SELECT outbox_alter_queue('x_b', maxlen => 7, settings => '{"name": "x_a", "redis_key": "x_a", "target": "stream", "fields": ["enqueued_at"], "payload_type": "text"}');
TABLE queue;
SELECT id > :before AS renewed, created_at = :'created_at' AS same FROM outbox.queue WHERE name = 'x_a';
SELECT has_table_privilege('regress_outbox_queues', 'outbox_queues.x_a', 'INSERT') AS may, to_regclass('outbox_queues.x_b') AS old;
SELECT obj_description('outbox_queues.x_a'::regclass), pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'outbox_queues.x_a'::regclass;
-- what is as it was changes nothing
SELECT id AS before FROM outbox.queue WHERE name = 'x_a' \gset
SELECT outbox_alter_queue('x_a', max_attempts => 3, settings => '{"name": "x_a", "redis_key": "x_a", "target": "stream"}');
SELECT id = :before AS same, max_attempts, payload_type, fields, maxlen FROM outbox.queue WHERE name = 'x_a';
-- long names, whose views are named by the id
SELECT outbox_alter_queue('x_a', settings => jsonb_build_object('name', repeat('long', 30)));
SELECT q.queue = repeat('long', 30) AS long, view = format('outbox_queues."queue %s"', id) AS named,
    has_table_privilege('regress_outbox_queues', view::regclass, 'INSERT') AS may
FROM outbox.queue_settings AS q JOIN outbox.queue AS i ON i.name = q.queue WHERE length(q.queue) = 120;
SELECT outbox_purge_queue(repeat('long', 30), true);
SELECT view = format('outbox_queues."queue %s"', id) AS named,
    has_table_privilege('regress_outbox_queues', view::regclass, 'INSERT') AS may
FROM outbox.queue_settings AS q JOIN outbox.queue AS i ON i.name = q.queue WHERE length(q.queue) = 120;
SELECT outbox_alter_queue(repeat('long', 30), settings => '{"name": "x_a"}');
SELECT view FROM queue;
-- rolled back
BEGIN;
SELECT outbox_alter_queue('x_a', settings => '{"name": "x_other", "target": "list"}');
SELECT outbox_enqueue('x_other', '{}') IS NOT NULL AS ok;
SELECT try($$SELECT outbox_enqueue('x_a', '{}')$$);
ROLLBACK;
SELECT queue, target, view FROM queue;

-- with another target the settings are those of a new queue
SELECT outbox_create_queue('x_all'), outbox_create_queue('x_new');
SELECT try($$SELECT outbox_alter_queue('x_all', options => '{"max_retry": 3}', settings => '{"target": "asynq"}')$$);
SELECT target, payload_type, options FROM outbox.queue_settings WHERE queue = 'x_all';
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "celery"}')$$);
SELECT target, payload_type, options FROM outbox.queue_settings WHERE queue = 'x_all';
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "function"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "list", "format": "raw"}')$$);
SELECT target, format, payload_type FROM outbox.queue_settings WHERE queue = 'x_all';
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "publish"}')$$);
SELECT target, format, payload_type FROM outbox.queue_settings WHERE queue = 'x_all';

-- what is refused
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"name": "x_new"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"name": ""}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"redis_key": ""}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "kafka"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"format": "xml"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "stream", "format": "json"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"name": null}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', maxlen => 3, settings => '{"target": "list"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"redis_name": "x"}')$$);
SELECT try($$SELECT outbox_create_queue('x_more', settings => '{"redis_key": "x"}')$$);
SELECT try($$SELECT outbox_create_queue('x_more', settings => '{"redis_name": "x"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_none', settings => '{"name": "x"}')$$);
SELECT outbox_alter_queue('x_new', on_failure => 'retry', consumer_retry => true);
SELECT try($$SELECT outbox_alter_queue('x_new', settings => '{"redis_key": "x:new"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_new', consumer_retry => false, settings => '{"target": "list"}')$$);
INSERT INTO outbox.consumer_position SELECT id, 'localhost:6379/0', 'x_new', '1-1', '2-2' FROM outbox.queue WHERE name = 'x_new';
SELECT outbox_alter_queue('x_new', settings => '{"name": "x_new 2"}');
SELECT retry_id, dead_id FROM outbox.consumer_position JOIN outbox.queue ON id = queue WHERE name = 'x_new 2';
-- tables that are captured to it
CREATE TABLE captured (id int PRIMARY KEY);
SELECT outbox_alter_queue('x_all', settings => '{"target": "stream"}');
SELECT outbox_capture('captured', 'x_all');
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"name": "x_captured"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"target": "sidekiq"}')$$);
SELECT try($$SELECT outbox_alter_queue('x_all', settings => '{"redis_key": "x:captured"}')$$);
BEGIN;
SELECT outbox_uncapture('captured', 'x_all'), outbox_alter_queue('x_all', settings => '{"name": "x_captured"}'), outbox_capture('captured', 'x_captured');
COMMIT;
INSERT INTO captured VALUES (1);
SELECT outbox_create_queue('x_' || t, t) FROM unnest(ARRAY['celery', 'sidekiq', 'rq', 'dramatiq']) AS t;
SELECT try(format('SELECT outbox_capture(%L, %L)', 'captured', 'x_' || t)) FROM unnest(ARRAY['celery', 'sidekiq', 'rq', 'dramatiq']) AS t;

-- what is left: nothing may be
CREATE FUNCTION alter_it() RETURNS text LANGUAGE sql AS
    $$SELECT substring(try('SELECT outbox_alter_queue(''x_a'', settings => ''{"redis_key": "x:elsewhere"}'')') FROM '^[^\n]*')$$;
SELECT outbox_enqueue('x_a', 'later', key => 'k', delay => '1 hour') IS NOT NULL AS ok;
SELECT alter_it();
SELECT outbox_cancel_key('x_a', 'k');
SELECT id AS a FROM outbox.queue WHERE name = 'x_a' \gset
INSERT INTO outbox.dead_letter
    SELECT '3', 1, now(), gen_random_uuid(), '0/1', :a, 1, 'j', NULL, NULL, NULL, '{}', NULL, NULL, 'expired', NULL, now();
SELECT alter_it();
SELECT outbox_discard_queue('x_a');
SELECT outbox_discard_queue('x_a');
SELECT try($$SELECT outbox_discard_queue('x_none')$$);
SELECT alter_it();
DELETE FROM outbox.dead_letter WHERE queue = :a;
BEGIN;
SELECT outbox_enqueue('x_a', 'own') IS NOT NULL AS ok;
SELECT try($$SELECT outbox_alter_queue('x_a', settings => '{"redis_key": "x:elsewhere"}')$$);
ROLLBACK;

-- purge: what waits goes, dead letters and rights stay; others' messages do
SELECT outbox_create_queue('x_p'), outbox_grant('regress_outbox_queues', 'x_p');
SELECT outbox_purge_queue('x_p');
SELECT id AS p FROM outbox.queue WHERE name = 'x_p' \gset
SELECT outbox_enqueue('x_p', to_jsonb(i)) IS NOT NULL AS ok FROM generate_series(1, 3) AS i;
SELECT outbox_enqueue('x_p', '4', delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_enqueue('x_captured', '{}', delay => '1 hour') IS NOT NULL AS ok;
INSERT INTO outbox.dead_letter
    SELECT '3', 2, now(), 'dddddddd-dddd-7ddd-8ddd-dddddddddddd', '0/1', :p, 1, 'j', NULL, NULL, NULL, '{}', NULL, NULL, 'refused', 'ERR', now();
SELECT substring(try($$SELECT outbox_purge_queue('x_p')$$) FROM '^[^\n]*');
BEGIN;
SELECT outbox_purge_queue('x_p', force => true);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT outbox_purge_queue('x_p', force => true);
SELECT outbox_enqueue('x_p', '"after"') IS NOT NULL AS ok;
COMMIT;
SELECT count(*) FROM outbox.deferred WHERE queue = :p;
SELECT convert_from(payload, 'UTF8') FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'x_p');
SELECT count(*) FROM outbox.deferred WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'x_captured');
SELECT id, queue, last_error FROM outbox.dead_letters WHERE queue = 'x_p';
SELECT has_table_privilege('regress_outbox_queues', 'outbox_queues.x_p', 'INSERT') AS may;
SELECT outbox_replay('dddddddd-dddd-7ddd-8ddd-dddddddddddd');
SELECT try($$SELECT outbox_purge_queue('x_none')$$);
SELECT try($$SELECT outbox_purge_queue(NULL)$$);
-- then it can be altered at once
SELECT outbox_purge_queue('x_p', force => true);
SELECT try($$SELECT outbox_alter_queue('x_p', settings => '{"name": "x_q", "target": "list"}')$$);
SELECT queue, target FROM queue WHERE queue = 'x_q';

-- the same length of time, in other words
SELECT outbox_create_queue('x_time', expires_after => '1 day', retry_delay => '1 minute');
SET client_min_messages = notice;
SELECT outbox_create_queue('x_time', expires_after => '24 hours', retry_delay => '60 seconds', if_not_exists => true);
SELECT try($$SELECT outbox_create_queue('x_time', 'list', 'x:time', expires_after => '25 hours', if_not_exists => true)$$);

-- a view that somebody has dropped, or a restore has not made
DROP VIEW outbox_queues.x_time, outbox_queues.x_q;
SELECT view IS NULL AS missing FROM queue WHERE queue = 'x_time';
SELECT outbox_grant('regress_outbox_queues', 'x_time');
SELECT queue, view FROM queue WHERE queue IN ('x_time', 'x_q') ORDER BY queue;
SELECT outbox_grant('regress_outbox_queues');
SELECT count(*) FROM outbox.queue_settings WHERE view IS NULL OR NOT has_table_privilege('regress_outbox_queues', view::regclass, 'INSERT');

SET client_min_messages = warning;
SELECT outbox_revoke('regress_outbox_queues');
SELECT outbox_uncapture('captured', 'x_captured');
DROP TABLE captured;
SELECT outbox_drop_queue(queue, force => true) FROM queue;
DELETE FROM outbox.consumer_position AS p WHERE NOT EXISTS (SELECT FROM outbox.queue WHERE id = p.queue);
DROP VIEW queue;
DROP FUNCTION try(text), alter_it();
DROP OWNED BY regress_outbox_queues;
DROP ROLE regress_outbox_queues;
