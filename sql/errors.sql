-- What is refused, with which SQLSTATE, message and hint; and that nothing is
-- staged by it.
SET client_min_messages = warning;

CREATE FUNCTION try(command text) RETURNS TABLE (code text, message text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN QUERY SELECT '00000', 'accepted', '';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE,
        message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;

CREATE TEMP TABLE before AS
    SELECT (SELECT count(*) FROM outbox.staging_1) +
           (SELECT count(*) FROM outbox.staging_2) AS n;

\x on
-- enqueue
SELECT * FROM try($$SELECT outbox_enqueue('nowhere', 'x')$$);
SELECT * FROM try($$SELECT outbox_enqueue(NULL, 'x')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', NULL::text)$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', NULL::jsonb)$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', repeat(' ', 1024 * 1024) || 1)$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', type => repeat('x', 1024 * 1024))$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => '[]')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => '"a"')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => '{"a": 1}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => '{"a": "b", "c": {"d": "e"}}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => '{"a": null}')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', headers => (SELECT jsonb_object_agg('h' || i, '') FROM generate_series(1, 1001) AS i))$$);
SELECT * FROM try($$SELECT outbox_enqueue(repeat('x', 100000), 'x')$$) \gset t_
SELECT :'t_code' AS code;
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', delay => '1 hour', deliver_at => '2100-01-01')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', delay => '-1 second')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', delay => '1 month -31 days')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', delay => '200000000 days')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', deliver_at => 'infinity')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', '{}', deliver_at => '-infinity')$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_stream', repeat(' ', 1024 * 1024) || 1, delay => '1 hour')$$);
SELECT * FROM try($$SELECT outbox_cancel(NULL)$$);

-- queues
SELECT * FROM try($$SELECT outbox_create_queue('r_stream')$$);
SELECT * FROM try($$SELECT outbox_create_queue('')$$);
SELECT * FROM try($$SELECT outbox_create_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_create_queue(repeat('x', 201))$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', 'kafka')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', NULL)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', 'list', format => 'xml')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', 'stream', format => 'json')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', 'list', maxlen => 10)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', maxlen => 0)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', redis_key => '')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', on_failure => 'explode')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', on_failure => NULL)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', max_attempts => 0)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', max_attempts => 1001)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', retry_delay => '-1 second')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', retry_backoff => 0.99)$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', retry_backoff => 'NaN')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', retry_backoff => 'infinity')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', retry_max_delay => '-1 second')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', expires_after => '0')$$);
SELECT * FROM try($$SELECT outbox_create_queue('r_x', expires_after => '1 day -25 hours')$$);
SELECT * FROM try($$SELECT outbox_alter_queue('nowhere')$$);
SELECT * FROM try($$SELECT outbox_alter_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', on_failure => '')$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', max_attempts => -1)$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', retry_backoff => 'NaN')$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', retry_delay => '-1 month')$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', expires_after => '-1 second')$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_stream', maxlen => -1)$$);
SELECT * FROM try($$SELECT outbox_alter_queue('r_list', maxlen => 10)$$);
SELECT * FROM try($$SELECT outbox_pause_queue('nowhere')$$);
SELECT * FROM try($$SELECT outbox_pause_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_resume_queue('nowhere')$$);
SELECT * FROM try($$SELECT outbox_resume_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_drop_queue('nowhere')$$);
SELECT * FROM try($$SELECT outbox_drop_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_enqueue('r_raw', 'x'); SELECT outbox_drop_queue('r_raw')$$);

-- dead letters, and delivering again
SELECT * FROM try($$SELECT outbox_replay(NULL)$$);
SELECT * FROM try($$SELECT outbox_replay_queue('nowhere')$$);
SELECT * FROM try($$SELECT outbox_replay_queue(NULL)$$);
SELECT * FROM try($$SELECT outbox_replay_queue('r_stream', -1)$$);
SELECT * FROM try($$SELECT outbox_discard(NULL)$$);
SELECT * FROM try($$SELECT outbox_resend('nowhere', '2001-01-01')$$);
SELECT * FROM try($$SELECT outbox_resend(NULL, '2001-01-01')$$);
SELECT * FROM try($$SELECT outbox_resend('r_stream', NULL)$$);
\x off

-- 200 characters are not too many, whatever they are
SELECT outbox_create_queue(repeat('ü', 200));
SELECT outbox_drop_queue(repeat('ü', 200));

-- read-only transactions
BEGIN READ ONLY;
SELECT outbox_enqueue('r_stream', '{}');
ROLLBACK;
BEGIN READ ONLY;
SELECT outbox_create_queue('r_x');
ROLLBACK;
BEGIN READ ONLY;
SELECT outbox_enqueue('r_stream', '{}', delay => '1 hour');
ROLLBACK;
CREATE TABLE functions AS SELECT * FROM unnest(ARRAY[
    'outbox_alter_queue(''r_stream'')', 'outbox_pause_queue(''r_stream'')',
    'outbox_resume_queue(''r_stream'')', 'outbox_drop_queue(''r_stream'')',
    'outbox_cancel(gen_random_uuid())', 'outbox_replay(gen_random_uuid())',
    'outbox_replay_queue(''r_stream'')', 'outbox_discard(gen_random_uuid())',
    'outbox_resend(''r_stream'', now())', 'outbox_release(''copy'')',
    'outbox_enable(false)']) AS call;
BEGIN READ ONLY;
SELECT code, message FROM functions, try('SELECT ' || call);
ROLLBACK;
DROP TABLE functions;

-- settings: checked where they are set, and the value isn't quoted
SET outbox.redis_url = 'redis://localhost';
ALTER SYSTEM SET outbox.redis_url = 'http://user:secret@localhost';
ALTER SYSTEM SET outbox.redis_url = 'redis://:secret@';
ALTER SYSTEM SET outbox.redis_url = 'redis://localhost:0';
ALTER SYSTEM SET outbox.redis_url = 'redis://localhost:6379/first';
ALTER SYSTEM SET outbox.redis_url = 'unix://relative/path';
ALTER SYSTEM SET outbox.redis_url = 'redis://user:100%@localhost';
SET outbox.nonsense = 1;

-- triggers called as functions
SELECT outbox.hold_restored();
SELECT outbox.queue_changed();

SELECT (SELECT count(*) FROM outbox.staging_1) +
       (SELECT count(*) FROM outbox.staging_2) = n AS nothing_staged
FROM before;
SELECT count(*) FROM outbox.deferred;
SELECT count(*) FROM outbox.resend_request;
DROP FUNCTION try(text);
