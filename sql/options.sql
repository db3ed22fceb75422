-- Options of queues and messages: what is taken, how it is kept, what is refused.
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT outbox_create_queue('o_asynq', 'asynq');
SELECT outbox_create_queue('o_defaults', 'asynq', options => '{"max_retry": 3, "timeout": "1 minute", "unique_ttl": 60, "group": "g", "retention": "1 day"}');
SELECT outbox_create_queue('o_water', 'watermill', maxlen => 1000);
SELECT outbox_create_queue('o_cmd', 'commands', options => '{"commands": [["lpush", "{redis_key}", "{payload}", 1, -2.5], ["JSON.SET", "x{{}}", "$", "{id}{id}{header.a.b}"]]}');
SELECT outbox_create_queue('o_fun', 'function', options => '{"function": "return"}');
SELECT outbox_create_queue('o_stream', consumer_retry => true, on_failure => 'retry', options => '{}');
SELECT name, target, options, consumer_retry FROM outbox.queue WHERE name LIKE 'o\_%' ORDER BY id;

-- what a task is staged with: seconds, and its queue's options too
CREATE VIEW options AS
    SELECT q.name, s.options - 'process_at' AS options, (s.options ->> 'process_at')::bigint AS process_at
    FROM (SELECT * FROM outbox.staging_1 UNION ALL SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name LIKE 'o\_%' ORDER BY seq;
BEGIN;
SELECT count(outbox_enqueue('o_asynq', 'x', type => 't', options => o::jsonb)) FROM (VALUES
    (NULL), ('{}'), ('{"max_retry": 25}'), ('{"max_retry": 0}'), ('{"max_retry": 2147483647}'),
    ('{"timeout": 30}'), ('{"timeout": "1 hour 0.1 s"}'), ('{"timeout": 0}'),
    ('{"deadline": 1800000000}'), ('{"deadline": "2100-01-01 00:00:00.5+00"}'),
    ('{"retention": "P1D"}'), ('{"group": "a group"}'),
    ('{"unique_ttl": 10}'), ('{"unique_ttl": 10, "unique_key": "ünï"}')) AS v (o);
SELECT * FROM options;
ROLLBACK;
BEGIN;
SELECT count(outbox_enqueue('o_defaults', '{}'::jsonb, type => 't', options => o::jsonb)) FROM (VALUES
    (NULL), ('{"max_retry": 25, "unique_key": "k", "timeout": 0, "retention": 0}')) AS v (o);
SELECT * FROM options;
ROLLBACK;

-- a task for later isn't deferred: asynq has a schedule of its own
BEGIN;
SELECT count(outbox_enqueue('o_asynq', 'x', type => 't', deliver_at => '2100-01-01 00:00:00.5+00'));
SELECT count(outbox_enqueue('o_asynq', 'x', type => 't', delay => '0'));
SELECT * FROM options;
SELECT count(*) FROM outbox.deferred;
ROLLBACK;

-- altered, and taken away
SELECT outbox_alter_queue('o_defaults', options => '{"max_retry": 4}');
SELECT outbox_alter_queue('o_defaults', max_attempts => 4);
SELECT options, max_attempts FROM outbox.queue WHERE name = 'o_defaults';
SELECT outbox_alter_queue('o_defaults', options => '{}');
SELECT outbox_alter_queue('o_stream', consumer_retry => false);
SELECT name, options, consumer_retry FROM outbox.queue WHERE name IN ('o_defaults', 'o_stream') ORDER BY id;

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
-- messages
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => E' \t')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '[]')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"process_at": 1}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"max_retry": -1}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"max_retry": 2147483648}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"max_retry": 1.5}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"max_retry": "3"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"timeout": "soon"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"timeout": "-1 second"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"timeout": null}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"timeout": {"a": 1}}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"deadline": "infinity"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"deadline": 1e100}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"deadline": "4000-01-01"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"deadline": "294276-12-31"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', deliver_at => '4000-01-01')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', deliver_at => '294276-12-31')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"group": " "}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"group": 5}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_asynq', 'x', type => 't', options => '{"unique_key": "k"}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_stream', '{}', options => '{"max_retry": 1}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_stream', '{}', options => '{}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('o_water', 'x', headers => '{"_watermill_message_uuid": "x"}')$$);
-- queues
SELECT * FROM try($$SELECT outbox_create_queue('o_x', options => '{"a": 1}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', options => '"a"')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', maxlen => 5)$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', format => 'raw')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', options => '{"deadline": 5}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', options => '{"unique_key": "x"}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', options => '{"retries": 5}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'asynq', consumer_retry => true)$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', consumer_retry => NULL)$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'function')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'function', options => '{"function": ""}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'function', options => '{"function": "x", "more": 1}')$$);
SELECT * FROM try($$SELECT outbox_create_queue('o_x', 'commands')$$);
\x off
SELECT outbox_create_queue('o_func', 'function', options => '{"function": "return"}');
SELECT replace(left(f, 40), E'\n', ' ') AS f, t.message FROM (VALUES
    ('end function f()'), ('if x then end end do'), ('do'), (E'\n\nuntil'), (E'f()\nwhile x do\nf()'), (E'repeat\nend'), ('--[[ end'), (E'"end\nif'),
    ('x = [==[ end ]]'), (E'return "\\'), ('end --'), (repeat('do ', 251) || repeat('end ', 251)),
    ('local endx = 1 -- end'), ('--[==[ end ]] end ]==] f()'), (E'return "end\\" end"'), ('return [[ end ]]'), ('return 3end'),
    ('for i = 1, 2 do while x do repeat if y then f(function() end) end until z end end')) AS v (f),
    LATERAL try(format('SELECT outbox_alter_queue(''o_func'', options => jsonb_build_object(''function'', %L::text))', f)) AS t;
SELECT o, t.code, t.message, t.hint FROM (VALUES
    ('{}'), ('[]'), ('"LPUSH k v"'), ('["LPUSH", "k", "v"]'), ('[[]]'), ('[[["LPUSH"]]]'), ('[["LPUSH k v"]]'),
    ('[["LPUSH", "k", null]]'), ('[["LPUSH", "k", true]]'), ('[["FLUSHALL"]]'), ('[["{type}", "k", "v"]]'), ('[["select", 1]]'), ('[[1, "k"]]'),
    ('[["SET", "k", "{pay load}"]]'), ('[["SET", "k", "{payload"]]'), ('[["SET", "k", "payload}"]]'), ('[["SET", "k", "{header.}"]]'),
    ('[["SET", "k", "{}"]]'), ('[["SET", "k", "{{{payload}}}"]]'), ('[["SET", "k", "{{payload"]]')) AS v (o),
    LATERAL try(format('SELECT outbox_alter_queue(''o_cmd'', options => jsonb_build_object(''commands'', %L::jsonb))', o)) AS t;

SELECT count(*) FROM options;
SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'o\_%' ORDER BY id;
DROP VIEW options;
DROP FUNCTION try(text);
