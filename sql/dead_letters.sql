-- Dead letters: what is seen of them, replayed and discarded.  These come in
-- as out of a dump, as nothing is refused here.
SET client_min_messages = warning;
SELECT outbox_create_queue('l_queue');
SELECT outbox_create_queue('l_other', 'list');

CREATE FUNCTION die(queue text, n int, id uuid DEFAULT gen_random_uuid()) RETURNS int
LANGUAGE sql AS $$
    INSERT INTO outbox.dead_letter
    SELECT '3', n, '2001-01-01', die.id, '0/7', q.id, 10, 't', 'type', 'key', '{"a": "b"}',
           convert_to('letter ' || n, 'UTF8'),
           jsonb_build_array(
               jsonb_build_object('at', '2001-01-02 00:00:00+00', 'reason', 'refused', 'attempt', 1,
                                  'queue', die.queue, 'error', 'ERR first'),
               jsonb_build_object('at', '2001-01-03 00:00:00+00', 'reason', 'refused', 'attempt', 2,
                                  'queue', die.queue, 'error', 'ERR last'),
               jsonb_build_object('at', '2001-01-04 00:00:00+00', 'reason', 'replayed', 'queue', die.queue)),
           NULL,
           'refused', 'ERR last', '2001-01-05'::timestamptz - n * interval '1 second'
    FROM outbox.queue AS q WHERE q.name = die.queue;
    SELECT n $$;

CREATE VIEW staged AS
    SELECT q.name AS queue, convert_from(payload, 'UTF8') AS payload, s.id, s.type,
           s.key, s.headers, s.kind, s.attempts, s.history, s.xid, s.seq, s.lsn
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name LIKE 'l\_%'
    ORDER BY seq;

-- out of a dump: they have no number that could be one of ours
SELECT die('l_queue', 1, '11111111-1111-7111-8111-111111111111');
SELECT die('l_queue', 1);
SELECT lsn = '0/0' AS no_lsn, skipped, gone_at FROM outbox.dead_letter;
DELETE FROM outbox.dead_letter WHERE id <> '11111111-1111-7111-8111-111111111111';

SET timezone = 'UTC';
\x on
SELECT * FROM outbox.dead_letters;
\x off
-- other kinds of payload; one without history
INSERT INTO outbox.dead_letter
    SELECT '3', 1, '2001-01-01', '22222222-2222-7222-8222-222222222222', '0/1', id, 0, kind::"char",
           NULL, NULL, NULL, payload::bytea, NULL, NULL, 'expired', NULL, '2001-01-05'
    FROM outbox.queue, (VALUES ('b', '\xff00'), ('j', '{"a": 1}')) AS v (kind, payload)
    WHERE name = 'l_other';
SELECT queue, payload, payload_type, reason, last_error, first_failed_at, last_failed_at, history
FROM outbox.dead_letters WHERE queue = 'l_other' ORDER BY payload_type;

-- replay: the same message with a new number, and its history goes on
BEGIN;
SELECT outbox_replay('11111111-1111-7111-8111-111111111111');
SELECT queue, payload, id, type, key, headers, kind, attempts,
       xid = pg_current_xact_id() AS own, lsn > '0/0' AS lsn
FROM staged;
SELECT jsonb_array_length(history) AS n, history -> 3 ->> 'reason' AS reason,
       history -> 3 ->> 'queue' AS queue, (history -> 3 ->> 'at')::timestamptz = now() AS at
FROM staged;
SELECT count(*) FROM outbox.dead_letters WHERE queue = 'l_queue';
SELECT gone_at = now() AS gone FROM outbox.dead_letter
WHERE id = '11111111-1111-7111-8111-111111111111';
-- once
SELECT outbox_replay('11111111-1111-7111-8111-111111111111');
SELECT outbox_discard('11111111-1111-7111-8111-111111111111');
SELECT count(*) FROM staged;
ROLLBACK;
SELECT count(*) FROM outbox.dead_letters WHERE queue = 'l_queue';
SELECT count(*) FROM staged;

-- all with that id
SELECT die('l_queue', 2, '22222222-2222-7222-8222-222222222222');
BEGIN;
SELECT outbox_replay('22222222-2222-7222-8222-222222222222');
SELECT queue, kind, history -> -1 ->> 'reason' AS reason FROM staged ORDER BY queue, kind;
SELECT count(*) FROM outbox.dead_letters;
ROLLBACK;
SELECT outbox_replay(gen_random_uuid());

-- discard
BEGIN;
SELECT outbox_discard('22222222-2222-7222-8222-222222222222');
SELECT count(*) FROM outbox.dead_letters;
ROLLBACK;
SELECT outbox_discard('22222222-2222-7222-8222-222222222222');
SELECT outbox_discard('22222222-2222-7222-8222-222222222222');
SELECT queue, count(*) FROM outbox.dead_letters GROUP BY queue;
SELECT count(*) FROM staged;

-- a queue's, the oldest first
SELECT count(die('l_queue', n)) FROM generate_series(3, 9) AS n;
SELECT die('l_other', 3);
BEGIN;
SELECT outbox_replay_queue('l_queue', 0);
SELECT outbox_replay_queue('l_queue', 3);
SELECT payload FROM staged;
SELECT outbox_replay_queue('l_queue', max => 2);
SELECT outbox_replay_queue('l_queue');
SELECT outbox_replay_queue('l_queue');
SELECT payload FROM staged;
SELECT queue, payload FROM outbox.dead_letters;
ROLLBACK;
SELECT outbox_replay_queue('l_queue');
SELECT count(*) FROM staged;

-- more than are staged at a time, and once each
SELECT count(die('l_queue', n)) FROM generate_series(1, 2500) AS n;
SELECT outbox_replay_queue('l_queue', 2400);
SELECT count(*), count(DISTINCT id), count(DISTINCT seq) FROM staged;
SELECT count(*) FROM outbox.dead_letters WHERE queue = 'l_queue';

-- a queue is not dropped with dead letters, but with those gone
SELECT outbox_create_queue('l_drop');
SELECT die('l_drop', n, '33333333-3333-7333-8333-333333333333') FROM generate_series(1, 2) AS n;
SELECT outbox_drop_queue('l_drop');
SELECT outbox_discard('33333333-3333-7333-8333-333333333333');
SELECT outbox_drop_queue('l_drop');
SELECT outbox_create_queue('l_drop');
SELECT die('l_drop', 1);
SELECT outbox_drop_queue('l_drop', force => true);
SELECT count(*) FROM outbox.dead_letter WHERE queue NOT IN (SELECT id FROM outbox.queue);

-- delivering again is asked for, transactionally
BEGIN;
SELECT outbox_resend('l_queue', '2001-01-01');
SELECT q.name, r.since FROM outbox.resend_request AS r JOIN outbox.queue AS q ON q.id = r.queue;
ROLLBACK;
SELECT count(*) FROM outbox.resend_request;

RESET timezone;
SELECT outbox_drop_queue(name, force => true) FROM outbox.queue WHERE name LIKE 'l\_%' ORDER BY id;
DROP VIEW staged;
DROP FUNCTION die(text, int, uuid);
