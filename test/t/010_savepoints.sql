-- Copyright (c) 2026, the outbox developers
--
-- Savepoints kept and rolled back, one in the other.

BEGIN;
SELECT outbox_enqueue('emails', 'a');
SAVEPOINT s;
SELECT outbox_enqueue('emails', 'b');
ROLLBACK TO s;
SELECT outbox_enqueue('emails', 'c');
SAVEPOINT t;
SAVEPOINT u;
SELECT outbox_enqueue('emails', 'd');
RELEASE u;
ROLLBACK TO t;
SAVEPOINT v;
SELECT outbox_enqueue('emails', 'e');
RELEASE v;
COMMIT;
