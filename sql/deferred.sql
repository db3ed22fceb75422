-- Messages for later, and messages out of a dump.
SET client_min_messages = warning;
SELECT outbox_create_queue('d_queue', settings => '{"payload_type": "bytea"}');

CREATE VIEW messages AS
    SELECT 'staged' AS place, convert_from(payload, 'UTF8') AS payload, due_at,
           xid, seq, lsn, enqueued_at, attempts, history, id
    FROM (SELECT *, NULL::text AS reason, NULL::timestamptz AS due_at
          FROM outbox.staging_1 UNION ALL
          SELECT *, NULL, NULL FROM outbox.staging_2) AS s
    WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'd_queue')
    UNION ALL
    SELECT reason, convert_from(payload, 'UTF8'), due_at, xid, seq, lsn,
           enqueued_at, attempts, history, id
    FROM outbox.deferred
    WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'd_queue')
    ORDER BY 1, 2;

-- by delay or to a time, for each kind of payload
BEGIN;
SELECT outbox_enqueue('d_queue', 'text', delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', '"jsonb"'::jsonb, delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', 'bytea'::bytea, delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', 'at', 'type', 'key', '{"a": "b"}',
                      '11111111-1111-7111-8111-111111111111', NULL,
                      '2100-01-01 00:00:00+00');
SELECT place, payload, xid = pg_current_xact_id() AS own, lsn > '0/0' AS lsn,
       attempts, history,
       due_at BETWEEN clock_timestamp() + '59 minutes' AND clock_timestamp() + '1 hour' AS in_an_hour
FROM messages;
COMMIT;
SELECT type, key, headers, due_at AT TIME ZONE 'UTC' AS due_at FROM outbox.deferred
WHERE id = '11111111-1111-7111-8111-111111111111';

-- numbers are drawn in order of enqueue, like all
SELECT string_agg(payload, ' ' ORDER BY seq) FROM messages;

-- months are months, days days, and the clock runs within a transaction
BEGIN;
SELECT pg_sleep(0.01);
SELECT outbox_enqueue('d_queue', 'months', delay => '1 month 1 day') IS NOT NULL AS ok;
SELECT due_at > now() + '1 month 1 day' AS later,
       due_at < now() + '1 month 1 day 1 minute' AS not_much
FROM messages WHERE payload = 'months';
ROLLBACK;

-- due already: staged like any other
SELECT outbox_enqueue('d_queue', 'zero', delay => '0') IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', 'past', deliver_at => now() - interval '1 day') IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', 'now', deliver_at => now()) IS NOT NULL AS ok;
SELECT outbox_enqueue('d_queue', 'long ago', deliver_at => '1900-01-01') IS NOT NULL AS ok;
SELECT place, payload FROM messages;

-- transactional
BEGIN;
SAVEPOINT s;
SELECT outbox_enqueue('d_queue', 'rolled back', delay => '1 hour') IS NOT NULL AS ok;
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM messages WHERE payload = 'rolled back';

-- cancel: what is not due, whoever enqueued it; all with that id
SELECT outbox_cancel('11111111-1111-7111-8111-111111111111');
SELECT outbox_cancel('11111111-1111-7111-8111-111111111111');
SELECT outbox_cancel(id) FROM messages WHERE payload = 'zero';
SELECT outbox_enqueue('d_queue', 'twice', delay => '1 hour', id => '22222222-2222-7222-8222-222222222222')
FROM generate_series(1, 2);
BEGIN;
SELECT outbox_cancel('22222222-2222-7222-8222-222222222222');
SELECT count(*) FROM messages WHERE payload = 'twice';
ROLLBACK;
SELECT count(*) FROM messages WHERE payload = 'twice';
BEGIN;
SELECT outbox_enqueue('d_queue', 'own', delay => '1 hour', id => '33333333-3333-7333-8333-333333333333');
SELECT outbox_cancel('33333333-3333-7333-8333-333333333333');
COMMIT;
SELECT count(*) FROM messages WHERE payload = 'own';

-- the search path of who enqueues is of no interest
CREATE SCHEMA evil;
CREATE FUNCTION evil.no(text, text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.no);
CREATE TABLE evil.deferred (n int);
\c -
SET client_min_messages = warning;
SET search_path = evil, public, pg_catalog;
SELECT outbox_enqueue('d_queue', 'evil', delay => '1 hour') IS NOT NULL AS ok;
RESET search_path;
SELECT place, payload FROM messages WHERE payload = 'evil';
DROP SCHEMA evil CASCADE;

-- a queue is not dropped with messages deferred
SELECT outbox_create_queue('d_other');
SELECT outbox_enqueue('d_other', '{}', delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_drop_queue('d_other');
BEGIN;
SELECT outbox_enqueue('d_other', '{}', delay => '1 hour') IS NOT NULL AS ok;
SELECT outbox_drop_queue('d_other');
ROLLBACK;
SELECT outbox_drop_queue('d_other', force => true);
SELECT count(*) FROM outbox.deferred WHERE queue NOT IN (SELECT id FROM outbox.queue);

-- out of a dump: nothing of it is taken for our own
DELETE FROM outbox.deferred;
INSERT INTO outbox.deferred
    SELECT '3', i, now(), gen_random_uuid(), '0/1', q.id, i, 't', NULL, NULL, NULL,
           convert_to(reason, 'UTF8'), '[]', NULL, reason, due_at
    FROM outbox.queue AS q, (VALUES
        (1, 'retry', '2100-01-01'::timestamptz),
        (2, 'behind', NULL),
        (3, 'delayed', '2100-01-01'),
        (4, 'delayed', '2001-01-01'),
        (5, 'evacuated', NULL),
        (6, 'restored', '2100-01-01'),
        (7, 'restored', NULL)) AS v (i, reason, due_at)
    WHERE q.name = 'd_queue';
SELECT place, payload, extract(year FROM due_at) AS due, attempts, history
FROM messages WHERE place <> 'staged' ORDER BY seq;
SELECT outbox_cancel(id) FROM messages WHERE place = 'restored' ORDER BY seq;

-- released: those not due are delayed again, the others go in their old order
BEGIN;
SELECT messages FROM outbox_release('restored');
SELECT place, payload, extract(year FROM due_at) AS due, attempts, history
FROM messages WHERE history IS NOT NULL ORDER BY place, seq;
ROLLBACK;
SELECT count(*) FROM messages WHERE place = 'restored';
SELECT messages FROM outbox_release('restored');
SELECT place, count(*) FROM messages WHERE history IS NOT NULL GROUP BY place ORDER BY place;

-- more than are staged at a time
INSERT INTO outbox.deferred
    SELECT '3', i, now(), gen_random_uuid(), '0/1', q.id, 0, 't', 'many', NULL, NULL, 'x', NULL, NULL, 'evacuated', NULL
    FROM outbox.queue AS q, generate_series(1, 2500) AS i WHERE q.name = 'd_queue';
SELECT messages FROM outbox_release('restored');
SELECT place, count(*) FROM messages WHERE payload = 'x' GROUP BY place;

SELECT outbox_drop_queue('d_queue', force => true);
DROP VIEW messages;
