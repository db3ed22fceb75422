-- Queues whose consumers may return messages: which can be, and what is said
-- of those that can't.
SET client_min_messages = warning;

-- a stream with a policy for what fails
SELECT outbox_create_queue('c_retry', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_dead', on_failure => 'dead_letter', consumer_retry => true);
SELECT outbox_create_queue('c_none');
SELECT name, consumer_retry FROM outbox.queue WHERE name LIKE 'c\_%' ORDER BY id;

-- not others
SELECT outbox_create_queue('c_x', consumer_retry => true);
SELECT outbox_create_queue('c_x', on_failure => 'block', consumer_retry => true);
SELECT outbox_create_queue('c_x', 'list', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_x', 'publish', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_x', 'watermill', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_x', 'asynq', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_x', on_failure => 'retry', consumer_retry => NULL);

-- nor two of one stream
SELECT outbox_create_queue('c_x', redis_key => 'c_retry', on_failure => 'retry', consumer_retry => true);
SELECT outbox_create_queue('c_same', redis_key => 'c_retry', on_failure => 'retry');
SELECT outbox_alter_queue('c_same', consumer_retry => true);

-- altered
SELECT outbox_alter_queue('c_none', consumer_retry => true);
SELECT outbox_alter_queue('c_none', 'retry', consumer_retry => true);
SELECT outbox_alter_queue('c_none', 'block');
SELECT outbox_alter_queue('c_none', 'dead_letter');
SELECT outbox_alter_queue('c_none', 'block', consumer_retry => false);
SELECT outbox_alter_queue('c_retry', max_attempts => 3);
SELECT outbox_alter_queue('c_retry', consumer_retry => false);
SELECT outbox_alter_queue('c_same', consumer_retry => true);
SELECT name, on_failure, consumer_retry FROM outbox.queue WHERE name LIKE 'c\_%' ORDER BY id;

-- nor by other means
\set VERBOSITY terse
UPDATE outbox.queue SET consumer_retry = true WHERE name = 'c_none';
UPDATE outbox.queue SET target = 'list' WHERE name = 'c_dead';
UPDATE outbox.queue SET consumer_retry = true WHERE name = 'c_retry';
\set VERBOSITY default

SELECT outbox_drop_queue(name) FROM outbox.queue WHERE name LIKE 'c\_%';
SELECT count(*) FROM outbox.returned;
SELECT count(*) FROM outbox.consumer_position;
