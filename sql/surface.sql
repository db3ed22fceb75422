-- What users can call, and what is staged by it.  Nothing here depends on
-- whether the library is preloaded or Redis can be reached.
SET client_min_messages = warning;

-- a table called outbox is no obstacle
CREATE TABLE outbox (n int);
INSERT INTO outbox VALUES (1);

-- queues
SELECT outbox_create_queue('r_stream');
SELECT outbox_create_queue('r_trimmed', maxlen => 1000, redis_key => 'r:trimmed');
SELECT outbox_create_queue('r_list', 'list');
SELECT outbox_create_queue('r_raw', target => 'list', format => 'raw');
SELECT outbox_create_queue('r_channel', 'publish', redis_key => 'r.channel');
SELECT outbox_create_queue('r_text', 'list', settings => '{"payload_type": "text"}');
SELECT name, target, redis_key, format, maxlen, payload_type FROM outbox.queue ORDER BY id;

-- four functions to enqueue, and one that has no other of its name
SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'outbox\_enqueue%' ORDER BY oid::regprocedure::text COLLATE "C";

-- what was staged, in order
CREATE VIEW staged AS
    SELECT q.name AS queue, s.kind, s.type, s.key, s.headers, s.payload,
           s.attempts, s.xid, s.seq, s.id
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name LIKE 'r\_%'
    ORDER BY s.seq;

-- three kinds of payload; an untyped literal is text
SELECT pg_typeof(outbox_enqueue('r_stream', '{"a":  1}'));
SELECT outbox_enqueue('r_stream', '{"a":  1}'::jsonb) IS NOT NULL AS ok;
SELECT outbox_enqueue('r_stream', '{"a":  1}'::json) IS NOT NULL AS ok;
SELECT outbox_enqueue_json('r_stream', '{"a":  1}') IS NOT NULL AS ok;
SELECT outbox_enqueue('r_raw', '\x00ff'::bytea) IS NOT NULL AS ok;
SELECT outbox_enqueue('r_text', '') IS NOT NULL AS ok;

-- all arguments, by name and by place; a given id is returned
SELECT outbox_enqueue('r_text', 'hello', type => 'greet', key => 'alice',
                      headers => '{"traceparent": "00-1", "x": ""}',
                      id => '11111111-1111-7111-8111-111111111111');
SELECT outbox_enqueue('r_text', 'hello', 'greet', 'bob', '{}',
                      '22222222-2222-7222-8222-222222222222');
SELECT queue, kind, type, key, headers, convert_from(payload, 'UTF8') AS payload,
       attempts
FROM staged WHERE kind <> 'b';
SELECT payload FROM staged WHERE kind = 'b';

-- ids are UUIDs of version 7, and near now
SELECT substr(id::text, 15, 1) AS version,
       substr(id::text, 20, 1) ~ '[89ab]' AS variant,
       abs(('x' || translate(substr(id::text, 1, 13), '-', ''))::bit(48)::bigint
           / 1000.0 - extract(epoch FROM clock_timestamp())) < 600 AS near_now
FROM staged WHERE queue = 'r_stream' LIMIT 1;

SELECT outbox_alter_queue('r_raw', settings => '{"payload_type": "text"}');

-- one transaction: one xid, ascending numbers, in order of enqueue
BEGIN;
SELECT count(outbox_enqueue('r_raw', 'n' || i)) FROM generate_series(1, 3) AS i;
SAVEPOINT s;
SELECT outbox_enqueue('r_raw', 'rolled back') IS NOT NULL AS ok;
ROLLBACK TO s;
SAVEPOINT s;
SELECT outbox_enqueue('r_raw', 'in a savepoint') IS NOT NULL AS ok;
RELEASE s;
SELECT bool_and(xid = pg_current_xact_id()) AS top_xid,
       string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY seq) AS payloads
FROM staged WHERE queue = 'r_raw' AND kind = 't';
COMMIT;

-- rolled back: never existed
BEGIN;
SELECT outbox_enqueue('r_raw', 'never') IS NOT NULL AS ok;
ROLLBACK;
SELECT count(*) FROM staged WHERE convert_from(payload, 'UTF8') = 'never' AND kind = 't';

-- from plpgsql, an exception block, a trigger, a DO block
CREATE TABLE users (name text PRIMARY KEY);
CREATE FUNCTION welcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_enqueue('r_channel', jsonb_build_object('user', NEW.name),
                           type => 'welcome');
    RETURN NULL;
END $$;
CREATE TRIGGER welcome AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION welcome();
INSERT INTO users VALUES ('alice'), ('bob');
INSERT INTO users VALUES ('carol'), ('alice');
DO $$
BEGIN
    BEGIN
        PERFORM outbox_enqueue('r_channel', '"caught"');
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN OTHERS THEN
        PERFORM outbox_enqueue('r_channel', '"handled"');
    END;
END $$;
SELECT type, convert_from(payload, 'UTF8') AS payload
FROM staged WHERE queue = 'r_channel';

-- a queue made in this transaction can be used in it, and goes with it
BEGIN;
SELECT outbox_create_queue('r_new');
SELECT outbox_enqueue('r_new', '{}') IS NOT NULL AS ok;
ROLLBACK;
SELECT outbox_enqueue('r_new', '{}');

-- a large payload, stored out of line
SELECT outbox_enqueue('r_text', repeat('0123456789', 60000)) IS NOT NULL AS ok;
SELECT length(payload), md5(payload) = md5(repeat('0123456789', 60000)) AS same
FROM staged WHERE length(payload) > 1000;

-- rows that come by other ways wait for outbox_release()
INSERT INTO outbox.staging_1
    SELECT '3', 1, now(), '33333333-3333-7333-8333-333333333333', '0/1', id, 0, 't',
           'restored', NULL, NULL, 'x'
    FROM outbox.queue WHERE name = 'r_stream';
SELECT count(*) FROM staged WHERE type = 'restored';
SELECT type, reason FROM outbox.deferred;
SELECT outbox_release(NULL);
\set VERBOSITY terse
SELECT outbox_release('copy');  -- the hint says where they would go
\set VERBOSITY default
SELECT outbox_release('restored') IS NOT NULL AS ok;
SELECT outbox_release('restored');
SELECT count(*) FROM outbox.deferred;
SELECT id, xid <> '3' AS new_xid FROM staged WHERE type = 'restored';

-- delivery is turned off and on; the same again changes nothing
SELECT outbox_enable(NULL);
SELECT outbox_enable(true);
SELECT outbox_enable(true);
SELECT enabled, since = (SELECT min(since) FROM outbox.delivery) AS same FROM outbox.delivery;
SELECT outbox_enable(false);
SELECT outbox_enable(false);
SELECT enabled FROM outbox.delivery;
SELECT outbox_enable(true);
SELECT enabled FROM outbox.delivery;

-- status is one row
SELECT count(*), count(state) FROM outbox.status;

DROP VIEW staged;
DROP TABLE users;
DROP FUNCTION welcome();
DROP TABLE outbox;
