-- Nothing is granted to PUBLIC; EXECUTE on outbox_enqueue() is all that a
-- producer needs, and it gives nothing else.
SET client_min_messages = warning;
CREATE ROLE regress_outbox_producer;
CREATE ROLE regress_outbox_nobody;
CREATE ROLE regress_outbox_monitor IN ROLE pg_monitor;

SET ROLE regress_outbox_nobody;
SELECT outbox_enqueue('r_stream', 'x');
SELECT outbox_create_queue('r_mine');
SELECT outbox_drop_queue('r_stream');
SELECT outbox_resume();
SELECT * FROM outbox.status;
SELECT outbox.request_relay();
SELECT count(*) FROM pg_settings WHERE name = 'outbox.redis_url';
RESET ROLE;

GRANT EXECUTE ON FUNCTION outbox_enqueue(text, text, text, text, jsonb, uuid)
    TO regress_outbox_producer;
SET ROLE regress_outbox_producer;
SELECT outbox_enqueue('r_stream', 'by a producer') IS NOT NULL AS ok;
SELECT outbox_enqueue('r_stream', '{}'::jsonb);
SELECT count(*) FROM outbox.staging_1;
DELETE FROM outbox.staging_1;
INSERT INTO outbox.deferred SELECT * FROM outbox.deferred;
SELECT * FROM outbox.queue;
UPDATE outbox.queue SET redis_key = 'mine';
SELECT nextval('outbox.seq');
RESET ROLE;

-- a function with its owner's rights lends them
CREATE FUNCTION enqueue_for_me() RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS
$$ SELECT outbox_enqueue('r_stream', 'by a definer') IS NOT NULL $$;
SET ROLE regress_outbox_nobody;
SELECT enqueue_for_me();
RESET ROLE;
DROP FUNCTION enqueue_for_me();

-- creating queues can be granted without more
GRANT EXECUTE ON FUNCTION outbox_create_queue(text, text, text, text, bigint)
    TO regress_outbox_producer;
SET ROLE regress_outbox_producer;
SELECT outbox_create_queue('r_granted');
RESET ROLE;
SELECT outbox_drop_queue('r_granted');

-- monitoring
SET ROLE regress_outbox_monitor;
SELECT count(*) FROM outbox.status;
SELECT count(*) FROM outbox.staging_1;
RESET ROLE;

REVOKE ALL ON FUNCTION outbox_create_queue(text, text, text, text, bigint),
    outbox_enqueue(text, text, text, text, jsonb, uuid)
    FROM regress_outbox_producer;
DROP ROLE regress_outbox_producer;
DROP ROLE regress_outbox_nobody;
DROP ROLE regress_outbox_monitor;
