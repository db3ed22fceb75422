-- Jobs for Celery, Sidekiq, RQ and Dramatiq: the commands, and what is no
-- description of a job.  That workers take it is shown by test/interop.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue(t)) FROM unnest('{celery,sidekiq,rq,dramatiq}'::text[]) t;

CREATE FUNCTION job(system text, payload text, headers jsonb DEFAULT NULL, redis_key text DEFAULT 'mail') RETURNS text
    LANGUAGE sql AS $$SELECT shown(batch(queue($1, $4), message(bytes($2), 'a type', 'a key', $3, kind => 'j')))$$;

-- Celery: the body is base64
SELECT job('celery', '{"task": "proj.add"}');
CREATE FUNCTION celery(payload text, headers jsonb DEFAULT NULL, redis_key text DEFAULT 'mail') RETURNS text
    LANGUAGE sql AS $$
    WITH m AS (SELECT convert_from((batch(queue('celery', $3), message(bytes($1), headers => $2, kind => 'j')))[5], 'UTF8') AS m)
    SELECT regexp_replace(m, '"body":"[^"]*"', '"body":<' ||
        convert_from(decode(m::json ->> 'body', 'base64'), 'UTF8') || '>') FROM m$$;
SELECT celery('{"task": "proj.add"}');
SELECT celery('{"task":"proj.\"add\"\u00e9","args":[2, "a \"b\" \\ {id} é\u20ac", 1e2, 12345678901234567890, -0],
    "kwargs" : {"z": 1, "a": {"z": 0.10, "z": 2}, "": null}}');
SELECT celery('{"task": "t", "expires": "2030-01-01 12:00:00.5+02", "time_limit": 30, "soft_time_limit": 2.5,
    "ignore_result": true, "shadow": "another \"name\""}');
SELECT celery('{"task": "t", "args": null, "kwargs": null, "expires": null, "time_limit": null, "soft_time_limit": null,
    "ignore_result": null, "shadow": null}') = celery('{"task": "t"}') AS "null is nothing";
SELECT celery('{"task": "t", "ignore_result": false}') ~ '"ignore_result":false' AS "not ignored",
       celery('{"task": "t"}') ~ '"ignore_result":null' AS "as declared";
SELECT celery('{"task": "t"}', '{"traceparent": "00-\"1\"", "Étage": "2"}', 'a "queue" \');
SELECT celery('{"task": "t"}', '{}') = celery('{"task": "t"}') AS "no headers";
-- of long arguments the beginning is shown, up to the end of a character
SELECT length(m ->> 'argsrepr'), right(m ->> 'argsrepr', 3), length(m ->> 'kwargsrepr')
FROM (SELECT substring(celery(format('{"task": "t", "args": ["%s"], "kwargs": {"k": "%s"}}', repeat('x', 1021) || 'é', repeat('y', 2000)))
                       FROM '"headers":(.*),"properties"')::json AS m) AS h;
-- times
SELECT e, celery(format('{"task": "t", "expires": "%s"}', e))::text ~ '"expires":"2030-01-31T23:59:59.123456\+00:00"' AS same
FROM unnest('{2030-01-31T23:59:59.123456Z, 2030-01-31 23:59:59.123456789z, 2030-02-01T01:59:59.123456+02:00,
    2030-02-01T05:29:59.123456+0530, 2030-01-31T12:59:59.123456-11}'::text[]) AS e;
SELECT substring(celery(format('{"task": "t", "expires": "%s"}', e)) FROM '"expires":"([^"]*)"')
FROM unnest('{1970-01-01T00:00Z, 9998-12-31T23:59:59Z, 2028-02-29 00:00:00.1+00}'::text[]) AS e;

-- Sidekiq
SELECT job('sidekiq', '{"class": "HardJob"}');
SELECT job('sidekiq', '{"args": [1, {"a": []}, "\"é\""], "dead": false, "class": "Billing::InvoiceJob", "retry": 5, "tags": ["x", "\""],
    "backtrace": 3, "retry_for": 60, "retry_queue": "low", "wrapped": "Other"}');
SELECT job('sidekiq', '{"class": "J", "retry": false, "dead": null, "backtrace": true}', '{"traceparent": "00", "locale": "é"}', 'a "queue"');

-- RQ
SELECT job('rq', '{"func": "proj.add"}');
SELECT job('rq', '{"func": "a.\u0062", "args": [2, {}], "kwargs": {"a": "\"é\""}, "description": "t\u00e9\n\ud83d\ude00 \"x\"", "timeout": -1,
    "result_ttl": 0, "failure_ttl": 1000000000, "retries_left": 3, "retry_intervals": [10, 0], "meta": {"a": 1}}');

-- Dramatiq
SELECT job('dramatiq', '{"actor": "add"}');
SELECT job('dramatiq', '{"actor": "a\"b", "args": [2, {}], "kwargs": {"a": "\"é\""}, "options": { "max_retries": 5, "own": [1]}}', NULL, 'a "q"');
SELECT job('dramatiq', '{"actor": "add", "options": { }}') = job('dramatiq', '{"actor": "add"}') AS "no options",
       job('dramatiq', '{"actor": "add", "options": {"max_retries": null}}') ~ '"max_retries": null' AS "no maximum";

-- a batch, and by themselves
SELECT shown(batch(queue('rq'), message('{"func": "f"}'), message('{"func": "g"}'))) =
       shown(alone(queue('rq'), message('{"func": "f"}'), message('{"func": "g"}'))) AS same;
-- a row that somebody has edited
SELECT t, job(t, p) FROM unnest('{celery,sidekiq,rq,dramatiq}'::text[]) AS t, unnest('{"", "x", "{}"}'::text[]) AS p;
SELECT shown(batch(queue('celery'), message('\x7b227461736b223a2261ff227d')));

-- What is refused.
\pset format aligned
CREATE FUNCTION refused(system text, payload bytea, headers jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; code text;
BEGIN
    PERFORM encode_message_options(queue($1), message($2, headers => $3, kind => 'j'), NULL);
    RETURN 'TAKEN';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, code = RETURNED_SQLSTATE;
    RETURN CASE code WHEN '22023' THEN '' ELSE code || ' ' END ||
        CASE WHEN message LIKE 'payload does not describe %' THEN '' ELSE message || ' ' END || detail;
END $$;
-- whole
SELECT p, refused('celery', bytes(p)) FROM unnest(ARRAY['', ' ', 'x', 'null', '1', '"task"', '[]', '[{"task": "t"}]', '{}', '{', '{"task"',
    '{"task":', '{"task": "t"', '{"task": "t",}', '{"task": "t"}}', '{"task": "t"} {}', '{task: "t"}', '{"task": t}', '{"task" "t"}', '{,"task": "t"}',
    '{"task": "t" "args": []}', '{"task": "t", "task": "t"}', '{"TASK": "t"}', '{"task": "t", "tsak": 1}', '{"task": "t", "eta": "x"}',
    '{"t\u0061sk": "t"}', '{"task": "t", "": 1}', '{"task": "t"}' || chr(1), '{"task": "' || chr(9) || '"}']) AS p;
SELECT refused('celery', '\x7b227461736b223a2261ff227d'), refused('celery', '\x7b227461736b223a2261c0af227d'), refused('celery', '\x00');
-- each member of each system by each kind of value
CREATE TABLE member (system text, name text, rest text);
INSERT INTO member SELECT system, unnest(string_to_array(names, ' ')), rest FROM (VALUES
    ('celery', 'task', '"args": []'),
    ('celery', 'args kwargs expires ignore_result shadow soft_time_limit time_limit other', '"task": "t"'),
    ('sidekiq', 'class', '"args": []'),
    ('sidekiq', 'args retry backtrace dead retry_for retry_queue tags wrapped queue jid at', '"class": "C"'),
    ('rq', 'func', '"args": []'),
    ('rq', 'args kwargs description timeout result_ttl failure_ttl retries_left retry_intervals meta id status', '"func": "f"'),
    ('dramatiq', 'actor', '"args": []'),
    ('dramatiq', 'args kwargs options message_id', '"actor": "a"')) AS m (system, names, rest);
CREATE TABLE value (n serial, v text);
INSERT INTO value (v) SELECT unnest(ARRAY['null', 'true', '0', '1', '-1', '2.5', '1e3', '1000000000', '1000000001', '1e400', 'NaN', 'Infinity', '""', '"x"', '"1"',
    '"2030-01-01T00:00:00Z"', '[]', '[1]', '[-1]', '["x"]', '[""]', '[[]]', '{}', '{"a": 1}']);
SELECT system, name, string_agg(v, ' ' ORDER BY n) AS taken
FROM member, value WHERE refused(system, bytes(format('{%s, "%s": %s}', rest, name, v))) = 'TAKEN'
GROUP BY system, name ORDER BY system, name;
SELECT DISTINCT ON (system, name) system, name, refused(system, bytes(format('{%s, "%s": %s}', rest, name, v)))
FROM member, value WHERE refused(system, bytes(format('{%s, "%s": %s}', rest, name, v))) <> 'TAKEN'
ORDER BY system, name, n DESC;
-- options of Dramatiq
SELECT name, string_agg(v, ' ' ORDER BY n) AS taken
FROM unnest('{max_age,max_retries,min_backoff,max_backoff,time_limit,result_ttl,store_results,on_failure,own,eta,redis_message_id,retries,delay,
    pipe_target,group_completion_uuid,max\\u005fage,""}'::text[]) AS name, value
WHERE refused('dramatiq', bytes(format('{"actor": "a", "options": {"%s": %s}}', name, v))) = 'TAKEN'
GROUP BY name ORDER BY name;
SELECT refused('dramatiq', bytes(format('{"actor": "a", "options": {"%s": "x"}}', name)))
FROM unnest('{eta,redis_message_id,throws,max_age,max\\u005fage}'::text[]) AS name;
-- no times
SELECT e FROM unnest('{"", now, infinity, tea time, 2030-01-01, 2030-01-01T00:00:00, 2030-01-01T24:00:00Z, 2030-02-29T00:00:00Z, 2030-13-01T00:00:00Z,
    2030-00-01T00:00:00Z, 2030-01-00T00:00:00Z, 2030-01-01T00:60:00Z, 2030-01-01T00:00:60Z, 2030-01-01T00:00:00., 2030-01-01T00:00:00.Z, 2030-01-01T00:00:00+16,
    2030-01-01T00:00:00+1, 2030-01-01T00:00:00+01:60, 2030-01-01T00:00:00+01:, 2030-01-01T00:00:00+01:0, 2030-01-01T00:00:00ZZ, 30-01-01T00:00:00Z, 1969-12-31T23:59:59Z,
    1970-01-01T00:00:00+01, 9999-01-01T00:00:00Z, 12030-01-01T00:00:00Z, " 2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z ", 2030-01-01X00:00:00Z, 2030-01-01T0:00:00Z}'::text[]) AS e
WHERE refused('celery', bytes(format('{"task": "t", "expires": "%s"}', e))) = 'TAKEN';
-- what lies in arguments
CREATE FUNCTION arguments(args text) RETURNS text LANGUAGE sql AS
    $$SELECT refused('sidekiq', bytes(format('{"class": "C", "args": [%s]}', $1)))$$;
SELECT a, arguments(a) FROM unnest(ARRAY['NaN', '-Infinity', '+1', '01', '1.', '.5', '1e', '0x1', '1e308', '-1e309', '1e-400', '0.1e+310',
    '"\x"', '"\u12"', '"\ud800"', '"\udc00"', '"\ud800\ud800"', '"\ud800\n"', '"\ud83d\ude00"', '"\u0000"', '"', '"\"', 'tru', 'nulll', '''x''',
    '1 2', '1,', ',1', '{"a"}', '{"a":}', '{"a":1,}', '{1:1}', '{"a":1 "b":2}', ']', '{]']) AS a;
SELECT n, arguments(repeat('[', n) || repeat(']', n)) AS arrays, arguments(repeat('{"a":', n) || '1' || repeat('}', n)) AS objects
FROM unnest('{97,98,99,100000}'::integer[]) AS n;
SELECT arguments(repeat('9', n)), arguments('0.' || repeat('9', n)) FROM unnest('{308,310,5000}'::integer[]) AS n;
-- headers
SELECT system, string_agg(name, ' ' ORDER BY name) AS taken
FROM unnest('{celery,sidekiq,rq,dramatiq}'::text[]) AS system,
     unnest('{traceparent,Task,id,task,args,kwargs,expires,eta,compression,chord,class,jid,queue,retry,tags,at,locale}'::text[]) AS name
WHERE refused(system, bytes(format('{"%s": "x"}', CASE system WHEN 'celery' THEN 'task' WHEN 'sidekiq' THEN 'class' WHEN 'rq' THEN 'func' ELSE 'actor' END)),
              jsonb_build_object(name, 'x')) = 'TAKEN'
GROUP BY system ORDER BY system;
SELECT refused('celery', '{"task": "t"}', '{"id": "x"}'), refused('sidekiq', '{"class": "C"}', '{"class": "D"}');
SELECT refused('rq', '{"func": "f"}', '{"a": "x"}'), refused('dramatiq', '{"actor": "f"}', '{"a": "x"}'), refused('rq', '{"func": "f"}', '{}');
-- hints
SELECT encode_message_options(queue('celery'), message('{}'), NULL);
SELECT encode_message_options(queue('sidekiq'), message('{}'), NULL);
SELECT encode_message_options(queue('rq'), message('{}'), NULL);
SELECT encode_message_options(queue('dramatiq'), message('{}'), NULL);
SELECT encode_message_options(queue('rq'), message('{"func": "f"}', headers => '{"a": "x"}'), NULL);
SELECT encode_message_options(queue('celery'), message('{"task": "t"}', options => '{"expires": "x"}'), NULL);
SELECT encode_check_options('celery', '{"commands": []}');
