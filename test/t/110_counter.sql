-- Copyright (c) 2026, the outbox developers
--
-- Rows that several sessions change.

CREATE TABLE counter (id int PRIMARY KEY, n int);
INSERT INTO counter SELECT i, 0 FROM generate_series(1, 3) AS i;
SELECT outbox_capture('counter', 'rows', operations => '{update}');
CREATE PROCEDURE count_up() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		UPDATE counter SET n = n + 1 WHERE id = 1 + i % 3;
		IF random() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
END $$;
