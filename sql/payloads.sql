-- Payloads as they may be given, and queues of each payload type: the bytes that
-- are staged, or the error.
SET client_min_messages = warning;
SELECT outbox_create_queue('y_json');
SELECT outbox_create_queue('y_text', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('y_bytea', settings => '{"payload_type": "bytea"}');

-- what a target's payloads are if nothing is said
SELECT outbox_create_queue('y_stream', 'stream');
SELECT outbox_create_queue('y_list', 'list');
SELECT outbox_create_queue('y_publish', 'publish');
SELECT outbox_create_queue('y_raw_list', 'list', format => 'raw');
SELECT outbox_create_queue('y_raw_publish', 'publish', format => 'raw');
SELECT outbox_create_queue('y_asynq', 'asynq');
SELECT outbox_create_queue('y_watermill', 'watermill');
SELECT outbox_create_queue('y_commands', 'commands', options => '{"commands": [["PING"]]}');
SELECT outbox_create_queue('y_function', 'function', options => '{"function": "return"}');
SELECT name, payload_type FROM outbox.queue WHERE name LIKE 'y\_%' ORDER BY id;

CREATE DOMAIN words AS text;
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN octets AS bytea;
CREATE TABLE wares (name text, price numeric);
INSERT INTO wares VALUES ('tea', 1.50);

CREATE VIEW staged AS
    SELECT q.name AS queue, s.id, s.kind, s.payload, s.options
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue;

-- What becomes of a payload, an expression: kind and bytes, or the error, which
-- must not say what the payload is.
CREATE FUNCTION give(queue text, payload text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    enqueued uuid;
    result text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE format('SELECT outbox_enqueue(%L, %s)', queue, payload) INTO enqueued;
    SELECT concat(s.kind, ' ', encode(s.payload, 'escape')) INTO STRICT result
    FROM staged AS s WHERE s.id = enqueued AND s.queue = give.queue;
    RETURN CASE WHEN length(result) > 300 THEN left(result, 20) || '...' ELSE result END;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    IF concat(message, detail, hint) ~ 'secret|736563726574' THEN
        RETURN 'TOLD: ' || concat_ws('/', message, detail, hint);
    END IF;
    RETURN SQLSTATE || ' ' || message;
END $$;

-- The same with the rest of the error.
CREATE FUNCTION say(queue text, payload text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT outbox_enqueue(%L, %s)', queue, payload);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;

-- each type of SQL to each type of queue: a document
CREATE TABLE document_as (n serial, payload text);
INSERT INTO document_as (payload) SELECT replace(t, '?', $$' {"b":1.0,"a" : 123456789012345678901234567890, "b":[true ,"ü"]}'$$)
FROM unnest(ARRAY['?::jsonb', '?::json', '?::text', '?', '?::varchar', '?::words', '?::document', 'convert_to(?, ''UTF8'')',
    'convert_to(?, ''UTF8'')::octets', 'convert_to(?, ''UTF8'')::text']) WITH ORDINALITY AS v (t, n) ORDER BY n;
\x on
SELECT payload, give('y_json', payload) AS json, give('y_text', payload) AS text, give('y_bytea', payload) AS bytea
FROM document_as ORDER BY n;
\x off

-- text that is no document, in the types that text has
SELECT payload, give('y_json', payload) AS json, give('y_text', payload) AS text, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$'a secret'$$), (2, $$'a secret'::name$$), (3, $$'a secret'::char(10)$$), (4, $$'a secret'::words$$)) AS v (n, payload)
ORDER BY n;

-- text that begins with \x: bytes, or what looks like them
SELECT payload, give('y_json', payload) AS json, give('y_text', payload) AS text, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$'\x7b7d'$$), (2, $$'\x7B7D'$$), (3, $$'\x'$$), (4, $$'\x7b7'$$), (5, $$'\x7b7g'$$), (6, $$'\x 7b7d'$$), (7, $$'\xsecret'$$),
    (8, $$'\x736563726574'$$), (9, $$'\x2273656372657422'$$), (10, $$'\xff00'$$), (11, $$'\X7b7d'$$), (12, $$' \x7b7d'$$), (13, $$'\\x7b7d'$$),
    (14, $$'\x7b7d'::bytea$$), (15, $$'\x5c78'::bytea$$), (16, $$'"\\x7b7d"'::jsonb$$), (17, $$'"\\x7b7d"'$$), (18, $$'\'$$)) AS v (n, payload)
ORDER BY n;

-- text that is the binary format of jsonb, or of true
SELECT n, give('y_json', payload) AS json, give('y_text', payload) AS text, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$E'\x01{"secret": 1}'$$), (2, $$E'\x01"secret ü"'$$), (3, $$E'\x01 1'$$), (4, $$E'\x01'$$), (5, $$E'\x01words'$$), (6, $$E'\x02{}'$$), (7, $$E'\x01{}'::bytea$$),
    (8, $$to_jsonb(E'\x01{}'::text)$$)) AS v (n, payload)
ORDER BY n;

-- what is JSON, and what is none
SELECT payload, give('y_json', payload) AS json
FROM (VALUES (1, $$'{}'$$), (2, $$'null'$$), (3, $$'"secret"'$$), (4, $$'12'$$), (5, $$' [1]'::text || E'\n'$$), (6, $$'1e400'$$), (7, $$'-0.0'$$),
    (8, $$''$$), (9, $$' '$$), (10, $$'{"secret": 1} 2'$$), (11, $$'{"secret": 1}{}'$$), (12, $$'{"secret"'$$), (13, $$'{"secret": 01}'$$),
    (14, $$'["secret",]'$$), (15, $$'{secret: 1}'$$), (16, $$'NaN'$$), (17, $$'''secret'''$$), (18, $$'"secret'$$), (19, $$E'"secret\n"'$$), (20, $$'"secret\q"'$$),
    (21, $$'"secret\u12"'$$), (22, $$chr(65279) || '{}'$$), (23, $$'true secret'$$), (24, $$'-'$$)) AS v (n, payload)
ORDER BY n;

-- what json takes and jsonb doesn't: it is sent as it is
SELECT payload, give('y_json', payload) AS json, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$'"\u0000"'$$), (2, $$'"\u0000"'::json$$), (3, $$'"\ud800"'$$), (4, $$'"\udc00\ud800"'::json$$)) AS v (n, payload)
ORDER BY n;

-- bytes that are no text
SELECT payload, give('y_json', payload) AS json, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$'\xff'::bytea$$), (2, $$'\x22ff22'::bytea$$), (3, $$'\x22c0af22'::bytea$$), (4, $$'\x22eda08022'::bytea$$), (5, $$'\x22c3'::bytea$$),
    (6, $$'\x220022'::bytea$$), (7, $$'\x7b7d00'::bytea$$), (8, $$'\x00'::bytea$$), (9, $$'\x'::bytea$$), (10, $$'\x22c3bc22'::bytea$$)) AS v (n, payload)
ORDER BY n;

-- deep and large
SELECT depth, left(give('y_json', format($$repeat('[', %s) || repeat(']', %1$s)$$, depth)), 40) AS text,
    left(give('y_json', format($$convert_to(repeat('{"secret":', %s) || 1 || repeat('}', %1$s), 'UTF8')$$, depth)), 40) AS bytea,
    left(give('y_text', format($$repeat('[', %s) || repeat(']', %1$s)$$, depth)), 40) AS "text queue"
FROM (VALUES (1000), (100000)) AS v (depth);
SELECT give('y_json', $$'"' || repeat('secret', 300000) || '"'$$), give('y_json', $$'"' || repeat('secret', 300000)$$),
    give('y_json', $$'\x' || repeat('20', 1000000) || '31'$$), give('y_bytea', $$'\x' || repeat('00', 2000000)$$);

-- out of line and compressed
CREATE TABLE stored (t text, j json, d jsonb, b bytea);
INSERT INTO stored SELECT x, x::json, x::jsonb, convert_to(x, 'UTF8')
FROM (SELECT json_agg(md5(i::text) || repeat('x', i))::text AS x FROM generate_series(1, 1000) AS i) AS v;
CREATE TABLE sent AS SELECT q, outbox_enqueue(q, t) AS t, outbox_enqueue(q, j) AS j, outbox_enqueue(q, d) AS d,
    CASE WHEN q <> 'y_text' THEN outbox_enqueue(q, b) END AS b FROM stored, unnest('{y_json, y_text, y_bytea}'::text[]) AS q;
SELECT q, (SELECT payload = stored.b FROM staged WHERE id = sent.t) AS text, (SELECT payload = stored.b FROM staged WHERE id = sent.j) AS json,
    (SELECT payload = convert_to(stored.d::text, 'UTF8') FROM staged WHERE id = sent.d) AS jsonb, (SELECT payload = stored.b FROM staged WHERE id = sent.b) AS bytea
FROM sent, stored ORDER BY q;

-- what functions make of rows
SELECT payload, give('y_json', payload) AS json
FROM (VALUES (1, $$json_build_object('a', 1, 'b', NULL)$$), (2, $$jsonb_build_object('a', 1, 'b', NULL)$$), (3, $$(SELECT row_to_json(w) FROM wares AS w)$$),
    (4, $$(SELECT to_json(w) FROM wares AS w)$$), (5, $$(SELECT json_agg(w) FROM wares AS w)$$), (6, $$array_to_json('{1,2}'::int[])$$),
    (7, $$(SELECT w::text FROM wares AS w)$$), (8, $$'{1,2}'::int[]::text$$)) AS v (n, payload)
ORDER BY n;

-- other types are none
SELECT payload, give('y_json', payload) AS json, give('y_text', payload) AS text
FROM (VALUES (1, $$1$$), (2, $$1.5$$), (3, $$true$$), (4, $$now()$$), (5, $$'{a}'::text[]$$), (6, $$'{1}'::int[]$$), (7, $$(SELECT w FROM wares AS w)$$)) AS v (n, payload)
ORDER BY n;

-- null: only tasks of asynq can have that, as they have bytes or none
SELECT payload, give('y_json', payload) AS json, give('y_text', payload) AS text, give('y_bytea', payload) AS bytea
FROM (VALUES (1, $$NULL$$), (2, $$NULL::jsonb$$), (3, $$NULL::json$$), (4, $$NULL::text$$), (5, $$NULL::bytea$$), (6, $$'null'::jsonb$$)) AS v (n, payload)
ORDER BY n;
SELECT payload, give('y_asynq', payload || $$, 'type'$$) AS asynq, give('y_watermill', payload) AS watermill,
    give('y_commands', payload) AS commands, give('y_function', payload) AS function
FROM (VALUES (1, $$NULL::jsonb$$), (2, $$NULL::json$$), (3, $$NULL::text$$), (4, $$NULL::bytea$$), (5, $$NULL$$), (6, $$''$$)) AS v (n, payload)
ORDER BY n;
BEGIN;
SELECT outbox_alter_queue('y_asynq', settings => '{"payload_type": "json"}');
SELECT give('y_asynq', $$NULL::jsonb, 'type'$$), give('y_asynq', $$'', 'type'$$), give('y_asynq', $$'{ }', 'type'$$);
ROLLBACK;
-- the lock of a task without payload has no key, that of an empty one has
SELECT outbox_enqueue('y_asynq', NULL, 'type', options => '{"unique_ttl": 60}') AS nil, outbox_enqueue('y_asynq', '', 'type', options => '{"unique_ttl": 60}') AS empty,
    outbox_enqueue('y_asynq', NULL, 'type', options => '{"unique_ttl": 60, "unique_key": "k"}') AS key \gset
SELECT what, payload, options - 'process_at' AS options FROM (VALUES (1, 'nil', :'nil'), (2, 'empty', :'empty'), (3, 'with key', :'key')) AS v (n, what, id)
JOIN staged AS s ON s.id = v.id::uuid ORDER BY n;

-- outbox_enqueue_json() is that with jsonb, whatever its argument looks like
SELECT outbox_enqueue_json('y_json', ' {"b":1,  "b":2}', 'type', 'key', '{"h": "v"}', '11111111-1111-7111-8111-111111111111');
SELECT outbox_enqueue_json('y_text', '"words"', id => '22222222-2222-7222-8222-222222222222');
SELECT outbox_enqueue_json('y_bytea', '"\\x00"', id => '33333333-3333-7333-8333-333333333333');
SELECT outbox_enqueue_json('y_json', NULL);
SELECT queue, kind, convert_from(payload, 'UTF8') AS payload FROM staged
WHERE queue LIKE 'y\_%' AND id IN ('11111111-1111-7111-8111-111111111111', '22222222-2222-7222-8222-222222222222', '33333333-3333-7333-8333-333333333333') ORDER BY id;

-- captured rows are documents in the queue's type
CREATE TABLE kept (id int PRIMARY KEY);
SELECT outbox_capture('kept', q, operations => '{insert}') FROM unnest('{y_json, y_text, y_bytea}'::text[]) AS q;
INSERT INTO kept VALUES (4711);
SELECT queue, kind, convert_from(payload, 'UTF8')::json -> 'new' AS new FROM staged
WHERE queue LIKE 'y\_%' AND encode(payload, 'escape') LIKE '%"id":4711%' ORDER BY queue;

-- jsonb is printed as its output function prints it: every character at every place of
-- a string, as a name and as a value, and documents of each shape
CREATE TABLE documents (id uuid, document jsonb);
INSERT INTO documents SELECT gen_random_uuid(), jsonb_build_object(word, word)
    FROM generate_series(1, 300) AS c, generate_series(0, 17) AS n,
        LATERAL (SELECT concat(repeat('a', n), chr(c), repeat('b', 17 - n)) AS word) AS w;
INSERT INTO documents SELECT gen_random_uuid(), d::jsonb FROM unnest(ARRAY[
    'null', 'true', 'false', '0', '-1.50', '1e400', '0.000000000000000000001', '"a"', '""', '[]', '{}', '[[]]', '[{}]', '{"a": {}}', '{"": ""}',
    '[[], [], [[]]]', '[1, [2, [3, null], true], {"a": [false], "b": {"c": null}, "d": []}, "x"]', '{"b": [{"a": 1}, {"a": [{}]}], "a": {"z": {}, "y": []}}']) AS d;
INSERT INTO documents SELECT gen_random_uuid(), to_jsonb(repeat(E'"\\\n\x01', n)) FROM unnest('{1, 7, 8, 9, 100, 5000}'::int[]) AS n;
SELECT count(*) FROM documents WHERE outbox_enqueue('y_json', document, id => id) IS NULL;
SELECT count(*), count(*) FILTER (WHERE payload <> convert_to(document::text, 'UTF8')) AS differ
FROM documents JOIN staged USING (id);
DROP TABLE documents;

-- what errors say beside that
\x on
SELECT v.queue, v.payload, s.* FROM (VALUES (1, 'y_json', $$'secret'$$), (2, 'y_json', $$'{"secret": }'$$), (3, 'y_json', $$''$$), (4, 'y_json', $$'\xff'::bytea$$),
    (5, 'y_json', $$'\x220022'::bytea$$), (6, 'y_json', $$'\xsecret'$$), (7, 'y_bytea', $$'\xsecret'$$), (8, 'y_text', $$'\x736563726574'$$), (9, 'y_text', $$'secret'::bytea$$),
    (10, 'y_json', 'NULL'), (11, 'y_text', 'NULL'), (13, 'y_text', $$E'\x01{"secret": 1}'$$), (12, 'y_json', $$E'{"ü": "secret",\n "ö": secret}'$$)) AS v (n, queue, payload),
    LATERAL say(v.queue, v.payload) AS s ORDER BY n;
\x off

DROP TABLE kept, sent, stored, document_as, wares;
DROP FUNCTION give(text, text);
DROP FUNCTION say(text, text);
DROP VIEW staged;
DROP DOMAIN words, document, octets;
SELECT count(outbox_drop_queue(name, force => true)) FROM outbox.queue WHERE name LIKE 'y\_%';
