-- Copyright (c) 2026, the outbox developers
--
-- Messages whose payload is like :payload are two hours older, wherever they wait.

UPDATE outbox.staging_1 SET enqueued_at = enqueued_at - interval '2 hours' WHERE convert_from(payload, 'UTF8') LIKE :'payload';
UPDATE outbox.staging_2 SET enqueued_at = enqueued_at - interval '2 hours' WHERE convert_from(payload, 'UTF8') LIKE :'payload';
UPDATE outbox.deferred SET enqueued_at = enqueued_at - interval '2 hours' WHERE convert_from(payload, 'UTF8') LIKE :'payload';
