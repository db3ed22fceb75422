-- Copyright (c) 2026, the outbox developers
--
-- The journal, and what writes messages (OutboxTest.pm: install, put, load).

CREATE TABLE journal (
	n bigserial PRIMARY KEY,
	id uuid NOT NULL,
	queue text NOT NULL,
	xid xid8 NOT NULL,
	snap pg_snapshot NOT NULL,
	body text NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp());

-- A queue whose payloads are any text, as what the tests send is no JSON.
CREATE FUNCTION create_queue(name text, target text DEFAULT 'stream', redis_key text DEFAULT NULL,
	format text DEFAULT NULL, maxlen bigint DEFAULT NULL, on_failure text DEFAULT 'block',
	max_attempts int DEFAULT 10, retry_delay interval DEFAULT '1 s', retry_backoff float DEFAULT 2,
	retry_max_delay interval DEFAULT '10 min', expires_after interval DEFAULT NULL,
	options jsonb DEFAULT NULL, consumer_retry boolean DEFAULT false) RETURNS void
LANGUAGE sql AS $$
	SELECT outbox_create_queue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
		settings => '{"payload_type": "text"}');
$$;

-- One message and its journal row, in one statement: the snapshot is older
-- than the enqueue.
CREATE FUNCTION put(queue text, body text) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body)
	SELECT outbox_enqueue(put.queue, put.body), put.queue,
		pg_current_xact_id(), pg_current_snapshot(), put.body;
$$;

-- The same with a key.
CREATE FUNCTION put_key(queue text, key text, body text) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body)
	SELECT outbox_enqueue(put_key.queue, put_key.body, key => put_key.key), put_key.queue,
		pg_current_xact_id(), pg_current_snapshot(), put_key.body;
$$;

-- Transactions of one to five messages, now and then of hundreds (several
-- batches, more subtransactions than fit in shared memory), a random while
-- between enqueue and end, one in ten rolled back, savepoints kept and rolled
-- back.
CREATE PROCEDURE writer(w int, rounds int, queues text[], max_delay float)
LANGUAGE plpgsql AS $$
BEGIN
	FOR r IN 1 .. rounds LOOP
		FOR m IN 1 .. CASE WHEN random() < 0.01 THEN 700 ELSE 1 + floor(random() * 5) END LOOP
			BEGIN
				PERFORM put(queues[1 + floor(random() * array_length(queues, 1))],
							format('writer %s round %s message %s of backend %s',
								   w, r, m, pg_backend_pid()));
				IF random() < 0.1 THEN
					RAISE EXCEPTION 'undo the savepoint';
				END IF;
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		END LOOP;
		PERFORM pg_sleep(random() * max_delay);
		IF random() < 0.1 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;

-- Commits of one message each, to the queues q and r.
CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		PERFORM put(CASE i % 3 WHEN 0 THEN 'q' ELSE 'r' END, 'commit ' || i);
		COMMIT;
	END LOOP;
END $$;

-- Messages that the journal need not have: of about so many bytes, so many in a
-- transaction.
CREATE PROCEDURE flood(queue text, messages int, in_one int, bytes int)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. messages / in_one LOOP
		PERFORM outbox_enqueue(queue, repeat('x', bytes) || n) FROM generate_series(1, in_one) n;
		COMMIT;
	END LOOP;
END $$;
