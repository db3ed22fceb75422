-- Watermill's entries: the message's UUID, the headers in msgpack, the payload.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue('watermill'));

-- a run has the shape, the number of messages and their values; type and key
-- are not sent
SELECT shown(batch(queue('watermill'), message('p'), message('', 't', 'k', '{"key": "value"}'), message('r', headers => '{}')));
-- by itself, or in a stream of limited length: a whole XADD
SELECT shown(alone(queue('watermill'), message('p', 't', 'k')));
SELECT shown(alone(queue('watermill'), message('p', headers => '{"key": "value"}')));
SELECT shown(batch(queue('watermill', maxlen => 100), message('p'), message('q', headers => '{"a": ""}')));
SELECT shown(alone(queue('watermill', maxlen => 100), message('p')));

-- an id of the caller's own
SELECT shown(batch(queue('watermill'), message('p', options => '{"message_id": "01HV4Z0000000000000000000X"}')));
SELECT shown(alone(queue('watermill'), message('p', options => '{"message_id": "ü"}')));

CREATE FUNCTION metadata(headers jsonb) RETURNS bytea LANGUAGE sql AS
    $$SELECT (batch(queue('watermill'), message(headers => $1)))[4]$$;
SELECT metadata(NULL), metadata('{}');
SELECT metadata('{"key": "value"}');
SELECT metadata('{"": ""}');
SELECT metadata('{"ü": "€\n😀"}');

-- strings at every length where the form changes, as values and as names
CREATE TABLE lengths (n, head) AS VALUES
    (0, '\xa0'::bytea), (1, '\xa1'), (15, '\xaf'), (16, '\xb0'), (31, '\xbf'),
    (32, '\xd920'), (127, '\xd97f'), (128, '\xd980'), (255, '\xd9ff'),
    (256, '\xda0100'), (65535, '\xdaffff'), (65536, '\xdb00010000'), (100000, '\xdb000186a0');
SELECT n, metadata(jsonb_build_object('k', repeat('v', n))) = '\x81a16b'::bytea || head || repeat('v', n)::bytea FROM lengths;
SELECT n, metadata(jsonb_build_object(repeat('k', n), 'v')) = '\x81'::bytea || head || repeat('k', n)::bytea || '\xa176' FROM lengths;
-- bytes count, not characters
SELECT n, substr(metadata(jsonb_build_object('k', repeat('ü', n))), 4, 3) FROM unnest('{15,16,127,128}'::integer[]) n;

-- maps, too; jsonb has shorter names before longer ones
CREATE FUNCTION entries(n integer) RETURNS jsonb LANGUAGE sql AS
    $$SELECT jsonb_object_agg(to_char(i, 'FM0000'), 'v') FROM generate_series(1, n) i$$;
SELECT n, metadata(entries(n)) = head || (SELECT string_agg('\xa4'::bytea || to_char(i, 'FM0000')::bytea || '\xa176', '' ORDER BY i)
                                          FROM generate_series(1, n) i)
FROM (VALUES (1, '\x81'::bytea), (15, '\x8f'), (16, '\xde0010'), (31, '\xde001f'), (32, '\xde0020'), (255, '\xde00ff'),
             (256, '\xde0100'), (1000, '\xde03e8')) AS t (n, head);

-- the name of the field with the UUID is no name for a header
\set VERBOSITY terse
SELECT encode_message_options(queue('watermill'), message(headers => '{"_watermill_message_uuid": ""}'), NULL);
