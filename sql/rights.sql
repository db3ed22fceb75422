-- Rights are PostgreSQL's: INSERT on a queue's view is the right to enqueue.
SET client_min_messages = warning;
CREATE ROLE regress_outbox_app;
CREATE ROLE regress_outbox_member IN ROLE regress_outbox_app;
CREATE VIEW rights AS
    SELECT c.relname, format_type(a.atttypid, NULL) AS payload, obj_description(c.oid) AS comment,
        (SELECT string_agg(pg_get_userbyid(r.grantor) || ' ' || CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r.grantee) END
                || ' ' || r.privilege_type || CASE WHEN r.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY r.grantee::regrole::text COLLATE "C")
         FROM aclexplode(c.relacl) AS r WHERE r.grantee <> c.relowner AND r.grantor <> c.relowner OR r.grantee NOT IN (0, c.relowner)) AS rights
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = 1
    WHERE c.relnamespace = 'outbox_queues'::regnamespace;
SELECT current_user AS me \gset
-- what is staged, without numbers and ids
CREATE FUNCTION staged() RETURNS TABLE (queue text, type text, key text, headers jsonb, payload text, due text)
LANGUAGE sql AS $$
    SELECT q.name, s.type, s.key, s.headers, convert_from(s.payload, 'UTF8'), s.due
    FROM (SELECT *, 'now' AS due FROM outbox.staging_1 UNION ALL SELECT *, 'now' FROM outbox.staging_2 UNION ALL
          SELECT xid, seq, enqueued_at, id, lsn, queue, attempts, kind, type, key, headers, payload, history, options, 'later' FROM outbox.deferred) AS s
    JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name LIKE 'rights %' ORDER BY s.seq
$$;

-- views follow queues, whoever changes those
SELECT outbox_create_queue('rights json'), outbox_create_queue('rights bytes', settings => '{"payload_type": "bytea"}');
SELECT outbox_create_queue('rights "text"', settings => '{"payload_type": "text"}');
SELECT relname, payload, comment FROM rights WHERE relname LIKE 'rights %' ORDER BY 1;
\d "outbox_queues"."rights json"
BEGIN;
SELECT outbox_drop_queue('rights bytes');
SELECT relname FROM rights WHERE relname LIKE 'rights %' ORDER BY 1;
SAVEPOINT s;
SELECT outbox_create_queue('rights bytes');
SELECT relname, payload FROM rights WHERE relname LIKE 'rights %' ORDER BY 1;
ROLLBACK TO s;
UPDATE outbox.queue SET name = 'rights renamed' WHERE name = 'rights json';
SELECT relname, comment FROM rights WHERE relname LIKE 'rights %' ORDER BY 1;
INSERT INTO outbox_queues."rights renamed" (payload) VALUES ('1');
ROLLBACK;
SELECT relname, payload FROM rights WHERE relname LIKE 'rights %' ORDER BY 1;

-- a name that is too long, and names like those that views then get
BEGIN;
SELECT setval('outbox.queue_id', 1000);
SELECT outbox_create_queue(repeat('rights ', 10)), outbox_create_queue('queue 1001'), outbox_create_queue('queue'), outbox_create_queue('queue 1x');
SELECT relname, comment FROM rights WHERE relname LIKE 'queue%' ORDER BY 1;
UPDATE outbox.queue SET name = 'rights short' WHERE id = 1001;
UPDATE outbox.queue SET name = repeat('rights ', 11) WHERE id = 1003;
SELECT relname, comment FROM rights WHERE relname LIKE 'queue%' OR relname LIKE 'rights s%' ORDER BY 1;
TRUNCATE outbox.queue;
SELECT count(*) FROM rights;
ROLLBACK;

-- one right for each way
SELECT outbox_grant('regress_outbox_app', 'rights json');
SET ROLE regress_outbox_member;
SELECT outbox_enqueue('rights json', '"function"') IS NOT NULL AS ok;
SELECT cardinality(outbox_enqueue_many('rights json', '[1, 2]'));
INSERT INTO outbox_queues."rights json" (payload, type, key, headers) VALUES ('"view"', 'a type', 'a key', '{"h": "1"}') RETURNING id IS NOT NULL AS ok;
INSERT INTO outbox_queues."rights json" (payload, id) VALUES ('"id"', '01234567-89ab-7cde-8f01-23456789abcd') RETURNING id;
INSERT INTO outbox_queues."rights json" (payload, deliver_at) SELECT to_json(i), now() + i * interval '1 hour' FROM generate_series(-1, 1) AS i;
COPY outbox_queues."rights json" (payload, key) FROM stdin;
{"by": "COPY"}	a key
\.
SELECT * FROM outbox_queues."rights json";
-- and no other
SELECT outbox_enqueue('rights bytes', 'x');
SELECT outbox_enqueue_json('rights bytes', '1');
SELECT outbox_enqueue_many('rights bytes', '[1]');
SELECT outbox_enqueue('rights bytes', 'x', delay => '1 hour');
INSERT INTO outbox_queues."rights bytes" (payload) VALUES ('x');
UPDATE outbox_queues."rights json" SET key = 'x';
DELETE FROM outbox_queues."rights json";
RESET ROLE;
SELECT * FROM staged();

-- what can't be delivered is refused as by outbox_enqueue()
\set VERBOSITY terse
INSERT INTO outbox_queues."rights json" (payload) VALUES (NULL);
INSERT INTO outbox_queues."rights json" (payload, headers) VALUES ('1', '[]');
INSERT INTO outbox_queues."rights json" (payload, deliver_at) VALUES ('1', 'infinity');
INSERT INTO outbox_queues."rights json" (payload, options) VALUES ('1', '{"unknown": 1}');
INSERT INTO outbox_queues."rights ""text""" (payload) VALUES ('\x00');
BEGIN READ ONLY;
INSERT INTO outbox_queues."rights json" (payload) VALUES ('1');
ROLLBACK;
\set VERBOSITY default

-- columns can be granted, and views above the view have their owner's right
GRANT INSERT (payload) ON outbox_queues."rights bytes" TO regress_outbox_app;
CREATE VIEW above AS SELECT payload, key FROM outbox_queues."rights bytes";
GRANT INSERT ON above TO regress_outbox_app;
SET ROLE regress_outbox_member;
INSERT INTO outbox_queues."rights bytes" (payload) VALUES ('a column');
INSERT INTO outbox_queues."rights bytes" (payload, key) VALUES ('x', 'x');
INSERT INTO above VALUES ('above', 'k');
SELECT outbox_enqueue('rights bytes', 'x');
RESET ROLE;
DROP VIEW above;
SELECT * FROM staged() WHERE queue = 'rights bytes';

-- a view with the trigger that isn't the queue's has no right on the queue
CREATE VIEW outbox_queues."rights forged" AS TABLE outbox_queues."rights bytes";
CREATE TRIGGER enqueue INSTEAD OF INSERT ON outbox_queues."rights forged" FOR EACH ROW EXECUTE FUNCTION outbox.queue_insert('rights bytes');
GRANT INSERT ON outbox_queues."rights forged" TO regress_outbox_app;
SET ROLE regress_outbox_app;
INSERT INTO outbox_queues."rights forged" (payload) VALUES ('x');
CREATE TEMP VIEW mine AS TABLE outbox_queues."rights bytes";
CREATE TRIGGER enqueue INSTEAD OF INSERT ON mine FOR EACH ROW EXECUTE FUNCTION outbox.queue_insert('rights bytes');
RESET ROLE;
DROP VIEW mine, outbox_queues."rights forged";
SELECT outbox.queue_insert();

-- grants stay, with who granted what, when the payload type changes and when the queue is renamed
REVOKE ALL (payload) ON outbox_queues."rights bytes" FROM regress_outbox_app;
GRANT INSERT ON outbox_queues."rights bytes" TO regress_outbox_app WITH GRANT OPTION;
SET ROLE regress_outbox_app;
GRANT INSERT ON outbox_queues."rights bytes" TO regress_outbox_member WITH GRANT OPTION;
RESET ROLE;
SELECT outbox_alter_queue('rights bytes', settings => '{"payload_type": "text"}');
SELECT relname, payload, replace(rights, :'me', 'owner') AS rights FROM rights WHERE relname = 'rights bytes';
UPDATE outbox.queue SET name = 'rights renamed' WHERE name = 'rights bytes';
SELECT relname, payload, replace(rights, :'me', 'owner') AS rights FROM rights WHERE relname = 'rights renamed';
BEGIN;
DROP OWNED BY regress_outbox_app, regress_outbox_member;
SELECT relname, rights FROM rights WHERE relname = 'rights renamed';
ROLLBACK;
-- a queue that is dropped and created again is another queue
BEGIN;
SELECT outbox_drop_queue('rights renamed', force => true), outbox_create_queue('rights renamed');
SELECT relname, payload, rights FROM rights WHERE relname = 'rights renamed';
ROLLBACK;

-- a view that somebody has dropped
SELECT outbox_create_queue('rights gone');
SELECT outbox_grant('regress_outbox_app', 'rights gone');
SELECT outbox_enqueue('rights gone', '1') IS NOT NULL AS ok;
DROP VIEW outbox_queues."rights gone";
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights gone', '2');
RESET ROLE;
SELECT outbox_enqueue('rights gone', '3') IS NOT NULL AS ok;
SELECT outbox_revoke('regress_outbox_app', 'rights gone');
SELECT outbox_alter_queue('rights gone');
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights gone', '4');
RESET ROLE;
SELECT outbox_grant('regress_outbox_app', 'rights gone');
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights gone', '5') IS NOT NULL AS ok;
RESET ROLE;

-- what others have made of a view is in the way of who drops it
SELECT outbox_create_queue('rights needed');
\set SHOW_CONTEXT never
CREATE VIEW rights_of_user AS SELECT payload FROM outbox_queues."rights needed";
SELECT outbox_drop_queue('rights needed');
SELECT outbox_alter_queue('rights needed', settings => '{"payload_type": "text"}');
SELECT outbox_alter_queue('rights needed', settings => '{"name": "rights still needed"}');
SELECT count(*) FROM rights_of_user;
\set SHOW_CONTEXT errors
DROP VIEW rights_of_user;
SELECT outbox_alter_queue('rights still needed', settings => '{"payload_type": "text"}');
SELECT outbox_drop_queue('rights still needed');

-- grant and revoke
SET client_min_messages = notice;
SELECT outbox_grant(NULL);
SELECT outbox_grant(1::regrole);
SELECT outbox_grant('regress_outbox_nobody');
SELECT outbox_grant('regress_outbox_app', 'rights none');
SELECT outbox_revoke('regress_outbox_member', 'rights gone');
SELECT outbox_revoke('regress_outbox_app', 'rights gone');
SELECT outbox_revoke('regress_outbox_app', 'rights gone');
SELECT outbox_grant('regress_outbox_app');
SELECT outbox_create_queue('rights later');
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights later', '1') IS NOT NULL AS ok;
RESET ROLE;
SELECT outbox_revoke('regress_outbox_app', 'rights later');
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights later', '1');
RESET ROLE;
\set VERBOSITY terse
SELECT outbox_revoke('regress_outbox_app');
REVOKE INSERT ON outbox_queues."rights renamed" FROM regress_outbox_app CASCADE;
\set VERBOSITY default
SELECT outbox_revoke('regress_outbox_app');
SELECT outbox_create_queue('rights latest');
SELECT relname, rights FROM rights WHERE relname LIKE 'rights%' ORDER BY 1;
SET ROLE regress_outbox_app;
SELECT outbox_enqueue('rights latest', '1');
RESET ROLE;
SET client_min_messages = warning;

SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'rights%' ORDER BY id;
SELECT relname FROM rights WHERE relname LIKE 'rights%' ORDER BY 1;
DROP FUNCTION staged;
DROP VIEW rights;
DROP OWNED BY regress_outbox_app, regress_outbox_member;
DROP ROLE regress_outbox_app, regress_outbox_member;
