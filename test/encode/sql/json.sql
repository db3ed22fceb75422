-- Lists and channels: one value for each message.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue('list')), encode_branch(queue('publish'));

CREATE FUNCTION one(message) RETURNS text LANGUAGE sql AS
    $$SELECT convert_from((batch(queue('list'), $1))[1], 'UTF8')$$;
SELECT shown(batch(queue('list'), message('', kind => 't'), message('1', kind => 'j')));
SELECT shown(batch(queue('publish'), message('', kind => 't'), message('1', kind => 'j')));
SELECT shown(alone(queue('list'), message('', kind => 't')));
SELECT shown(batch(queue('list', format => 'raw'), message('\x00ff0d0a'), message('', 't', 'k', '{"a": "1"}')));
SELECT shown(alone(queue('publish', format => 'raw'), message('raw', 't', 'k', '{"a": "1"}')));

-- what is there, and what the payload was
SELECT one(message('p', kind => 't'));
SELECT one(message('{"a": [1, "x", null]}', 't', 'k', '{"b": "2", "a": ""}', kind => 'j'));
SELECT one(message('null', '', '', '{}', kind => 'j'));
SELECT one(message('', kind => 'b'));
SELECT n, one(message(substr('\x00ff10fb'::bytea, 1, n))) FROM generate_series(1, 4) n;
-- when it was enqueued, and by which queue: on request
SELECT convert_from((batch(queue('list', fields => '{enqueued_at}'), message('p', kind => 't')))[1], 'UTF8');
SELECT convert_from((batch(queue('publish', name => E'ä "queue"\n', fields => '{queue}'), message('1', kind => 'j')))[1], 'UTF8');
SELECT convert_from((batch(queue('list', fields => '{queue,enqueued_at}'), message('p', 't', 'k', '{"a": "1"}')))[1], 'UTF8');
-- a document as it is
SELECT one(message(E' {"b" :1.0,\n"b":1e999}', kind => 'j'));
-- one line, however long
SELECT one(message(convert_to(repeat('x', 100), 'UTF8')));

-- escapes
SELECT one(message(convert_to(E'"\\/\b\f\n\r\t\x01\x1f\x7fü€😀', 'UTF8'), E'"\\/\b\f\n\r\t\x01\x1f\x7fü€😀', E'\n', '{"\"\\\n": "\u0001ü😀"}', kind => 't'));
SELECT one(message(convert_to(E'"\\/\b\f\n\r\t\x01\x1f\x7fü€😀', 'UTF8'), kind => 't'))::jsonb ->> 'payload' = E'"\\/\b\f\n\r\t\x01\x1f\x7fü€😀';
