-- Copyright (c) 2026, the outbox developers
--
-- Captured tables that are written to while they are backfilled, and who writes.
-- Each writer has rows of its own, so that none can be in the way of another one:
-- an error is a backfill's fault.

CREATE TABLE plain (id int PRIMARY KEY, code text, v int, w text, hidden int);
CREATE TABLE parts (id int, code text, v int, w text, hidden int, PRIMARY KEY (code, id)) PARTITION BY HASH (code, id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 (hidden int, gone int, w text, v int, code text NOT NULL, id int NOT NULL);
ALTER TABLE parts_1 DROP gone;
ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE keyed (id int PRIMARY KEY, code text, v int, w text, hidden int);

INSERT INTO plain SELECT i, 'c' || i, 0, 'w', 0 FROM generate_series(1, 600) AS i;
INSERT INTO parts SELECT i, 'c' || i % 3, 0, 'w', 0 FROM generate_series(1, 600) AS i;
INSERT INTO keyed SELECT i, 'c' || i, 0, 'w', 0 FROM generate_series(1, 600) AS i;

-- all that a capture can have; in part; and with another key than the primary one
SELECT outbox_capture('plain', 'plain', columns => '{id,v,w}');
SELECT outbox_capture('parts', 'parts', columns => '{id,code,v,w}', settings => '{"old": "none", "unchanged": false, "bigint": "text"}');
SELECT outbox_capture('keyed', 'keyed', columns => '{v,w}', key => '{code}', settings => '{"old": "changed", "unchanged": false}');

CREATE FUNCTION change(t text, mine int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id int := 3 * (1 + random() * 200)::int + mine;
    other int := 3 * (1 + random() * 200)::int + mine;
BEGIN
    CASE (random() * 9)::int
        WHEN 0 THEN EXECUTE format('DELETE FROM %I WHERE id = $1', t) USING id;
        WHEN 1, 2 THEN EXECUTE format('INSERT INTO %I SELECT $1, %s, 0, $2, 0 ON CONFLICT DO NOTHING', t,
            CASE t WHEN 'parts' THEN $c$'c' || $1 % 3$c$ ELSE $c$'c' || $1 || '-' || pg_current_xact_id()$c$ END) USING id, 'new';
        WHEN 3, 4 THEN EXECUTE format('UPDATE %I SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM %1$I WHERE id = $2)', t) USING id, other;
        WHEN 5 THEN EXECUTE format('UPDATE %I SET hidden = hidden + 1 WHERE id = $1', t) USING id;
        WHEN 6 THEN EXECUTE format('UPDATE %I SET v = v + 1 WHERE id BETWEEN $1 AND $1 + 60 AND id %% 3 = $2', t) USING id, mine;
        WHEN 7 THEN EXECUTE format('SELECT 1 FROM %I WHERE id = $1 FOR UPDATE', t) USING id;
        ELSE EXECUTE format('UPDATE %I SET v = v + 1, w = $2 WHERE id = $1', t) USING id, md5(random()::text);
    END CASE;
END $$;

CREATE PROCEDURE scribble(mine int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 300 LOOP
        FOR j IN 1 .. 1 + (random() * 3)::int LOOP
            PERFORM change((ARRAY['plain', 'parts', 'keyed'])[1 + (random() * 2)::int], mine);
        END LOOP;
        IF random() < 0.2 THEN PERFORM pg_sleep(0.002); END IF;
        IF random() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
