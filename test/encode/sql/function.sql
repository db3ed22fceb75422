-- A function of a queue's own: its arguments behind key.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue('function'));
SELECT shown(batch(queue('function'), message('p', 't', 'k', '{"b": "2", "a": "ü"}'), message(attempts => 4)));
SELECT shown(alone(queue('function'), message('\x00ff', '', '', '{}')));
SELECT shown(batch(queue('function'), message('ü', 'tüp', 'ключ')));
-- milliseconds
SELECT shown(encode_messages(queue('function'), t::timestamptz, false, ARRAY[message()]))
FROM unnest('{2000-01-01 00:00:00+00,2026-11-22 21:00:00.999999+00}'::text[]) t;

\set VERBOSITY terse
SELECT encode_check_options('function', '{"function": "redis.call(''LPUSH'', key, payload)"}');
SELECT encode_check_options('function', NULL);
SELECT encode_check_options('function', '{"function": ""}');
SELECT encode_check_options('function', '{"function": 1}');
SELECT encode_check_options('function', '{"function": "x", "commands": []}');
