-- What the messages of a capture have in them.
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT outbox_create_queue('r_set');

CREATE VIEW captured AS
    SELECT s.type, s.key, convert_from(s.payload, 'UTF8') AS payload, s.seq
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name = 'r_set';
CREATE TABLE seen (seq bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION come(OUT type text, OUT key text, OUT payload text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT c.type, c.key, c.payload FROM captured c
        WHERE c.seq > (SELECT s.seq FROM seen s) ORDER BY c.seq;
    UPDATE seen SET seq = (SELECT last_value FROM outbox.seq);
END $$;

-- each value of "old" with each value of "unchanged"
CREATE TABLE t (id int, code text, a int, b text, hidden int, PRIMARY KEY (id));
CREATE FUNCTION try(settings jsonb, key text[] DEFAULT NULL, OUT type text, OUT key_ text, OUT payload text)
    RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_capture('t', 'r_set', columns => '{id,a,b}', key => key, settings => settings);
    INSERT INTO t VALUES (1, 'x', 1, 'one', 1);
    UPDATE t SET a = 2, hidden = 2;
    UPDATE t SET hidden = 3;
    UPDATE t SET id = 2;
    DELETE FROM t;
    PERFORM outbox_uncapture('t', 'r_set');
    RETURN QUERY SELECT * FROM come();
END $$;
SELECT * FROM try(NULL);
SELECT * FROM try('{}');
SELECT * FROM try('{"old": "all"}');
SELECT * FROM try('{"old": "changed"}');
SELECT * FROM try('{"old": "none"}');
SELECT * FROM try('{"old": "all", "unchanged": false}');
SELECT * FROM try('{"old": "changed", "unchanged": false}');
SELECT * FROM try('{"old": "none", "unchanged": false}');
-- another key: a row with another primary key is told as a whole
SELECT * FROM try('{"old": "none", "unchanged": false}', '{code}');
SELECT * FROM try('{"old": "none", "unchanged": false}', '{}');
-- an update of a key column that isn't captured has the old one, too
SELECT outbox_capture('t', 'r_set', columns => '{a}', key => '{id,code}', settings => '{"old": "changed", "unchanged": false}');
INSERT INTO t VALUES (1, 'x', 1, 'one', 1);
UPDATE t SET code = 'y';
UPDATE t SET a = 2;
SELECT * FROM come();
SELECT outbox_uncapture('t', 'r_set');
-- a primary key that is in no message: its update is told all the same, whole
SELECT outbox_capture('t', 'r_set', columns => '{a,b}', key => '{code}', settings => '{"old": "changed", "unchanged": false}');
UPDATE t SET id = 3;
SELECT * FROM come();
SELECT outbox_uncapture('t', 'r_set');
DROP TABLE t CASCADE;

-- the settings are the trigger's, and stay with it
CREATE TABLE t (id bigint PRIMARY KEY, v text);
SELECT outbox_capture('t', 'r_set', settings => '{"old": "none", "too_large": "key"}', operations => '{update}');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 't'::regclass;
SELECT outbox_uncapture('t', 'r_set');

-- what they can't be
\set VERBOSITY terse
SELECT outbox_capture('t', 'r_set', settings => '[]');
SELECT outbox_capture('t', 'r_set', settings => '"old"');
SELECT outbox_capture('t', 'r_set', settings => '{"olds": "all"}');
SELECT outbox_capture('t', 'r_set', settings => '{"old": "some"}');
SELECT outbox_capture('t', 'r_set', settings => '{"old": null}');
SELECT outbox_capture('t', 'r_set', settings => '{"old": ["all"]}');
SELECT outbox_capture('t', 'r_set', settings => '{"unchanged": "false"}');
SELECT outbox_capture('t', 'r_set', settings => '{"bigint": true}');
SELECT outbox_capture('t', 'r_set', settings => '{"numeric": "string"}');
SELECT outbox_capture('t', 'r_set', settings => '{"too_large": "cut"}');
\set VERBOSITY default
SELECT outbox_capture('t', 'r_set', settings => '{"oldd": "all"}');
SELECT outbox_capture('t', 'r_set', settings => '{"old": "some"}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
-- nor in a trigger made by hand
CREATE TRIGGER mine AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_set', '', '', '{"old": "some"}');
INSERT INTO t VALUES (1);
DROP TRIGGER mine ON t;
CREATE TRIGGER mine AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_set', '', '', '', '');
INSERT INTO t VALUES (1);
DROP TABLE t;

-- numbers as text: each type that holds some, in the row and not in the message's key
CREATE DOMAIN big AS bigint;
CREATE DOMAIN bigs AS bigint[];
CREATE TABLE n (id bigint, i int, d big, a bigint[], ad big[], da bigs, num numeric(20, 2), na numeric[], none bigint, PRIMARY KEY (id, num));
INSERT INTO n VALUES (9007199254740993, 1, 9007199254740993, '{9007199254740993,NULL}', '[5:6]={1,2}', '{{1,2},{3,4}}', 90071992547409.93, '{NaN,1.50}', NULL);
CREATE FUNCTION numbers(settings jsonb) RETURNS TABLE (key text, payload text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_capture('n', 'r_set', settings => settings || '{"old": "none"}');
    UPDATE n SET i = i + 1;
    PERFORM outbox_uncapture('n', 'r_set');
    RETURN QUERY SELECT c.key, c.payload FROM come() AS c;
END $$;
SELECT * FROM numbers('{}');
SELECT * FROM numbers('{"bigint": "number", "numeric": "number"}');
SELECT * FROM numbers('{"bigint": "text"}');
SELECT * FROM numbers('{"numeric": "text"}');
SELECT * FROM numbers('{"bigint": "text", "numeric": "text"}');
UPDATE n SET num = 'NaN';
SELECT * FROM numbers('{"numeric": "text"}');
DROP TABLE n;
DROP FUNCTION numbers;

-- too large for a message: said when it is set up
SET client_min_messages = notice;
CREATE TABLE l (id int PRIMARY KEY, a text, b text, n int);
CREATE TABLE fixed (id int PRIMARY KEY, n int);
SELECT outbox_capture('fixed', 'r_set');
SELECT outbox_capture('l', 'r_set', columns => '{id,n}', operations => '{insert}');
SELECT outbox_uncapture('l', 'r_set');
SELECT outbox_capture('l', 'r_set', settings => '{"too_large": "omit"}');
SELECT outbox_uncapture('l', 'r_set');
SELECT outbox_capture('l', 'r_set');
SET client_min_messages = warning;
SELECT outbox_uncapture('l', 'r_set');
DROP TABLE fixed;

-- ... and then the write goes on, unless it was told not to
CREATE FUNCTION large(settings jsonb, OUT type text, OUT key_ text, OUT payload text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_capture('l', 'r_set', settings => settings);
    INSERT INTO l VALUES (1, repeat('a', 600000), repeat('b', 500000), 1), (2, repeat('a', 600000), 'b', 1), (3, repeat(E'\x01', 200000), 'b', 1),
        (4, repeat('a', 20000000), 'b', 1);
    UPDATE l SET n = 2 WHERE id IN (1, 2);
    UPDATE l SET a = 'a' WHERE id = 1;
    UPDATE l SET a = NULL WHERE id = 4;
    DELETE FROM l WHERE id IN (1, 3);
    PERFORM outbox_uncapture('l', 'r_set');
    TRUNCATE l;
    RETURN QUERY SELECT c.type, c.key, regexp_replace(c.payload, 'aaaaa+|bbbbb+', '<long>', 'g') FROM come() AS c;
END $$;
SELECT * FROM large('{}');
SELECT * FROM large('{"old": "changed", "unchanged": false}');
SELECT * FROM large('{"old": "none", "too_large": "omit"}');
SELECT * FROM large('{"too_large": "key"}');
SELECT * FROM large('{"too_large": "fail"}');
SELECT count(*) FROM come();

-- a value whose JSON would be longer than any text can be
SELECT outbox_capture('l', 'r_set', settings => '{"too_large": "omit"}');
INSERT INTO l VALUES (5, repeat(E'\x01', 180000000), 'b', 1);
SELECT * FROM come();
SELECT outbox_uncapture('l', 'r_set');

-- not even the key fits: nothing of the row is sent, its messages keep their order
CREATE TABLE k (id int PRIMARY KEY, name text, n int);
SELECT outbox_capture('k', 'r_set', key => '{name}');
INSERT INTO k VALUES (1, repeat('k', 300000), 1), (2, repeat('k', 700000), 1), (3, repeat('k', 1200000), 1);
UPDATE k SET n = 2;
SELECT type, CASE WHEN length(key) < 20 THEN key ELSE md5(key) END AS key, length(payload),
    regexp_replace(payload, 'kkkkk+', '<long>', 'g') AS payload FROM come();
SELECT outbox_uncapture('k', 'r_set');
SELECT outbox_capture('k', 'r_set', key => '{}', settings => '{"too_large": "key"}');
UPDATE k SET n = 3 WHERE id = 3;
SELECT type, key, payload FROM come();
DROP TABLE k, l;

-- many columns, from small to large: as many as possible stay
DO $$
BEGIN
    EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, ' || string_agg(format('c%s text', i), ', ') || ')' FROM generate_series(1, 300) AS i);
    EXECUTE $q$SELECT outbox_capture('wide', 'r_set')$q$;
    EXECUTE (SELECT 'INSERT INTO wide VALUES (1, ' || string_agg(format('repeat(%L, %s)', 'x', i * 30), ', ') || ')' FROM generate_series(1, 300) AS i);
END $$;
SELECT payload::json ->> 'omitted' AS omitted, length(payload) > 1048576 - 9100 AND length(payload) < 1048576 AS full,
    (SELECT count(*) FROM json_object_keys(payload::json -> 'new')) AS kept FROM come();
DROP TABLE wide;

-- queues whose messages have a limit of another kind
SELECT outbox_create_queue('r_celery', 'celery');
CREATE TABLE j (id int PRIMARY KEY);
SELECT outbox_capture('j', 'r_celery');
SELECT outbox_drop_queue('r_celery');
SELECT outbox_create_queue('r_asynq', 'asynq');
CREATE TABLE a (id int PRIMARY KEY, v text);
SELECT outbox_capture('a', 'r_asynq', settings => '{"too_large": "omit"}');
INSERT INTO a SELECT i, repeat('x', 1048576 - 400 + i * 20) FROM generate_series(1, 20) AS i;
SELECT count(*), count(*) FILTER (WHERE convert_from(payload, 'UTF8')::jsonb ? 'omitted') BETWEEN 5 AND 15 AS some_omit
FROM outbox.staging_1 JOIN outbox.queue AS q ON q.id = queue WHERE q.name = 'r_asynq';
SELECT outbox_drop_queue('r_asynq', force => true);
DROP TABLE a, j;

DROP FUNCTION try, large, come;
DROP TABLE seen;
DROP VIEW captured;
SELECT outbox_drop_queue('r_set', true);
