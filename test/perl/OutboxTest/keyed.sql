-- Copyright (c) 2026, the outbox developers
--
-- Messages with keys (OutboxTest::Refusals).  The journal's queue is "queue/key".

CREATE FUNCTION put_keyed(queue text, key text, body text) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body)
	SELECT outbox_enqueue(put_keyed.queue, put_keyed.body, key => put_keyed.key),
		put_keyed.queue || coalesce('/' || put_keyed.key, ''),
		pg_current_xact_id(), pg_current_snapshot(), put_keyed.body;
$$;

-- put() chooses one of some keys, or none.
CREATE OR REPLACE FUNCTION put(queue text, body text) RETURNS void
LANGUAGE sql AS $$
	SELECT put_keyed(put.queue,
		CASE WHEN random() < 0.9 THEN 'key ' || floor(random() * 20) END, put.body);
$$;
