-- Options of asynq: what a message is staged with, and what is refused.
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';
CREATE FUNCTION staged(of_message jsonb, of_queue jsonb DEFAULT NULL, due timestamptz DEFAULT NULL)
    RETURNS jsonb LANGUAGE sql AS
    $$SELECT encode_message_options(queue('asynq', options => $2), message('{"user_id":42}', 't', options => $1), $3)$$;

-- defaults are not staged
SELECT staged(NULL) IS NULL, staged('{}') IS NULL, staged('{"max_retry": 25}') IS NULL;
SELECT staged('{"timeout": 0, "retention": 0, "unique_ttl": 0}') IS NULL;
-- each of them
SELECT staged('{"max_retry": 0}'), staged('{"max_retry": 2147483647}');
SELECT staged('{"timeout": 30}'), staged('{"timeout": "30 seconds"}'), staged('{"timeout": "1 day 1.5 s"}');
SELECT staged('{"timeout": 31622400000}');
SELECT staged('{"deadline": 1795381200}'), staged('{"deadline": "2026-11-22 21:00:00+00"}'),
       staged('{"deadline": "2026-11-22 21:00:00.000001+00"}');
SELECT staged('{"retention": "1 hour"}'), staged('{"retention": 1.0}');
SELECT staged('{"group": "g"}');
-- unique: by the payload's MD5 or a key
SELECT staged('{"unique_ttl": "1 minute"}');
SELECT staged('{"unique_ttl": 60, "unique_key": "u\"\\\n"}');
-- an id of the caller's own
SELECT staged('{"message_id": "my id"}');
SELECT shown(batch(queue('asynq'), message('', 't', options => staged('{"message_id": "my id"}'))));
-- a time is rounded up
SELECT staged(NULL, due => '2026-11-22 21:00:00+00'), staged(NULL, due => '2026-11-22 21:00:00.000001+00');
-- the last that are taken, and the relay takes what was staged
SELECT staged('{"deadline": "3974-02-24 00:00:00+00"}'), staged('{"deadline": 63244800000}');
SELECT staged('{"deadline": "3974-02-24 00:00:00+00"}', due => '3974-02-24 00:00:00+00');
SELECT (batch(queue('asynq'), message('', 't', options => staged('{"deadline": "3974-02-24 00:00:00+00", "timeout": 31622400000,
    "retention": 31622400000, "unique_ttl": 31622400000}', due => '3974-02-24 00:00:00+00'))))[5:];
-- what the queue says, and what the message says instead
SELECT staged(NULL, '{"max_retry": 3, "timeout": 5, "retention": 7, "unique_ttl": 9, "group": "q"}');
SELECT staged('{"max_retry": 25, "timeout": 0, "retention": 8, "unique_ttl": 0, "group": "m"}',
              '{"max_retry": 3, "timeout": 5, "retention": 7, "unique_ttl": 9, "group": "q"}');

-- refused
\set VERBOSITY terse
SELECT staged('[]');
SELECT staged('1');
SELECT staged('{"Max_retry": 1}');
SELECT staged('{"max_retries": 1}');
SELECT staged('{"message_id": ""}');
SELECT staged('{"message_id": 1}');
SELECT staged('{"process_at": 1}');
SELECT staged('{"max_retry": -1}');
SELECT staged('{"max_retry": 1.5}');
SELECT staged('{"max_retry": 2147483648}');
SELECT staged('{"max_retry": 1e400}');
SELECT staged('{"max_retry": "1"}');
SELECT staged('{"max_retry": null}');
SELECT staged('{"max_retry": [1]}');
SELECT staged('{"timeout": -1}');
SELECT staged('{"timeout": "-1 second"}');
SELECT staged('{"timeout": "soon"}');
SELECT staged('{"timeout": 31622400001}');
SELECT staged('{"timeout": "1001 years"}'), staged('{"timeout": "1100 years"}');
SELECT staged('{"timeout": true}');
SELECT staged('{"timeout": {"a": 1}}');
SELECT staged('{"deadline": "infinity"}');
SELECT staged('{"deadline": "1970-01-01 00:00:00+00"}');
SELECT staged('{"deadline": false}');
SELECT staged('{"deadline": 63244800001}');
SELECT staged('{"deadline": "3974-02-24 00:00:00.000001+00"}');
SELECT staged('{"deadline": "294276-12-31 00:00:00+00"}');
SELECT staged(NULL, due => '3974-02-24 00:00:00.000001+00');
SELECT staged(NULL, due => '294276-12-31 00:00:00+00');
SELECT staged('{"unique_key": "u"}');
SELECT staged('{"unique_ttl": 1, "unique_key": ""}');
SELECT staged('{"unique_ttl": 1, "unique_key": " \t"}');
SELECT staged('{"group": ""}');
SELECT staged('{"group": 1}');
SELECT encode_message_options(queue('asynq'), message('p'), NULL);
SELECT encode_message_options(queue('asynq'), message('p', E' \t\n'), NULL);

-- of queues
SELECT encode_check_options('asynq', '{"max_retry": 3, "timeout": "5 s", "retention": 7, "unique_ttl": 9, "group": "q"}');
SELECT encode_check_options('asynq', '{}'), encode_check_options('asynq', NULL);
SELECT encode_check_options('asynq', '[]');
SELECT encode_check_options('asynq', '{"deadline": 1}');
SELECT encode_check_options('asynq', '{"unique_ttl": 1, "unique_key": "u"}');
SELECT encode_check_options('asynq', '{"process_at": 1}');

-- the other targets' messages have none
SELECT target, encode_message_options(queue(target), message(), NULL) IS NULL,
       encode_message_options(queue(target), message(options => '{}'), NULL) IS NULL
FROM unnest('{stream,list,publish,watermill,commands,function}'::text[]) target;
SELECT encode_message_options(queue('stream'), message(options => '{"a": 1}'), NULL);
SELECT encode_message_options(queue('commands'), message(options => '[]'), NULL);
SELECT encode_check_options('stream', '{"a": 1}');
SELECT encode_check_options('watermill', '{"a": 1}');
SELECT encode_check_options('list', '{}');
