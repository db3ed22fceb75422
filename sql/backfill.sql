-- The rows that a captured table has already.
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT outbox_create_queue('r_fill');

CREATE VIEW captured AS
    SELECT s.type, s.key, convert_from(s.payload, 'UTF8') AS payload, s.seq, s.xid
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name = 'r_fill';
CREATE TABLE seen (seq bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION come(OUT type text, OUT key text, OUT payload text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT c.type, c.key, c.payload FROM captured c
        WHERE c.seq > (SELECT s.seq FROM seen s) ORDER BY c.seq;
    UPDATE seen SET seq = (SELECT last_value FROM outbox.seq);
END $$;
CREATE VIEW fills AS
    SELECT table_name, queue, state, rows, position, moved_at IS NOT NULL AS moved, finished_at IS NOT NULL AS finished, pid IS NOT NULL AS busy
    FROM outbox.backfills ORDER BY table_name::text;

-- as their inserts would have been told, in the order of the key
CREATE TABLE t (id int PRIMARY KEY, a int, b text);
INSERT INTO t SELECT i, i, 'b' || i FROM generate_series(5, 1, -1) AS i;
SELECT outbox_capture('t', 'r_fill');
CALL outbox_backfill('t', 'r_fill');
SELECT * FROM come();
SELECT * FROM fills;
-- in chunks, each of which is a transaction
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 2}');
SELECT type, key, dense_rank() OVER (ORDER BY xid) AS chunk FROM captured WHERE seq > (SELECT seq FROM seen) ORDER BY seq;
SELECT count(*) FROM come();
SELECT * FROM fills;
-- an empty table
TRUNCATE t;
CALL outbox_backfill('t', 'r_fill');
SELECT * FROM come();
SELECT * FROM fills;

-- with the columns, the condition, the key and the settings of captured inserts
SELECT outbox_uncapture('t', 'r_fill');
INSERT INTO t SELECT i, i, 'b' || i FROM generate_series(1, 5) AS i;
ALTER TABLE t DROP b, ADD big bigint DEFAULT 9007199254740993;
SELECT outbox_capture('t', 'r_fill', columns => '{a,big}', key => '{a}', condition => 'NEW.a % 2 = 1 AND NEW IS NOT NULL', operations => '{insert}', settings => '{"bigint": "text"}');
SELECT outbox_capture('t', 'r_fill', columns => '{id}', condition => 'OLD.a > 2', operations => '{update,delete}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 1}');
SELECT * FROM come();
SELECT * FROM fills;
SELECT outbox_uncapture('t', 'r_fill');
DROP TABLE t;
-- a table that is gone is forgotten by the next backfill
SELECT state, rows FROM fills;

-- keys of all kinds: several columns, domains, types whose text depends on settings
SET datestyle = 'German, DMY';
SET intervalstyle = 'sql_standard';
SET timezone = 'Asia/Kathmandu';
SET bytea_output = 'escape';
SET extra_float_digits = -5;
CREATE DOMAIN moment AS timestamptz;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE keys (at moment, iv interval, by bytea, f float8, m mood, p pair, d date, n numeric, c char(3), a text[], PRIMARY KEY (d, at, iv, by, f, m, p, n, c, a));
INSERT INTO keys SELECT '2026-01-02 03:04:05.000001+00'::timestamptz + g * interval '1 microsecond', '-1 day +00:00:01', decode('005c' || lpad(to_hex(g), 2, '0'), 'hex'), 0.1::float8 + g / 1e15, (ARRAY['sad', 'happy'])[1 + g % 2]::mood,
    row(g, 'x",\')::pair, '0044-03-15 BC', 'NaN', 'a', ARRAY['{"', NULL, g::text] FROM generate_series(1, 20) AS g;
SELECT outbox_capture('keys', 'r_fill');
CALL outbox_backfill('keys', 'r_fill', '{"chunk_rows": 3}');
SELECT count(*), count(DISTINCT key) FROM come();
SELECT rows FROM fills;
RESET extra_float_digits;
RESET bytea_output;
SET timezone = 'UTC';
RESET intervalstyle;
RESET datestyle;
SELECT position FROM fills;
DROP TABLE keys;
DROP TYPE mood, pair;
DROP DOMAIN moment;
-- operators of a type elsewhere, whose names mean something else on the search path
CREATE SCHEMA reverse;
CREATE TYPE reverse.word AS (w text);
CREATE FUNCTION reverse.lt(reverse.word, reverse.word) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ($1).w > ($2).w';
CREATE FUNCTION reverse.le(reverse.word, reverse.word) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ($1).w >= ($2).w';
CREATE FUNCTION reverse.eq(reverse.word, reverse.word) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ($1).w = ($2).w';
CREATE FUNCTION reverse.ge(reverse.word, reverse.word) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ($1).w <= ($2).w';
CREATE FUNCTION reverse.gt(reverse.word, reverse.word) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ($1).w < ($2).w';
CREATE FUNCTION reverse.cmp(reverse.word, reverse.word) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS $$SELECT CASE WHEN ($1).w > ($2).w THEN -1 WHEN ($1).w = ($2).w THEN 0 ELSE 1 END$$;
CREATE OPERATOR reverse.< (LEFTARG = reverse.word, RIGHTARG = reverse.word, FUNCTION = reverse.lt);
CREATE OPERATOR reverse.<= (LEFTARG = reverse.word, RIGHTARG = reverse.word, FUNCTION = reverse.le);
CREATE OPERATOR reverse.= (LEFTARG = reverse.word, RIGHTARG = reverse.word, FUNCTION = reverse.eq);
CREATE OPERATOR reverse.>= (LEFTARG = reverse.word, RIGHTARG = reverse.word, FUNCTION = reverse.ge);
CREATE OPERATOR reverse.> (LEFTARG = reverse.word, RIGHTARG = reverse.word, FUNCTION = reverse.gt);
CREATE OPERATOR CLASS reverse.word_ops DEFAULT FOR TYPE reverse.word USING btree AS
    OPERATOR 1 reverse.<, OPERATOR 2 reverse.<=, OPERATOR 3 reverse.=, OPERATOR 4 reverse.>=, OPERATOR 5 reverse.>, FUNCTION 1 reverse.cmp(reverse.word, reverse.word);
CREATE TABLE words (w reverse.word, n int, PRIMARY KEY (w, n));
INSERT INTO words SELECT row(w)::reverse.word, n FROM unnest('{b,a,c}'::text[]) AS w, generate_series(1, 3) AS n;
SELECT outbox_capture('words', 'r_fill');
CALL outbox_backfill('words', 'r_fill', '{"chunk_rows": 2}');
SELECT key FROM come();
DROP TABLE words;
SET client_min_messages = error;
DROP SCHEMA reverse CASCADE;
SET client_min_messages = warning;

-- odd names; dropped and generated columns
CREATE SCHEMA "sch ema";
CREATE TABLE "sch ema"."T""b" (gone int, "I d" int, "sel""ect" int GENERATED ALWAYS AS ("I d" * 2) STORED, PRIMARY KEY ("I d"));
INSERT INTO "sch ema"."T""b" ("I d") VALUES (1), (2);
ALTER TABLE "sch ema"."T""b" DROP gone;
SELECT outbox_capture('"sch ema"."T""b"', 'r_fill');
CALL outbox_backfill('"sch ema"."T""b"', 'r_fill', '{"chunk_rows": 1}');
SELECT * FROM come();
DROP SCHEMA "sch ema" CASCADE;

-- partitions are backfilled with their table, in one order; inheriting tables are not
CREATE TABLE parts (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parts_2 (v text, extra int, at date NOT NULL, id int NOT NULL);
ALTER TABLE parts_2 DROP extra;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2026-02-01', 'a'), (2, '2026-08-01', 'b'), (3, '2026-02-01', 'c');
SELECT outbox_capture('parts', 'r_fill');
CALL outbox_backfill('parts_1', 'r_fill');
CALL outbox_backfill('parts', 'r_fill', '{"chunk_rows": 2}');
SELECT * FROM come();
CREATE TABLE up (id int PRIMARY KEY);
CREATE TABLE down () INHERITS (up);
INSERT INTO up VALUES (1);
INSERT INTO down VALUES (2);
SET client_min_messages = error;
SELECT outbox_capture('up', 'r_fill');
SET client_min_messages = warning;
CALL outbox_backfill('up', 'r_fill');
SELECT * FROM come();
DROP TABLE parts, down, up;

-- a row that is too large
CREATE TABLE l (id int PRIMARY KEY, v text);
INSERT INTO l VALUES (1, repeat('x', 2000000)), (2, 'x');
SELECT outbox_capture('l', 'r_fill');
CALL outbox_backfill('l', 'r_fill');
SELECT * FROM come();
SELECT outbox_uncapture('l', 'r_fill');
SELECT outbox_capture('l', 'r_fill', settings => '{"too_large": "fail"}');
CALL outbox_backfill('l', 'r_fill');
SELECT count(*) FROM come();
SELECT * FROM fills WHERE state <> 'finished';
TRUNCATE l;
INSERT INTO l VALUES (1, 'y'), (2, 'x');
SELECT type, key FROM come();
CALL outbox_backfill('l', 'r_fill');
SELECT key FROM come();
SELECT state FROM fills WHERE table_name = 'l'::regclass;
DROP TABLE l;

-- where it ended, and what has changed since
CREATE TABLE t (id int PRIMARY KEY, v text, w text);
INSERT INTO t SELECT i, 'v', NULL FROM generate_series(1, 4) AS i;
SELECT outbox_capture('t', 'r_fill', condition => '10 / (NEW.id - 3) <> 1000', operations => '{insert}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 2}');
SELECT * FROM fills WHERE table_name = 't'::regclass;
ALTER TABLE t RENAME id TO number;
SET client_min_messages = notice;
UPDATE t SET number = 5 WHERE number = 3;
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 2}');
SET client_min_messages = warning;
SELECT payload FROM come();
-- another primary key
SELECT outbox_uncapture('t', 'r_fill');
SELECT outbox_capture('t', 'r_fill', condition => '10 / (NEW.number - 4) <> 1000', operations => '{insert}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 1}');
SELECT outbox_uncapture('t', 'r_fill');
ALTER TABLE t ALTER number TYPE bigint;
SELECT outbox_capture('t', 'r_fill');
CALL outbox_backfill('t', 'r_fill');
DELETE FROM t WHERE number = 4;
CALL outbox_backfill('t', 'r_fill', '{"restart": true, "chunk_rows": 1}');
SELECT count(*) FROM captured WHERE seq > (SELECT seq FROM seen);
SELECT count(*) FROM come();
-- stop: nothing is at work here
SELECT outbox_stop_backfill('t', 'r_fill');
-- what it can't be called with, and where
\set VERBOSITY terse
CALL outbox_backfill(NULL, 'r_fill');
CALL outbox_backfill('t', NULL);
CALL outbox_backfill('t', 'nowhere');
CALL outbox_backfill(0, 'r_fill');
CALL outbox_backfill('seen', 'r_fill');
CALL outbox_backfill('captured', 'r_fill');
CALL outbox_backfill('t', 'r_fill', '[]');
CALL outbox_backfill('t', 'r_fill', '{"chunk": 1}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 0}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": 1e30}');
CALL outbox_backfill('t', 'r_fill', '{"chunk_rows": "1"}');
CALL outbox_backfill('t', 'r_fill', '{"max_waiting": 0}');
CALL outbox_backfill('t', 'r_fill', '{"restart": 1}');
SELECT outbox_stop_backfill('t', NULL);
SELECT outbox_stop_backfill(NULL, 'r_fill');
SELECT outbox_stop_backfill('seen', 'r_fill');
\set VERBOSITY default
BEGIN;
CALL outbox_backfill('t', 'r_fill');
ROLLBACK;
CREATE FUNCTION inside() RETURNS void LANGUAGE plpgsql AS $$BEGIN CALL outbox_backfill('t', 'r_fill'); END$$;
SELECT inside();
DROP FUNCTION inside;
-- in a procedure, or where sessions are not READ COMMITTED, it can
DO $$BEGIN CALL outbox_backfill('t', 'r_fill'); END$$;
SET default_transaction_isolation = serializable;
CALL outbox_backfill('t', 'r_fill');
RESET default_transaction_isolation;
SET default_transaction_read_only = on;
CALL outbox_backfill('t', 'r_fill');
RESET default_transaction_read_only;
SELECT count(*) FROM come();
-- no inserts are captured; the trigger is disabled; the captured column is gone; there is no primary key
ALTER TABLE t DISABLE TRIGGER ALL;
CALL outbox_backfill('t', 'r_fill');
SELECT outbox_uncapture('t', 'r_fill');
SELECT outbox_capture('t', 'r_fill', operations => '{update,delete}');
CALL outbox_backfill('t', 'r_fill');
SELECT outbox_uncapture('t', 'r_fill');
SELECT outbox_capture('t', 'r_fill', columns => '{v}');
ALTER TABLE t RENAME v TO vv;
CALL outbox_backfill('t', 'r_fill');
ALTER TABLE t RENAME vv TO v;
SELECT outbox_uncapture('t', 'r_fill');
ALTER TABLE t DROP CONSTRAINT t_pkey;
SELECT outbox_capture('t', 'r_fill', key => '{}');
CALL outbox_backfill('t', 'r_fill');
DROP TABLE t;

-- rights: as for outbox_capture(), and to read and lock the rows; row security must not hide some
CREATE ROLE regress_outbox_filler;
CREATE TABLE theirs (id int PRIMARY KEY, v text);
INSERT INTO theirs VALUES (1, 'x'), (2, 'y');
SELECT outbox_capture('theirs', 'r_fill');
GRANT TRIGGER ON theirs TO regress_outbox_filler;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
SELECT outbox_stop_backfill('theirs', 'r_fill');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE outbox_backfill(regclass, text, jsonb) TO regress_outbox_filler;
GRANT EXECUTE ON FUNCTION outbox_stop_backfill(regclass, text) TO regress_outbox_filler;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
RESET ROLE;
GRANT SELECT, UPDATE ON theirs TO regress_outbox_filler;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
SELECT outbox_stop_backfill('theirs', 'r_fill');
RESET ROLE;
SELECT outbox_grant('regress_outbox_filler', 'r_fill');
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
SELECT outbox_stop_backfill('theirs', 'r_fill');
RESET ROLE;
SELECT key FROM come();
REVOKE TRIGGER ON theirs FROM regress_outbox_filler;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
SELECT outbox_stop_backfill('theirs', 'r_fill');
RESET ROLE;
GRANT TRIGGER ON theirs TO regress_outbox_filler;
ALTER TABLE theirs ENABLE ROW LEVEL SECURITY;
CREATE POLICY first ON theirs USING (id = 1);
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
RESET ROLE;
ALTER TABLE theirs OWNER TO regress_outbox_filler;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
RESET ROLE;
SELECT key FROM come();
ALTER TABLE theirs FORCE ROW LEVEL SECURITY;
SET ROLE regress_outbox_filler;
CALL outbox_backfill('theirs', 'r_fill');
RESET ROLE;
-- who may not read the table sees no keys of it
GRANT pg_monitor TO regress_outbox_filler;
ALTER TABLE theirs OWNER TO current_user;
REVOKE ALL ON theirs FROM regress_outbox_filler;
SET ROLE regress_outbox_filler;
SELECT table_name, state, rows, position FROM outbox.backfills WHERE table_name = 'theirs'::regclass;
RESET ROLE;
DROP TABLE theirs;
DROP OWNED BY regress_outbox_filler;
DROP ROLE regress_outbox_filler;

-- a queue that is dropped takes its backfills along
SELECT count(*) > 0 FROM outbox.backfill;
DROP VIEW fills, captured CASCADE;
DROP FUNCTION come;
DROP TABLE seen;
SELECT outbox_drop_queue('r_fill', true);
SELECT count(*) FROM outbox.backfill;
