-- Stream entries, and the runs of those with the same fields.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue('stream'));

-- each shape
SELECT shown(batch(queue('stream'), message('p')));
SELECT shown(batch(queue('stream'), message('p', 't')));
SELECT shown(batch(queue('stream'), message('p', NULL, 'k')));
SELECT shown(batch(queue('stream'), message('p', 't', 'k')));
SELECT shown(batch(queue('stream'), message('p', 't', 'k', '{"b": "2", "a": "1", "long": ""}')));
-- empty is there, null is not; no headers have names of their own
SELECT shown(batch(queue('stream'), message('', '', '', '{}')));
SELECT shown(batch(queue('stream'), message('', '', '')));
-- a stream of limited length
SELECT shown(batch(queue('stream', maxlen => 1000000), message('p'), message('p', 't', 'k', '{"a": "1"}')));
-- one by one: the number of arguments, and all of them
SELECT shown(alone(queue('stream'), message('p')));
SELECT shown(alone(queue('stream'), message('p', 't', 'k', '{"a": "1"}'), message('p', 't')));
SELECT shown(alone(queue('stream', maxlen => 7), message('p', NULL, 'k')));

-- consumers that may return messages see how often they were tried, and why
SELECT shown(batch(queue('stream', consumer_retry => true), message('p'), message('p', 't', 'k', '{"a": "1"}', attempts => 2,
    history => '[{"error": "first"}, {"error": "last ü"}]')));
SELECT shown(alone(queue('stream', maxlen => 5, consumer_retry => true), message('p', attempts => 1, history => '[{"error": ""}]')));
-- nothing was said
SELECT shown(batch(queue('stream', consumer_retry => true), message('p', attempts => 1, history => '[]'),
    message('p', attempts => 1), message('p', history => '[{"error": "of another life"}]'), message('p', attempts => 1, history => '[{}]')));
-- others don't
SELECT shown(batch(queue('stream'), message('p', attempts => 1, history => '[{"error": "e"}]')));

-- when it was enqueued, and by which queue: on request
SELECT shown(batch(queue('stream', fields => '{enqueued_at}'), message('p'), message('p', 't', 'k', '{"a": "1"}')));
SELECT shown(batch(queue('stream', name => 'ä "queue"', fields => '{queue}'), message('p', 't')));
SELECT shown(batch(queue('stream', fields => '{enqueued_at,queue}', maxlen => 5, consumer_retry => true),
    message('p', 't', 'k', '{"a": "1"}', attempts => 1, history => '[{"error": "e"}]')));
SELECT shown(alone(queue('stream', fields => '{queue,enqueued_at}'), message('p')));
SELECT at, (batch(queue('stream', fields => '{enqueued_at}'), message('p', enqueued_at => at::timestamptz)))[10]
FROM unnest('{1970-01-01 00:00:00.000999+00,1999-12-31 23:59:59.999999+00,2000-01-01 00:00:00+00,2026-11-22 21:00:00.001+00}'::text[]) AS at;

-- runs
SELECT shown(batch(queue('stream'), message('1'), message('2'), message('3', 't'), message('4', 't'), message('5'),
    message('6', NULL, 'k'), message('7', headers => '{"a": "1"}'), message('8', headers => '{}'), message('9')));
-- and their numbers
SELECT n, r[1:2], cardinality(r) FROM unnest('{1,9,10,99,100,999,1000,9999}'::integer[]) n,
    LATERAL (SELECT batch(queue('stream'), VARIADIC array_agg(message('p'))) FROM generate_series(1, n)) AS t (r);

-- payloads: all bytes, and the protocol's own
SELECT (batch(queue('stream'), message(string_agg(set_byte('\x00', 0, n), '' ORDER BY n))))[4] FROM generate_series(0, 255) n;
SELECT (batch(queue('stream'), message(E'\r\n$5\r\nhello\r\n')))[3:];
SELECT n, length((batch(queue('stream'), message(repeat('x', n)::bytea)))[4]) FROM unnest('{9,10,99,100,1000000}'::integer[]) n;
-- text
SELECT shown(batch(queue('stream'), message('ü', 'tüp', 'ключ', '{"ä": "€😀"}')));
-- UUIDs
SELECT shown(batch(queue('stream'), message(id => '00000000-0000-0000-0000-000000000000'),
    message(id => 'ffffffff-ffff-ffff-ffff-ffffffffffff'), message(id => '01234567-89ab-cdef-0123-456789abcdef')));
