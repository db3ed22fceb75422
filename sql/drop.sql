-- Dropping queues and the extension; the extension in a schema of its own.
SET client_min_messages = warning;
SELECT outbox_drop_queue(name, force => true)
FROM outbox.queue WHERE name LIKE 'r\_%' ORDER BY id;
SELECT count(*) FROM outbox.queue;

-- dropped queues are forgotten by sessions that have used them
SELECT outbox_enqueue('r_stream', '{}');

-- a queue without messages needs no force
SELECT outbox_create_queue('r_stream');
SELECT outbox_drop_queue('r_stream');

-- a queue made again is another queue: nothing of the old one is left
SELECT outbox_create_queue('r_stream');
SELECT count(*) FROM outbox.staging_1 WHERE queue = (SELECT id FROM outbox.queue);
SELECT outbox_drop_queue('r_stream');

DROP EXTENSION outbox;
SELECT count(*) FROM pg_namespace WHERE nspname = 'outbox';
SELECT count(*) FROM pg_proc WHERE proname LIKE 'outbox\_%';

CREATE SCHEMA messaging;
SET client_min_messages = error;
CREATE EXTENSION outbox SCHEMA messaging;
SET client_min_messages = warning;
SELECT n.nspname, count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
WHERE proname LIKE 'outbox\_%' GROUP BY 1;
SELECT messaging.outbox_create_queue('r_stream');
SELECT messaging.outbox_enqueue('r_stream', '{}') IS NOT NULL AS ok;
-- triggers find their functions there
CREATE TABLE captured (id int PRIMARY KEY);
SELECT messaging.outbox_capture('captured', 'r_stream', operations => '{insert}');
INSERT INTO captured VALUES (1);
SELECT type FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE key = '1';
SELECT messaging.outbox_uncapture('captured', 'r_stream');
CREATE TABLE topic (payload json);
SELECT messaging.outbox_forward_watermill('topic');
SELECT messaging.outbox_unforward_watermill('topic');
DROP TABLE captured, topic;
DROP EXTENSION outbox;
DROP SCHEMA messaging;

-- a schema of somebody else's with the name of ours
CREATE FUNCTION try(OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    CREATE EXTENSION outbox;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;
CREATE SCHEMA outbox CREATE TABLE theirs (i int);
SELECT * FROM try();
ALTER SCHEMA outbox RENAME TO theirs;
CREATE SCHEMA outbox_queues;
SELECT * FROM try();
SELECT to_regnamespace('outbox') IS NULL AS nothing_is_left, to_regclass('theirs.theirs') IS NOT NULL AS theirs_is_as_it_was;
DROP SCHEMA outbox_queues;
SET client_min_messages = error;
SELECT * FROM try();
SET client_min_messages = warning;
DROP EXTENSION outbox;
DROP TABLE theirs.theirs;
DROP SCHEMA theirs;
DROP FUNCTION try();
