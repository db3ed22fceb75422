-- Copyright (c) 2026, the outbox developers
--
-- Options of two staged tasks that outbox_enqueue() would have refused.

UPDATE outbox.staging_1 SET options = '{"deadline": 1e30, "timeout": -5, "max_retry": [1], "group": 7, "what": {}}' WHERE id = :'id';
UPDATE outbox.staging_2 SET options = '{"deadline": 1e30, "timeout": -5, "max_retry": [1], "group": 7, "what": {}}' WHERE id = :'id';
UPDATE outbox.staging_1 SET type = NULL, options = '[]' WHERE id = :'other';
UPDATE outbox.staging_2 SET type = NULL, options = '[]' WHERE id = :'other';
