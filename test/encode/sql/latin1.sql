-- In a database of another encoding all text arrives as UTF-8, in lengths, too.
-- Payloads are bytes that enqueue has made; only these are as they were.
\pset tuples_only on
\pset format unaligned
SET client_encoding = 'UTF8';
SHOW server_encoding;

SELECT shown(batch(queue('stream'), message('\xc3bcff', 'tüp', 'schlüssel', '{"größe": "ÿ"}')));
SELECT shown(batch(queue('stream'), message('p', 'tüp', 'schlüssel'), message('p', 'ü'), message('p', NULL, 'ü')));
SELECT shown(batch(queue('stream', consumer_retry => true), message('p', attempts => 1, history => '[{"error": "ü"}]')));
SELECT shown(batch(queue('stream', name => 'ä queue', fields => '{enqueued_at,queue}'), message('p')));
SELECT (batch(queue('list', name => 'ä queue', fields => '{enqueued_at,queue}'), message('p')))[1];
SELECT shown(batch(queue('watermill'), message('p', headers => '{"größe": "ÿ"}')));
SELECT n, substr((batch(queue('watermill'), message(headers => jsonb_build_object('k', repeat('ü', n)))))[4], 4, 3)
FROM unnest('{15,16,127,128}'::integer[]) n;
SELECT convert_from((batch(queue('list'), message(bytes(E'"ü"\n'), 'tüp', 'schlüssel', '{"größe": "ÿ"}', kind => 't')))[1], 'UTF8');
SELECT (batch(queue('list'), message(bytes('"ü"'), 'tüp', 'ü', '{"ö": "ÿ"}', kind => 'j')))[1];
SELECT encode((batch(queue('asynq', 'schlange ü'), message(bytes('ü'), 'tüp', headers => '{"größe": "ÿ"}',
    options => '{"group": "größe", "unique_ttl": 1, "unique_key": "schlüssel"}')))[4], 'hex');
SELECT shown(batch(queue('asynq', 'schlange ü'), message('p', 'tüp',
    options => '{"group": "größe", "unique_ttl": 1, "unique_key": "schlüssel"}')));
SELECT shown(batch(queue('commands', 'schlange ü', name => 'ä queue', options => '{"commands": [["RPUSH", "ü:{redis_key}:ö", "{queue}",
    "{type}", "{key}", "{headers}", "{header.größe}", "ß{payload}ß", "ä"]]}'),
    message('\xc3bcff', 'tüp', 'schlüssel', '{"größe": "ÿ"}')));
SELECT shown(batch(queue('function'), message('\xc3bcff', 'tüp', 'schlüssel', '{"größe": "ÿ"}')));
-- what a message is staged with is in the database's encoding again
SELECT encode_message_options(queue('asynq'), message('p', 'tüp', options => '{"group": "größe", "unique_ttl": 1, "unique_key": "ü"}'), NULL);
-- descriptions of jobs are UTF-8, whatever is in them; the queue's name and headers become it
SELECT shown(batch(queue('sidekiq', 'schlange ü'), message(bytes('{"class": "Ü", "args": ["ü"]}') , headers => '{"größe": "ÿ"}')));
SELECT shown(batch(queue('dramatiq', 'ü'), message('\x7b226163746f72223a22e282ac227d')));
-- a key goes where it goes in a UTF-8 database
SELECT partition_of(1024, 'äöü'), partition_of(16, 'schlüssel'), partition_key('straße', 16, 1);
