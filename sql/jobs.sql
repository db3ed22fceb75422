-- Jobs for other systems: what the helpers describe, what queues take, and what
-- is readable then.  test/encode has what is refused, and what Redis gets; that
-- workers take it is shown by test/interop.
SET client_min_messages = warning;
SET timezone = 'UTC';

-- the helpers
SELECT outbox_celery_task('proj.add');
SELECT outbox_celery_task('proj.add', '[2, "a \"b\" é"]', '{"k": 12345678901234567890}');
SELECT outbox_celery_task('t', options => '{"expires": "2030-01-01 12:00:00.5+02", "time_limit": 30,
    "soft_time_limit": 2.5, "ignore_result": true, "shadow": "another name", "task": "not this one"}');
SET timezone = 'Asia/Kolkata';
SELECT outbox_celery_task('t', options => '{"expires": "2030-01-01"}') ->> 'expires' AS "of the session";
RESET timezone;
SET timezone = 'UTC';
SELECT outbox_celery_task('t', options => '{"expires": "tea time"}');
SELECT outbox_sidekiq_job('HardJob');
SELECT outbox_sidekiq_job('Billing::InvoiceJob', '[1, {"a": []}]', '{"retry": 5, "tags": ["x"]}');
SELECT outbox_rq_job('proj.add');
SELECT outbox_rq_job('proj.add', '[2, {}]', '{"a": 1}', '{"timeout": 60, "meta": {"b": 2}}');
SELECT outbox_dramatiq_message('add');
SELECT outbox_dramatiq_message('add', '[2, {}]', '{"a": 1}', '{"max_retries": 5}');

-- queues
SELECT outbox_create_queue('j_' || system, system) FROM unnest('{celery,sidekiq,rq,dramatiq}'::text[]) AS system;
SELECT outbox_create_queue('j_celery', 'celery', settings => '{"payload_type": "json"}', if_not_exists => true);
SELECT name, redis_key, payload_type FROM outbox.queue WHERE name LIKE 'j\_%' ORDER BY name;

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
SELECT t.* FROM unnest('{celery,sidekiq,rq,dramatiq}'::text[]) AS system,
    LATERAL try(format('SELECT outbox_create_queue(''j_new'', %L, settings => ''{"payload_type": "text"}'')', system)) AS t;
SELECT t.* FROM unnest('{"options => ''{\"max_retry\": 1}''", "format => ''json''", "maxlen => 5", "consumer_retry => true, on_failure => ''retry''",
        "settings => ''{\"fields\": [\"queue\"]}''"}'::text[]) AS setting,
    LATERAL try(format('SELECT outbox_create_queue(''j_new'', ''celery'', %s)', setting)) AS t;
SELECT t.* FROM try($$SELECT outbox_alter_queue('j_rq', settings => '{"payload_type": "bytea"}')$$) AS t;
SELECT outbox_alter_queue('j_rq', settings => '{"payload_type": "json"}', on_failure => 'retry');

-- messages: from each helper, and by hand in each of a driver's ways, to the byte
SELECT outbox_enqueue('j_celery', outbox_celery_task('proj.add', '[1]', options => '{"expires": "2030-01-01 12:00+02"}')) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_sidekiq', outbox_sidekiq_job('HardJob', '[1]')) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_rq', outbox_rq_job('proj.add', '[1]')) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_dramatiq', outbox_dramatiq_message('add', '[1]', options => '{"max_retries": 1}')) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_dramatiq', outbox_dramatiq_message('add')) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_celery', '{"task":"by.hand","args":[1.50,12345678901234567890]}') IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_celery', '{"task":"json",  "kwargs":{"b":1,"a":2}}'::json) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_celery', '{"task":"bytea"}'::bytea) IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_celery', '\x7b227461736b223a22686578227d') IS NOT NULL AS enqueued;
SELECT outbox_enqueue_json('j_celery', '{"task": "jsonb"}', headers => '{"trace": "1"}', delay => '1 hour') IS NOT NULL AS enqueued;
SELECT outbox_enqueue('j_rq', outbox_rq_job('f'), options => '{"retries_left": 1}');
CREATE VIEW jobs AS
    SELECT q.name AS queue, s.kind, convert_from(s.payload, 'UTF8') AS payload, seq
    FROM (SELECT * FROM outbox.staging_1 UNION ALL SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue AND q.name LIKE 'j\_%';
SELECT queue, kind, payload FROM jobs ORDER BY seq;
SELECT convert_from(payload, 'UTF8') AS delayed FROM outbox.deferred;

-- a dead letter is as readable
INSERT INTO outbox.dead_letter
    SELECT s.*, 'refused', 'ERR no', now() FROM outbox.staging_1 AS s JOIN outbox.queue AS q ON q.id = s.queue AND q.name = 'j_celery'
    UNION ALL
    SELECT s.*, 'refused', 'ERR no', now() FROM outbox.staging_2 AS s JOIN outbox.queue AS q ON q.id = s.queue AND q.name = 'j_celery';
SELECT payload, payload ->> 'task' AS task FROM outbox.dead_letters WHERE queue = 'j_celery' ORDER BY enqueued_at, id;

-- refused: what the helpers let pass, and what is no description
\x on
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', outbox_celery_task(NULL))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', outbox_celery_task('t', '{}'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', outbox_celery_task('t', options => '{"eta": "2030-01-01"}'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', outbox_celery_task('t', options => '{"expires": "infinity"}'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', outbox_celery_task('t', options => '[]'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_sidekiq', outbox_sidekiq_job('C', options => '{"jid": "x"}'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_rq', outbox_rq_job('f', kwargs => '[]'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_dramatiq', outbox_dramatiq_message('a', options => '{"eta": 1}'))$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', 'no JSON')$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', '')$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', NULL)$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', '{"task": "t", "password": "s3cret"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', '{"task": "t"}', options => '{"expires": "2030-01-01"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_celery', '{"task": "t"}', headers => '{"id": "x"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('j_rq', '{"func": "f"}', headers => '{"trace": "x"}')$$);
-- a captured row is no description either
CREATE TABLE j_table (id int PRIMARY KEY);
SELECT * FROM try($$SELECT outbox_capture('j_table', 'j_celery')$$);
CREATE TRIGGER mine AFTER INSERT ON j_table FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('j_celery');
SELECT * FROM try($$INSERT INTO j_table VALUES (1)$$);
\x off
SELECT count(*) FROM j_table;

DROP TABLE j_table;
DROP VIEW jobs;
DROP FUNCTION try(text);
SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'j\_%';
