-- Copyright (c) 2026, the outbox developers
--
-- Two queues that retry, one that gives up at once, and messages with one of
-- three keys.

SELECT create_queue(name, on_failure => 'retry', max_attempts => 1000,
	retry_delay => '300 ms', retry_backoff => 1) FROM unnest('{broken,mended}'::text[]) AS name;
SELECT create_queue('letters', on_failure => 'dead_letter');
CREATE FUNCTION put_keys(queue text, body text, n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body)
	SELECT outbox_enqueue(put_keys.queue, format('%s %s', put_keys.body, i), key => 'key ' || i % 3),
		put_keys.queue, pg_current_xact_id(), pg_current_snapshot(), format('%s %s', put_keys.body, i)
	FROM generate_series(1, n) AS i;
$$;
