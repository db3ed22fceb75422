-- What the functions for jobs of other systems make, byte by byte, and what
-- they refuse.  That workers take it is shown by test/interop.
SET client_min_messages = warning;

-- Celery: the end of the message, from within its headers
SELECT outbox_celery_task('proj.add');
SELECT outbox_celery_task('proj.add', '[2, "a \"b\" \\ {id} é"]', '{"k": 12345678901234567890}');
SELECT outbox_celery_task('proj."add"', options => '{"expires": "2030-01-01 12:00:00.5+02", "time_limit": 30,
    "soft_time_limit": 2.5, "ignore_result": true, "shadow": "another name"}');
SET timezone = 'Asia/Kolkata';
SELECT outbox_celery_task('t', options => '{"expires": "2030-01-01"}') ~ '"2029-12-31T18:30:00.000000\+00:00"' AS utc;
RESET timezone;
SELECT (body -> 'headers' ->> 'argsrepr') = left(args::text, 1024) AS shortened,
       (body ->> 'body')::jsonb -> 0 = args AS complete
FROM (SELECT jsonb_agg(i) AS args FROM generate_series(1, 1000) AS i) AS a,
     LATERAL (SELECT ('{"headers":{"x":0' || outbox_celery_task('t', args))::jsonb AS body) AS b;

-- Sidekiq: the end of the job
SELECT outbox_sidekiq_job('HardJob');
SELECT outbox_sidekiq_job('Billing::InvoiceJob', '[1, {"a": []}, "\"é\""]', '{"retry": 5, "tags": ["x"], "dead": false}');

-- RQ: the data of the job
SELECT outbox_rq_job('proj.add');
SELECT outbox_rq_job('proj.add', '[2, {}]', '{"a": "\"é\""}');

-- Dramatiq: the end of the message, from within its options
SELECT outbox_dramatiq_message('add');
SELECT outbox_dramatiq_message('add', '[2, {}]', '{"a": "\"é\""}', '{"max_retries": 5, "time_limit": 1000}');
SELECT outbox_dramatiq_message('add', options => '{}');

-- with what their commands put before it, each is one JSON object, also when
-- names have quotes in them
SELECT system, jsonb_typeof((begin || payload)::jsonb) AS type
FROM (VALUES ('celery', outbox_celery_task('"', '["}"]', '{"\"": "{"}', '{"shadow": "\""}')),
             ('sidekiq', outbox_sidekiq_job('"', '["}"]', '{"tags": ["\"{"]}')),
             ('dramatiq', outbox_dramatiq_message('"', '["}"]', '{"\"": "{"}')),
             ('dramatiq', outbox_dramatiq_message('"', options => '{"\"": "}"}'))) AS p (system, payload),
     LATERAL (SELECT replace(replace(regexp_replace(regexp_replace(a #>> '{}', '\{now_ms\}', '1', 'g'),
                     '\{[a-z_]+\}', '', 'g'), '{{', '{'), '}}', '}')
              FROM jsonb_path_query(outbox_commands(system), '$.commands[*][*]') AS a
              WHERE a #>> '{}' LIKE '%"%' AND a #>> '{}' LIKE '%{payload}') AS t (begin);

-- the commands
SELECT system, c FROM unnest(ARRAY['celery', 'sidekiq', 'rq', 'dramatiq']) AS system,
    LATERAL jsonb_array_elements(outbox_commands(system) -> 'commands') WITH ORDINALITY AS e (c, n)
ORDER BY system, n;

-- queues take them, and messages
SELECT outbox_create_queue('j_' || system, 'commands', options => outbox_commands(system))
FROM unnest(ARRAY['celery', 'sidekiq', 'rq', 'dramatiq']) AS system;
SELECT outbox_enqueue('j_sidekiq', outbox_sidekiq_job('HardJob', to_jsonb(ARRAY[i])),
                      id => '11111111-1111-7111-8111-111111111111')
FROM generate_series(1, 2) AS i;
SELECT s.kind, convert_from(s.payload, 'UTF8') AS payload
FROM (SELECT * FROM outbox.staging_1 UNION ALL SELECT * FROM outbox.staging_2) AS s
JOIN outbox.queue AS q ON q.id = s.queue AND q.name = 'j_sidekiq' ORDER BY seq;
SELECT outbox_drop_queue('j_' || system, force => true)
FROM unnest(ARRAY['celery', 'sidekiq', 'rq', 'dramatiq']) AS system;

-- what is refused
CREATE FUNCTION try(command text) RETURNS TABLE (code text, message text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN QUERY SELECT '00000', 'accepted', '';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE,
        message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;

\x on
SELECT * FROM try($$SELECT outbox_celery_task(NULL)$$);
SELECT * FROM try($$SELECT outbox_celery_task('')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', NULL)$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', '{}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', kwargs => NULL)$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', kwargs => '[]')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '[]')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"eta": "2030-01-01"}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"time_limit": "60"}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"expires": 60}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"expires": null}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"expires": "infinity"}')$$);
SELECT * FROM try($$SELECT outbox_celery_task('t', options => '{"expires": "tea time"}')$$);

SELECT * FROM try($$SELECT outbox_sidekiq_job(NULL)$$);
SELECT * FROM try($$SELECT outbox_sidekiq_job('')$$);
SELECT * FROM try($$SELECT outbox_sidekiq_job('J', NULL)$$);
SELECT * FROM try($$SELECT outbox_sidekiq_job('J', '"a"')$$);
SELECT * FROM try($$SELECT outbox_sidekiq_job('J', options => '[]')$$);
SELECT code, message FROM unnest(ARRAY['class', 'args', 'jid', 'queue', 'at', 'created_at', 'enqueued_at']) AS key,
    LATERAL try(format($$SELECT outbox_sidekiq_job('J', options => '{"retry": 1, "%s": 0}')$$, key));

SELECT * FROM try($$SELECT outbox_rq_job(NULL)$$);
SELECT * FROM try($$SELECT outbox_rq_job('')$$);
SELECT * FROM try($$SELECT outbox_rq_job('f', NULL)$$);
SELECT * FROM try($$SELECT outbox_rq_job('f', '1')$$);
SELECT * FROM try($$SELECT outbox_rq_job('f', kwargs => NULL)$$);
SELECT * FROM try($$SELECT outbox_rq_job('f', kwargs => '[]')$$);

SELECT * FROM try($$SELECT outbox_dramatiq_message(NULL)$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('')$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', NULL)$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', '{}')$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', kwargs => NULL)$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', kwargs => '1')$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', options => '"a"')$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', options => '{"eta": 1}')$$);
SELECT * FROM try($$SELECT outbox_dramatiq_message('a', options => '{"redis_message_id": "1"}')$$);

SELECT * FROM try($$SELECT outbox_commands(NULL)$$);
SELECT * FROM try($$SELECT outbox_commands('kafka')$$);
\x off
DROP FUNCTION try(text);
