-- Settings of queues beyond the target: what happens to messages that fail,
-- and pausing.
SET client_min_messages = warning;

CREATE VIEW policy AS
    SELECT name, on_failure, max_attempts AS attempts, retry_delay AS delay,
           retry_backoff AS backoff, retry_max_delay AS max_delay,
           expires_after AS expires, maxlen, paused_at IS NOT NULL AS paused
    FROM outbox.queue WHERE name LIKE 'p\_%' ORDER BY id;

-- defaults, and everything given
SELECT outbox_create_queue('p_default');
SELECT outbox_create_queue('p_all', 'stream', 'p:all', NULL, 10, 'retry', 3,
                           '5 seconds', 1.5, '1 hour', '1 day');
SELECT outbox_create_queue('p_dead', 'list', on_failure => 'dead_letter',
                           retry_delay => '0', max_attempts => 1, retry_backoff => 1);
SELECT * FROM policy;

-- what is null is left as it is
SELECT outbox_alter_queue('p_all');
SELECT outbox_alter_queue('p_default', on_failure => 'retry', retry_max_delay => '0');
SELECT outbox_alter_queue('p_dead', max_attempts => 1000, retry_delay => '1 month',
                          retry_backoff => 100, expires_after => '200000000 days');
SELECT * FROM policy;
SELECT outbox_alter_queue('p_all', 'block', 7, '1 second', 3, '2 seconds', '3 seconds', 4);
SELECT * FROM policy WHERE name = 'p_all';

-- none is zero
SELECT outbox_alter_queue('p_all', expires_after => '0', maxlen => 0);
SELECT outbox_alter_queue('p_dead', maxlen => 0);
SELECT * FROM policy WHERE name <> 'p_default';

-- transactional
BEGIN;
SELECT outbox_alter_queue('p_all', max_attempts => 99, maxlen => 5);
SELECT attempts, maxlen FROM policy WHERE name = 'p_all';
ROLLBACK;
SELECT attempts, maxlen FROM policy WHERE name = 'p_all';

-- pausing: enqueueing goes on; pausing again doesn't move the time
SELECT outbox_pause_queue('p_all');
SELECT name, paused FROM policy;
SELECT outbox_enqueue('p_all', '{}') IS NOT NULL AS ok;
CREATE TEMP TABLE paused AS SELECT paused_at FROM outbox.queue WHERE name = 'p_all';
SELECT outbox_pause_queue('p_all');
SELECT p.paused_at = q.paused_at AS same
FROM paused AS p, outbox.queue AS q WHERE q.name = 'p_all';
SELECT queue, state, since = paused_at AS since_then, why
FROM outbox.queue_status, paused WHERE queue = 'p_all';
SELECT outbox_resume_queue('p_all');
SELECT outbox_resume_queue('p_all');
SELECT name FROM policy WHERE paused;
BEGIN;
SELECT outbox_pause_queue('p_all');
ROLLBACK;
SELECT name FROM policy WHERE paused;

-- the view has each queue, and its totals also without a relay
SELECT queue, delivered, failed, dead_lettered, expired
FROM outbox.queue_status WHERE queue LIKE 'p\_%' ORDER BY queue;
SELECT count(*) = (SELECT count(*) FROM outbox.queue) AS all_of_them,
       count(state) = count(*) AS all_have_a_state
FROM outbox.queue_status;

-- the summary begins with the state, when that isn't running
SELECT starts_with(summary, state) AS ok FROM outbox.status;

SELECT outbox_drop_queue(name, force => true) FROM policy;
DROP VIEW policy;
