-- Tables whose changes are enqueued.
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT outbox_create_queue('r_capture');
SELECT outbox_create_queue('r_other');

CREATE VIEW captured AS
    SELECT q.name AS queue, s.type, s.key, s.kind, convert_from(s.payload, 'UTF8')::json AS payload, s.seq, s.xid
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name IN ('r_capture', 'r_other')
    ORDER BY s.seq;
CREATE TABLE seen (seq bigint);
INSERT INTO seen VALUES (0);
-- what has come since it was last looked at
CREATE FUNCTION come(OUT type text, OUT key text, OUT payload text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT c.type, c.key, c.payload::text FROM captured c
        WHERE seq > (SELECT s.seq FROM seen s) ORDER BY seq;
    UPDATE seen SET seq = (SELECT last_value FROM outbox.seq);
END $$;

-- every operation, with the primary key
CREATE TABLE orders (id int PRIMARY KEY, status text, total numeric, note text);
SELECT outbox_capture('orders', 'r_capture');
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'orders'::regclass ORDER BY 1;
INSERT INTO orders VALUES (1, 'new', 10.50, NULL), (2, 'new', 'NaN', E'a "b" \\ \n ü');
UPDATE orders SET status = 'paid' WHERE id = 1;
UPDATE orders SET id = 3 WHERE id = 2;
DELETE FROM orders WHERE id = 3;
SELECT * FROM come();
SELECT DISTINCT kind, queue FROM captured;
-- an update that changes nothing enqueues nothing; 1.0 is not 1.00
UPDATE orders SET status = status;
UPDATE orders SET note = NULL;
UPDATE orders SET total = 10.5;
SELECT payload::json -> 'changed' AS changed FROM come();
-- COPY, ON CONFLICT, MERGE, the rows of a foreign key's cascade
COPY orders FROM stdin;
4	copied	1	\N
\.
INSERT INTO orders VALUES (4, 'again') ON CONFLICT (id) DO UPDATE SET status = 'updated';
INSERT INTO orders VALUES (4, 'again') ON CONFLICT DO NOTHING;
MERGE INTO orders o USING (VALUES (4), (5)) v (id) ON o.id = v.id
    WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id);
SELECT type, key FROM come();
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE);
SELECT outbox_capture('items', 'r_capture');
INSERT INTO items VALUES (1, 5);
DELETE FROM orders WHERE id = 5;
SELECT type, key, payload::json ->> 'old' AS old FROM come();
DROP TABLE items;
-- rolled back, also in part
BEGIN;
INSERT INTO orders VALUES (6);
SAVEPOINT s;
INSERT INTO orders VALUES (7);
ROLLBACK TO s;
INSERT INTO orders VALUES (8);
COMMIT;
BEGIN;
INSERT INTO orders VALUES (9);
ROLLBACK;
SELECT type, key FROM come();

-- twice for the same queue is once too often; another queue has its own
SELECT outbox_capture('orders', 'r_capture', operations => '{delete}');
SELECT outbox_capture('orders', 'r_other', columns => '{status,id}', operations => '{update}');
UPDATE orders SET status = 'x' WHERE id = 8;
SELECT queue, type, payload FROM captured WHERE seq > (SELECT seq FROM seen);
-- only these columns: others don't count, but for the key's
SELECT * FROM come();
SELECT outbox_uncapture('orders', 'r_capture');
UPDATE orders SET note = 'y' WHERE id = 8;
UPDATE orders SET id = 80, note = 'z' WHERE id = 8;
SELECT * FROM come();
SELECT outbox_uncapture('orders', 'r_other');
SELECT outbox_uncapture('orders', 'r_other');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
-- a key column that isn't captured is in the key, and in nothing else
SELECT outbox_capture('orders', 'r_capture', '{status}');
UPDATE orders SET id = 8 WHERE id = 80;
UPDATE orders SET note = 'not captured';
SELECT payload FROM come();
SELECT outbox_uncapture('orders', 'r_capture');

-- conditions, per operation
SELECT outbox_capture('orders', 'r_capture', condition => 'NEW.total > 100', operations => '{insert,update}');
SELECT outbox_capture('orders', 'r_capture', condition => 'OLD.total > 100 -- large ones', operations => '{delete}');
INSERT INTO orders VALUES (10, 'small', 1), (11, 'large', 1000);
UPDATE orders SET total = 200 WHERE id = 10;
UPDATE orders SET total = 2 WHERE id = 11;
DELETE FROM orders WHERE id IN (10, 11);
SELECT type, key FROM come();
SELECT outbox_uncapture('orders', 'r_capture');
SELECT outbox_capture('orders', 'r_capture', condition => 'NEW.status IS DISTINCT FROM OLD.status', operations => '{update}');
UPDATE orders SET status = 'new', total = 1 WHERE id = 1;
UPDATE orders SET status = 'new', total = 2 WHERE id = 1;
SELECT type, key FROM come();
SELECT outbox_uncapture('orders', 'r_capture');
-- what can't be; nothing of it is left
SELECT outbox_capture('orders', 'r_capture', condition => 'NEW.total > 100');
SELECT outbox_capture('orders', 'r_capture', condition => 'OLD.total > 100', operations => '{insert}');
SELECT outbox_capture('orders', 'r_capture', condition => 'NEW.total >');
SELECT outbox_capture('orders', 'r_capture', condition => 'NEW.totl > 1', operations => '{insert}');
SELECT outbox_capture('orders', 'r_capture', condition => '');
SELECT outbox_capture('orders', 'r_capture', condition => 'true) EXECUTE FUNCTION f(); SELECT (1');
SELECT outbox_capture('orders', 'r_capture', condition => 'true AS x');
SELECT outbox_capture('orders', 'r_capture', condition => 'true, false');
SELECT outbox_capture('orders', 'r_capture', condition => 'true FROM orders');
SELECT outbox_capture('orders', 'r_capture', condition => 'true; SELECT true');
SELECT outbox_capture('orders', 'r_capture', condition => '/* true');
\set VERBOSITY terse
SELECT outbox_capture('orders', 'nowhere');
SELECT outbox_capture('orders', NULL);
SELECT outbox_capture(NULL, 'r_capture');
SELECT outbox_capture('orders', 'r_capture', '{id,nothing}');
SELECT outbox_capture('orders', 'r_capture', '{id,ctid}');
SELECT outbox_capture('orders', 'r_capture', '{}');
SELECT outbox_capture('orders', 'r_capture', '{id,NULL}');
SELECT outbox_capture('orders', 'r_capture', key => '{nothing}');
SELECT outbox_capture('orders', 'r_capture', operations => '{}');
SELECT outbox_capture('orders', 'r_capture', operations => '{truncate}');
SELECT outbox_capture('orders', 'r_capture', operations => '{insert,NULL}');
SELECT outbox_capture('orders', 'r_capture', operations => NULL);
SELECT outbox_capture('seen', 'r_capture');
SELECT outbox_capture('captured', 'r_capture', key => '{}');
SELECT outbox_uncapture(NULL, 'r_capture');
SELECT outbox_uncapture('orders', NULL);
SELECT outbox_capture_row();
BEGIN READ ONLY;
SELECT outbox_capture('orders', 'r_capture');
ROLLBACK;
BEGIN READ ONLY;
SELECT outbox_uncapture('orders', 'r_capture');
ROLLBACK;
\set VERBOSITY default
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('orders'::regclass, 'seen'::regclass);

-- triggers made by hand: the arguments that follow the queue may be left out;
-- others than AFTER ROW are refused
CREATE TRIGGER mine AFTER INSERT OR UPDATE OR DELETE ON orders
    FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_capture');
INSERT INTO orders VALUES (12);
UPDATE orders SET status = 's' WHERE id = 12;
DELETE FROM orders WHERE id = 12;
SELECT type, key FROM come();
SELECT outbox_uncapture('orders', 'r_capture');
CREATE TRIGGER mine BEFORE INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_capture');
INSERT INTO orders VALUES (12);
DROP TRIGGER mine ON orders;
CREATE TRIGGER mine AFTER INSERT ON orders EXECUTE FUNCTION outbox_capture_row('r_capture');
INSERT INTO orders VALUES (12);
DROP TRIGGER mine ON orders;
CREATE TRIGGER mine AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION outbox_capture_row();
INSERT INTO orders VALUES (12);
DROP TRIGGER mine ON orders;
DROP TABLE orders;

-- keys: none, several columns, null, of types that a session can show in its own way
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE log (line text, at moment);
SELECT outbox_capture('log', 'r_capture', key => '{}');
INSERT INTO log VALUES ('x', '2026-11-22 21:00:00+01');
SELECT * FROM come();
SELECT outbox_uncapture('log', 'r_capture');
SELECT outbox_capture('log', 'r_capture', key => '{line,at}');
SET timezone = 'Asia/Tokyo';
SET datestyle = 'SQL, DMY';
INSERT INTO log VALUES ('x', '2026-11-22 21:00:00+01'), (NULL, NULL);
SELECT * FROM come();
SELECT outbox_uncapture('log', 'r_capture');
SELECT outbox_capture('log', 'r_capture', key => '{at}');
INSERT INTO log VALUES ('x', '2026-11-22 21:00:00+01'), (NULL, NULL);
SELECT * FROM come();
RESET datestyle;
SET timezone = 'UTC';
-- a key is the same whatever the session's settings are
CREATE TABLE settings (span tstzrange, bytes bytea, iv interval, f float8, at timetz, note text);
SELECT outbox_capture('settings', 'r_capture', key => '{span,bytes,iv,f,at}');
SELECT outbox_capture('settings', 'r_other', key => '{span}');
INSERT INTO settings VALUES ('[2026-11-22 20:00+00,)', '\x00ff', '1 day 02:00', 0.1, '12:00+01');
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
SET extra_float_digits = -10;
UPDATE settings SET note = 'x', f = 0.1;
SELECT queue, count(*), count(DISTINCT key), min(key) FROM captured WHERE type LIKE 'settings.%' GROUP BY queue ORDER BY queue;
SHOW timezone;
RESET extra_float_digits;
RESET bytea_output;
RESET intervalstyle;
RESET datestyle;
SET timezone = 'UTC';
UPDATE seen SET seq = (SELECT last_value FROM outbox.seq);
DROP TABLE settings;
-- a value that an update leaves alone though it is stored out of line
CREATE TABLE large (id int PRIMARY KEY, doc text, n int);
ALTER TABLE large ALTER doc SET STORAGE EXTERNAL;
INSERT INTO large VALUES (1, repeat('0123456789', 1000), 1);
SELECT outbox_capture('large', 'r_capture');
UPDATE large SET n = 2;
UPDATE large SET doc = doc || '';
UPDATE large SET doc = doc || '!';
DELETE FROM large;
SELECT type, payload::json -> 'changed' AS changed,
       md5(payload::json -> 'new' ->> 'doc') AS new, md5(payload::json -> 'old' ->> 'doc') AS old
FROM come();
SELECT md5(repeat('0123456789', 1000)), md5(repeat('0123456789', 1000) || '!');
-- too large
INSERT INTO large VALUES (2, repeat('0123456789', 200000), 1);
SELECT count(*) FROM come();
DROP TABLE large, log;
DROP DOMAIN moment;

-- odd names, dropped columns, generated ones, a default that is not stored
CREATE SCHEMA "sch ema";
CREATE TABLE "sch ema"."Ta""b.le\" ("I d" int, gone text, "sel""ect" text, twice int GENERATED ALWAYS AS ("I d" * 2) STORED, PRIMARY KEY ("I d", "sel""ect"));
INSERT INTO "sch ema"."Ta""b.le\" VALUES (0, 'x', 'before');
ALTER TABLE "sch ema"."Ta""b.le\" DROP gone, ADD "a,{b" text DEFAULT 'added';
SELECT outbox_create_queue('r_''o\d"d');
SELECT outbox_capture('"sch ema"."Ta""b.le\"', 'r_''o\d"d', columns => ARRAY['a,{b', 'twice']);
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '"sch ema"."Ta""b.le\"'::regclass ORDER BY 1 LIMIT 1;
INSERT INTO "sch ema"."Ta""b.le\" VALUES (1, 'k"ey');
UPDATE "sch ema"."Ta""b.le\" SET "I d" = 2;
SELECT convert_from(payload, 'UTF8') AS payload, type, key FROM outbox.staging_1
    WHERE queue = (SELECT max(id) FROM outbox.queue) ORDER BY seq;
SELECT outbox_uncapture('"sch ema"."Ta""b.le\"', 'r_''o\d"d');
-- long names of queues give different triggers
SELECT outbox_create_queue(repeat('ü', 100) || i) FROM generate_series(1, 2) AS i;
SELECT outbox_capture('"sch ema"."Ta""b.le\"', repeat('ü', 100) || i, operations => '{insert}') FROM generate_series(1, 2) AS i;
SELECT tgname, length(tgname::text) FROM pg_trigger WHERE tgrelid = '"sch ema"."Ta""b.le\"'::regclass ORDER BY 1;
SELECT outbox_uncapture('"sch ema"."Ta""b.le\"', repeat('ü', 100) || 2);
SELECT tgname FROM pg_trigger WHERE tgrelid = '"sch ema"."Ta""b.le\"'::regclass;
DROP SCHEMA "sch ema" CASCADE;
SELECT outbox_drop_queue(name, true) FROM outbox.queue WHERE name LIKE 'üü%' OR name LIKE 'r\_''%';

-- all kinds of values are as to_json() makes them, in whatever session
CREATE TYPE mood AS ENUM ('sad', 'hap"py');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN label AS text;
CREATE DOMAIN at AS timestamptz;
CREATE TABLE kinds (id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(5, 2),
    t text, v varchar(10), c char(5), ch "char", nm name, d date, ts timestamp, tz timestamptz, tm time, tt timetz, iv interval,
    u uuid, by bytea, j json, jb jsonb, e mood, p pair, ps pair[], a int[], at2 text[], ats timestamptz[], dp percent, dl label, dt at,
    r int4range, ip inet, bits bit(3), m money, o oid, pt point, dps percent[]);
INSERT INTO kinds (id) VALUES (1);
INSERT INTO kinds VALUES (2, true, -32768, -9223372036854775808, 1e-20, 1e300, 1e20, 1.10,
    E'"\\/\b\f\n\r\t\x01 é', 'v', 'c', 'c', 'name', '2026-11-22', '2026-11-22 21:00:00.123456', '2026-11-22 21:00:00+05:30', '12:00', '12:00+02', '1 day 2 hours',
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '\x00ff', '{"a":  1, "a": 2}', '{"b": [1, null]}', 'hap"py', (1, 'x"'), ARRAY[(1, 'y')::pair, NULL], '{{1,2},{3,NULL}}', '{"a,b",NULL,"\""}', '{infinity,"2026-01-01 00:00+00"}', 5, 'l"', 'now',
    '[1,5)', '10.0.0.1/8', '101', '1.5', 4294967295, '(1,2)', '{1,2}');
INSERT INTO kinds (id, f4, f8, n, d, ts, tz, dt) VALUES (3, 'NaN', 'Infinity', 'Infinity', 'infinity', '-infinity', 'infinity', 'infinity'),
    (4, '-Infinity', '-0', '-Infinity', '0044-03-15 BC', '4713-01-01 BC', '294276-12-31 23:59:59.999999+00', '-infinity'),
    (5, 0.1, 0.1, -0.00, '12345-01-01', '2026-11-22', '0001-01-01 00:00:00+00 BC', '1900-01-01');
SET lc_monetary = 'C';
SET intervalstyle = 'postgres';
CREATE TABLE expected AS SELECT id, to_json(kinds) AS json FROM kinds;
RESET lc_monetary;
SELECT outbox_capture('kinds', 'r_capture', key => '{}');
SET timezone = 'America/St_Johns';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
CREATE TABLE again AS SELECT * FROM kinds;
DELETE FROM kinds;
INSERT INTO kinds SELECT * FROM again;
SELECT (payload::json -> 'old' ->> 'id')::int AS id, (payload::json -> 'old')::text = json::text AS same
FROM come() LEFT JOIN expected ON id = (payload::json -> 'old' ->> 'id')::int WHERE type = 'kinds.delete';
SELECT count(*) FROM captured JOIN expected ON (payload -> 'new')::text = json::text;
SET timezone = 'UTC';
RESET intervalstyle;
RESET bytea_output;
DROP TABLE kinds, again, expected;
DROP TYPE mood;
DROP DOMAIN percent, label, at;
DROP TYPE pair;

-- partitions: the table's name, columns in another order, rows that move
CREATE TABLE parts (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parts_2 (v text, extra int, at date NOT NULL, id int NOT NULL);
ALTER TABLE parts_2 DROP extra;
SELECT outbox_capture('parts', 'r_capture');
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2026-02-01', 'a'), (2, '2026-08-01', 'b');
INSERT INTO parts_2 VALUES ('direct', '2026-09-01', 3);
UPDATE parts SET v = v || '!' WHERE id = 2;
UPDATE parts SET at = '2026-08-02' WHERE id = 1;
SELECT * FROM come();
SELECT outbox_capture('parts_1', 'r_capture');
SELECT outbox_uncapture('parts_1', 'r_capture');
ALTER TABLE parts DETACH PARTITION parts_2;
INSERT INTO parts_2 VALUES ('detached', '2026-09-01', 4);
SELECT type FROM come();
SELECT outbox_uncapture('parts', 'r_capture');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('parts'::regclass, 'parts_1'::regclass, 'parts_2'::regclass);
DROP TABLE parts, parts_2;

-- what happens to a table happens to what is captured of it
CREATE TABLE t (id int PRIMARY KEY, a int, b int);
SELECT outbox_capture('t', 'r_capture', columns => '{a,b}');
ALTER TABLE t ADD c int;
ALTER TABLE t RENAME TO t2;
ALTER TABLE t2 RENAME id TO number;
INSERT INTO t2 VALUES (1, 2, 3, 4);
SELECT * FROM come();
ALTER TABLE t2 RENAME b TO bb;
INSERT INTO t2 VALUES (2, 2, 3, 4);
ALTER TABLE t2 RENAME bb TO b;
ALTER TABLE t2 DROP CONSTRAINT t_pkey;
INSERT INTO t2 VALUES (2, 2, 3, 4);
SELECT outbox_uncapture('t2', 'r_capture');
SELECT outbox_capture('t2', 'r_capture', key => '{number}');
-- another server's changes are that one's to tell
SET session_replication_role = replica;
INSERT INTO t2 VALUES (3, 2, 3, 4);
RESET session_replication_role;
SELECT count(*) FROM come();
-- a queue that is gone
SELECT outbox_create_queue('r_gone');
SELECT outbox_capture('t2', 'r_gone', key => '{}');
CREATE TABLE "T 3" (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE t3_1 PARTITION OF "T 3" DEFAULT;
SELECT outbox_capture('"T 3"', 'r_gone');
SELECT outbox_drop_queue('r_gone');
SET client_min_messages = notice;
SELECT outbox_drop_queue('r_gone', force => true);
SET client_min_messages = warning;
INSERT INTO t2 VALUES (4, 2, 3, 4);
INSERT INTO "T 3" VALUES (4);
DROP TABLE "T 3";
SELECT outbox_create_queue('r_gone');
SELECT outbox_capture('t2', 'r_gone', key => '{}');
DELETE FROM outbox.queue WHERE name = 'r_gone';
INSERT INTO t2 VALUES (5, 2, 3, 4);
SELECT outbox_uncapture('t2', 'r_gone');
-- tables that inherit from it
CREATE TABLE child () INHERITS (t2);
SELECT outbox_capture('t2', 'r_other', key => '{number}');
INSERT INTO child VALUES (6, 2, 3, 4);
SELECT count(*) FROM captured WHERE queue = 'r_other' AND key = '6';
DROP TABLE child;
SELECT outbox_uncapture('t2', 'r_other');
-- a temporary table may be written to in a read-only transaction
CREATE TEMP TABLE mine (id int PRIMARY KEY);
SELECT outbox_capture('mine', 'r_capture');
INSERT INTO mine VALUES (1);
BEGIN READ ONLY;
\set VERBOSITY terse
INSERT INTO mine VALUES (2);
\set VERBOSITY default
ROLLBACK;
SELECT type, payload::json -> 'new' AS new FROM come();
DROP TABLE mine, t2;

-- privileges: to capture takes TRIGGER on the table, and EXECUTE on
-- outbox_capture(), its trigger's function and outbox_enqueue(); to write to
-- the table takes nothing
CREATE ROLE regress_outbox_owner;
CREATE ROLE regress_outbox_writer;
CREATE TABLE theirs (id int PRIMARY KEY);
GRANT TRIGGER ON theirs TO regress_outbox_owner;
CREATE TABLE others (id int PRIMARY KEY);
GRANT INSERT ON theirs TO regress_outbox_writer;
SET ROLE regress_outbox_owner;
SELECT outbox_capture('theirs', 'r_capture');
SELECT outbox_uncapture('theirs', 'r_capture');
CREATE TRIGGER mine AFTER INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_capture');
RESET ROLE;
GRANT EXECUTE ON FUNCTION outbox_capture(regclass, text, text[], text[], text, text[], jsonb), outbox_uncapture(regclass, text) TO regress_outbox_owner;
SET ROLE regress_outbox_owner;
SELECT outbox_capture('theirs', 'r_capture');
RESET ROLE;
SELECT outbox_grant('regress_outbox_owner', 'r_capture');
SET ROLE regress_outbox_owner;
SELECT outbox_capture('theirs', 'r_capture');
RESET ROLE;
GRANT EXECUTE ON FUNCTION outbox_capture_row() TO regress_outbox_owner;
SET ROLE regress_outbox_owner;
SELECT outbox_capture('others', 'r_capture');
SELECT outbox_capture('theirs', 'r_capture');
SELECT outbox_uncapture('theirs', 'r_capture');
RESET ROLE;
SET ROLE regress_outbox_writer;
INSERT INTO theirs VALUES (1);
SELECT outbox_enqueue('r_capture', '{}'::jsonb);
RESET ROLE;
SELECT * FROM come();
ALTER TABLE theirs OWNER TO regress_outbox_owner;
-- the right is the table's owner's, with a trigger of its own making, too
SELECT outbox_create_queue('r_denied');
SELECT outbox_capture('theirs', 'r_denied');
SET ROLE regress_outbox_owner;
SELECT outbox_capture('theirs', 'r_denied');
CREATE TRIGGER mine AFTER INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION outbox_capture_row('r_denied');
RESET ROLE;
SET ROLE regress_outbox_writer;
INSERT INTO theirs VALUES (2);
RESET ROLE;
DROP TRIGGER mine ON theirs;
SELECT outbox_drop_queue('r_denied');
SELECT outbox_revoke('regress_outbox_owner', 'r_capture');
SET ROLE regress_outbox_writer;
INSERT INTO theirs VALUES (2);
SET ROLE regress_outbox_owner;
SELECT outbox_uncapture('theirs', 'r_capture');
RESET ROLE;
DROP TABLE theirs, others;
DROP OWNED BY regress_outbox_owner;
DROP ROLE regress_outbox_owner, regress_outbox_writer;

-- the extension doesn't go while a trigger needs it
CREATE TABLE needs (id int PRIMARY KEY);
SELECT outbox_capture('needs', 'r_capture', operations => '{insert}');
\set VERBOSITY terse
DROP FUNCTION outbox_capture_row();
DROP EXTENSION outbox;
\set VERBOSITY default
DROP TABLE needs;

DROP FUNCTION come();
DROP TABLE seen;
DROP VIEW captured;
SELECT outbox_drop_queue('r_capture', true), outbox_drop_queue('r_other', true);
