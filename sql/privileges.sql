-- Nothing is granted to PUBLIC; outbox_grant() is all that a producer needs, and
-- it gives nothing else.
SET client_min_messages = warning;
CREATE ROLE regress_outbox_producer;
CREATE ROLE regress_outbox_nobody;
CREATE ROLE regress_outbox_monitor IN ROLE pg_monitor;

SET ROLE regress_outbox_nobody;
SELECT outbox_enqueue('r_stream', '{}');
SELECT outbox_create_queue('r_mine');
SELECT outbox_drop_queue('r_stream');
SELECT outbox_release('copy');
SELECT outbox_enable(false);
SELECT * FROM outbox_gone_cursors();
SELECT outbox_remove_cursor('x');
SELECT outbox_alter_queue('r_stream');
SELECT outbox_pause_queue('r_stream');
SELECT outbox_resume_queue('r_stream');
SELECT outbox_cancel(gen_random_uuid());
SELECT outbox_cancel_key('r_stream', 'key');
SELECT outbox_purge_queue('r_stream');
SELECT outbox_discard_queue('r_stream');
SELECT count(*) FROM outbox.queue_settings;
SELECT outbox_capture('pg_class', 'r_stream');
SELECT outbox_uncapture('pg_class', 'r_stream');
SELECT outbox_forward_watermill('pg_class');
SELECT outbox_unforward_watermill('pg_class');
SELECT outbox_grant('regress_outbox_nobody');
SELECT outbox_revoke('regress_outbox_nobody');
INSERT INTO outbox_queues.r_stream (payload) VALUES ('{}');
CREATE TABLE outbox_queues.mine ();
SELECT outbox_replay(gen_random_uuid());
SELECT outbox_replay_queue('r_stream');
SELECT outbox_discard(gen_random_uuid());
SELECT outbox_resend('r_stream', now());
SELECT * FROM outbox.status;
SELECT * FROM outbox.dead_letters;
SELECT outbox.request_relay();
SELECT count(*) FROM pg_settings WHERE name = 'outbox.redis_url';
RESET ROLE;

-- EXECUTE alone permits no queue
GRANT EXECUTE ON FUNCTION outbox_enqueue(text, text, text, text, jsonb, uuid,
    interval, timestamptz, jsonb) TO regress_outbox_producer;
SET ROLE regress_outbox_producer;
SELECT outbox_enqueue('r_stream', '{}');
RESET ROLE;
SELECT outbox_grant('regress_outbox_producer', 'r_stream');
SET ROLE regress_outbox_producer;
SELECT outbox_enqueue('r_stream', '"by a producer"') IS NOT NULL AS ok;
SELECT outbox_enqueue('r_stream', '"by a producer, later"', delay => '1 hour') AS id \gset
SELECT outbox_enqueue_many('r_stream', '[]');
SELECT outbox_enqueue_many('r_list', '[]');
SELECT count(*) FROM outbox.staging_1;
DELETE FROM outbox.staging_1;
INSERT INTO outbox.deferred SELECT * FROM outbox.deferred;
SELECT * FROM outbox.queue;
UPDATE outbox.queue SET redis_key = 'mine';
SELECT nextval('outbox.seq');
RESET ROLE;

-- it is there, and the producer is who it was
SELECT reason FROM outbox.deferred WHERE id = :'id';
SET ROLE regress_outbox_producer;
SELECT outbox_enqueue('r_stream', '{}', delay => '1 hour') AS id2 \gset
SELECT current_user;
RESET ROLE;

-- what fails on the way gives the rights back
ALTER TABLE outbox.deferred ADD CONSTRAINT never CHECK (false) NOT VALID;
SET ROLE regress_outbox_producer;
BEGIN;
SAVEPOINT s;
\set VERBOSITY terse
SELECT outbox_enqueue('r_stream', '{}', delay => '1 hour');
\set VERBOSITY default
ROLLBACK TO s;
SELECT current_user;
SELECT count(*) FROM outbox.deferred;
ROLLBACK;
RESET ROLE;
ALTER TABLE outbox.deferred DROP CONSTRAINT never;
-- and what is inserted then is not taken for the extension's own
INSERT INTO outbox.deferred
    SELECT xid, seq, enqueued_at, gen_random_uuid(), lsn, queue, 1, kind,
           type, key, headers, payload, history, options, reason, due_at
    FROM outbox.deferred WHERE id = :'id';
SELECT reason FROM outbox.deferred WHERE attempts = 1;
DELETE FROM outbox.deferred WHERE attempts = 1;

-- who may enqueue to a queue may cancel there, and nowhere else
SELECT outbox_enqueue('r_list', '{}', key => 'k', delay => '1 hour') AS other \gset
GRANT EXECUTE ON FUNCTION outbox_cancel(uuid), outbox_cancel_key(text, text) TO regress_outbox_nobody;
SET ROLE regress_outbox_nobody;
SELECT outbox_cancel(:'id');
RESET ROLE;
SET ROLE regress_outbox_producer;
SELECT outbox_cancel(:'other');
SELECT outbox_cancel_key('r_list', 'k');
BEGIN;
SELECT outbox_enqueue('r_stream', '{}', id => :'other', key => 'k', delay => '1 hour') = :'other' AS same;
SELECT outbox_cancel(:'other');
SELECT outbox_enqueue('r_stream', '{}', key => 'k', delay => '1 hour') IS NOT NULL AS ok FROM generate_series(1, 2);
SELECT outbox_cancel_key('r_stream', 'k');
SELECT outbox_cancel_key('r_stream', 'k');
COMMIT;
RESET ROLE;
SELECT outbox_cancel_key('r_list', 'k');
REVOKE ALL ON FUNCTION outbox_cancel(uuid), outbox_cancel_key(text, text) FROM regress_outbox_nobody;

-- EXECUTE is enough for the others
GRANT EXECUTE ON FUNCTION outbox_replay(uuid),
    outbox_replay_queue(text, bigint), outbox_discard(uuid),
    outbox_resend(text, timestamptz), outbox_pause_queue(text),
    outbox_resume_queue(text),
    outbox_alter_queue(text, text, integer, interval, double precision, interval, interval, bigint, jsonb, boolean,
        jsonb)
    TO regress_outbox_producer;
INSERT INTO outbox.dead_letter
    SELECT xid, seq, enqueued_at, 'aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', lsn, queue, 1, kind,
           type, key, headers, payload, history, options, 'expired', NULL, now()
    FROM outbox.deferred, generate_series(1, 2) WHERE id = :'id';
SET ROLE regress_outbox_producer;
BEGIN;
SELECT outbox_replay_queue('r_stream', 1);
SELECT outbox_replay('aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa');
SELECT outbox_resend('r_stream', now());
SELECT outbox_pause_queue('r_stream');
SELECT outbox_resume_queue('r_stream');
SELECT outbox_alter_queue('r_stream', max_attempts => 2);
ROLLBACK;
SELECT outbox_discard('aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa');
SELECT outbox_cancel(:'id'), outbox_cancel(:'id2');
RESET ROLE;
REVOKE ALL ON FUNCTION outbox_replay(uuid),
    outbox_replay_queue(text, bigint), outbox_discard(uuid),
    outbox_resend(text, timestamptz), outbox_pause_queue(text),
    outbox_resume_queue(text),
    outbox_alter_queue(text, text, integer, interval, double precision, interval, interval, bigint, jsonb, boolean,
        jsonb)
    FROM regress_outbox_producer;

-- a function with its owner's rights lends them
CREATE FUNCTION enqueue_for_me() RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS
$$ SELECT outbox_enqueue('r_stream', '"by a definer"') IS NOT NULL $$;
SET ROLE regress_outbox_nobody;
SELECT enqueue_for_me();
RESET ROLE;
DROP FUNCTION enqueue_for_me();

-- creating queues can be granted without more
GRANT EXECUTE ON FUNCTION outbox_create_queue(text, text, text, text, bigint,
    text, integer, interval, double precision, interval, interval, jsonb, boolean,
    jsonb, boolean)
    TO regress_outbox_producer;
SET ROLE regress_outbox_producer;
SELECT outbox_create_queue('r_granted');
RESET ROLE;
SELECT outbox_drop_queue('r_granted');

-- monitoring
SET ROLE regress_outbox_monitor;
SELECT count(*) FROM outbox.status;
SELECT count(*) FROM outbox.queue_status WHERE queue = 'r_stream';
SELECT target, view FROM outbox.queue_settings WHERE queue = 'r_stream';
SELECT count(*) FROM outbox.staging_1;
SELECT count(*) FROM outbox.queue;
SELECT count(*) FROM outbox.dead_letters;
RESET ROLE;

DROP OWNED BY regress_outbox_producer;
DROP ROLE regress_outbox_producer;
DROP ROLE regress_outbox_nobody;
DROP ROLE regress_outbox_monitor;
