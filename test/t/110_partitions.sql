-- Copyright (c) 2026, the outbox developers
--
-- Captures of a partitioned table; a row that moves.

CREATE TABLE parts (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
SELECT outbox_capture('parts', 'parts', condition => 'NEW.id > 0', operations => '{insert,update}');
SELECT outbox_capture('parts', 'parts', operations => '{delete}');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2026-02-01'), (2, '2026-08-01'), (-1, '2026-02-01');
UPDATE parts SET at = at + 180 WHERE id = 1;
