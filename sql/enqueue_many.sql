-- outbox_enqueue_many(): a message for each element, in order
CREATE FUNCTION try(command text, OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
CREATE VIEW many AS
    SELECT q.name, s.type, s.key, s.headers, s.payload, s.kind, s.options
    FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name LIKE 'm\_%' ORDER BY s.seq;
SELECT outbox_create_queue('m_json');
SELECT outbox_create_queue('m_text', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('m_bytea', settings => '{"payload_type": "bytea"}');
SELECT outbox_create_queue('m_asynq', 'asynq');
SELECT outbox_create_queue('m_mill', 'watermill');

-- what an element is in each queue
BEGIN;
SELECT q, array_length(outbox_enqueue_many(q, p), 1) FROM (VALUES
    ('m_json', '[{"b": 1, "a": [2]}, "a string", 12345678901234567890.5, true, null, "\\x00"]'::jsonb),
    ('m_text', '[{"b": 1}, "ein Wört", 3, ""]'), ('m_bytea', '[{"b": 1}, "ö", "\\x00ff", ""]')) AS v (q, p);
SELECT name, kind, CASE WHEN payload IN ('\x00ff', '') THEN payload::text ELSE convert_from(payload, 'UTF8') END AS payload FROM many;
ROLLBACK;

-- what may differ from message to message
BEGIN;
SELECT array_length(outbox_enqueue_many('m_json', '[1, 2, 3]', types => '{a,NULL,c}', keys => '{k1,k2,NULL}', headers => '{"h": "all"}'), 1);
SELECT array_length(outbox_enqueue_many('m_json', '[4, 5]', headers => '[{"h": "one"}, null]'), 1);
SELECT array_length(outbox_enqueue_many('m_asynq', '["a", "b", null]', types => '{t,t,t}', options => '{"max_retry": 3}'), 1);
SELECT array_length(outbox_enqueue_many('m_asynq', '["a", null]', types => '{t,t}', options => '[{"message_id": "7"}, null]'), 1);
SELECT type, key, headers, convert_from(payload, 'UTF8') AS payload, options FROM many;
ROLLBACK;

-- ids come back in the order of the payloads; those that were given, too
BEGIN;
SELECT (outbox_enqueue_many('m_json', '[1, 2]', ids => '{NULL,aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa}'))[2];
SELECT outbox_enqueue_many('m_json', '[10, 11, 12]') AS ids \gset
SELECT :'ids' = array_agg(id ORDER BY seq) AS in_order
FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE id = ANY (:'ids');
SELECT outbox_enqueue_many('m_json', '[]');
ROLLBACK;
BEGIN;
SELECT (outbox_enqueue_many('m_json', '[1, 2]', delay => '1 hour')) IS NOT NULL AS ok;
SELECT count(*), count(DISTINCT due_at) FROM outbox.deferred WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'm_json');
ROLLBACK;

-- a wrong one among many is an error of all
SELECT c, t.code, t.message, t.detail, t.hint FROM (VALUES
    ($$'m_none', '[1]'$$), ($$NULL, '[1]'$$), ($$'m_json', NULL$$), ($$'m_json', '1'$$), ($$'m_json', '{}'$$),
    ($$'m_text', '["a", null]'$$), ($$'m_text', '["a", "\\x00"]'$$), ($$'m_bytea', '["a", "\\x0"]'$$),
    ($$'m_json', '[1, 2]', types => '{a}'$$), ($$'m_json', '[1]', keys => '{}'$$), ($$'m_json', '[1]', ids => '{}'$$),
    ($$'m_json', '[1]', headers => '[]'$$), ($$'m_json', '[1]', headers => '[{"a": 1}]'$$), ($$'m_json', '[1]', headers => '"a"'$$),
    ($$'m_asynq', '["a"]'$$), ($$'m_asynq', '["a"]', types => '{t}', options => '[1]'$$),
    ($$'m_json', '[1]', delay => '1 s', deliver_at => now()$$)) AS v (c),
    LATERAL try('SELECT outbox_enqueue_many(' || c || ')') AS t;
SELECT count(*) FROM many;

-- ids that are no UUIDs: the message's own is made from the queue and that id
BEGIN;
SELECT outbox_enqueue('m_mill', 'p', options => '{"message_id": "01HV4Z0000000000000000000X"}') = a AS same, a <> b AS of_the_queue,
       substr(a::text, 15, 1) AS version
FROM outbox_enqueue('m_mill', 'p', options => '{"message_id": "01HV4Z0000000000000000000X"}') AS a,
     outbox_enqueue('m_asynq', 'p', 't', options => '{"message_id": "01HV4Z0000000000000000000X"}') AS b;
SELECT options FROM many;
SELECT outbox_enqueue('m_asynq', 'p', 't', delay => '1 hour', options => '{"message_id": "later"}') AS id \gset
ROLLBACK;
SELECT c, t.code, t.message, t.hint FROM (VALUES
    ($$'m_mill', 'p', options => '{"message_id": ""}'$$), ($$'m_mill', 'p', options => '{"message_id": 1}'$$),
    ($$'m_mill', 'p', options => '{"message_id": "a", "b": 1}'$$), ($$'m_mill', 'p', options => '{"group": "a"}'$$),
    ($$'m_asynq', 'p', 't', options => '{"message_id": " "}'$$), ($$'m_json', '1', options => '{"message_id": "a"}'$$),
    ($$'m_mill', 'p', id => 'aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', options => '{"message_id": "a"}'$$)) AS v (c),
    LATERAL try('SELECT outbox_enqueue(' || c || ')') AS t;
SELECT t.* FROM try($$SELECT outbox_alter_queue('m_asynq', options => '{"message_id": "a"}')$$) AS t;

DROP VIEW many;
DROP FUNCTION try(text);
SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'm\_%' ORDER BY id;
