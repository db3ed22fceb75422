-- Copyright (c) 2026, the outbox developers
--
-- Queues of each policy, writers that use all of it, and what is wrong with the
-- tables at a moment.

SELECT create_queue('stands');
SELECT create_queue('paused');
SELECT create_queue('late');
SELECT create_queue('letters', on_failure => 'dead_letter');
SELECT create_queue('keyed', on_failure => 'retry', max_attempts => 4, retry_delay => '30 ms');
SELECT create_queue('loose', on_failure => 'retry', max_attempts => 3, retry_delay => '20 ms');

ALTER TABLE journal ADD key text, ADD due timestamptz, ADD w int;
CREATE TABLE cancelled (id uuid PRIMARY KEY);
CREATE TABLE discarded (id uuid PRIMARY KEY);
CREATE TABLE replayed (id uuid NOT NULL);

CREATE FUNCTION put(w int, queue text, body text, key text, type text, due timestamptz)
RETURNS void LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body, key, due, w)
	SELECT outbox_enqueue(put.queue, put.body, type => put.type, key => put.key,
			deliver_at => put.due, headers => CASE WHEN put.body LIKE '%7' THEN '{"h": "v"}'::jsonb END),
		put.queue, pg_current_xact_id(), pg_current_snapshot(), put.body, put.key, put.due, put.w;
$$;

-- Take back one of one's own, if it isn't too late.
CREATE FUNCTION take_back(me int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO cancelled
	SELECT id FROM (SELECT id FROM journal WHERE w = me AND due > clock_timestamp() - interval '50 ms'
		AND id NOT IN (SELECT id FROM cancelled) ORDER BY random() LIMIT 1) AS j
	WHERE outbox_cancel(id);
$$;

CREATE PROCEDURE put_some(w int, r int, n int, queues text[])
LANGUAGE plpgsql AS $$
DECLARE
	queue text;
BEGIN
	FOR m IN 1 .. n LOOP
		BEGIN
			queue := queues[1 + floor(random() * array_length(queues, 1))];
			PERFORM put(w, queue, format('writer %s round %s message %s of backend %s', w, r, m, pg_backend_pid()),
				CASE WHEN queue <> 'loose' AND random() < 0.9 THEN 'k' || floor(random() * 5) END,
				CASE WHEN random() < 0.3 THEN 'type' END,
				CASE WHEN queue = 'late' AND random() < 0.5 THEN clock_timestamp() + random() * interval '800 ms' END);
			IF random() < 0.05 THEN
				RAISE EXCEPTION 'undo the savepoint';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;

-- In place of the usual writer.
CREATE OR REPLACE PROCEDURE writer(w int, rounds int, queues text[], max_delay float)
LANGUAGE plpgsql AS $$
BEGIN
	FOR r IN 1 .. rounds LOOP
		CALL put_some(w, r, CASE WHEN random() < 0.01 THEN 400 ELSE (1 + floor(random() * 4))::int END, queues);
		IF random() < 0.2 THEN
			PERFORM take_back(w);
		END IF;
		PERFORM pg_sleep(random() * max_delay);
		IF random() < 0.1 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;

-- A message must not be in two states at once.
CREATE VIEW in_two_states (what) AS
SELECT format('%s %s is %s and a dead letter', d.queue, d.seq, d.reason)
	FROM outbox.deferred d JOIN outbox.dead_letter x USING (queue, seq)
	WHERE d.reason IN ('retry', 'behind', 'evacuated', 'applied') AND x.lsn > '0/0' UNION ALL
SELECT format('%s is a dead letter %s times', id, count(*))
	FROM outbox.dead_letter WHERE gone_at IS NULL GROUP BY id HAVING count(*) > 1 UNION ALL
SELECT format('%s is delayed and staged', id)
	FROM outbox.deferred d JOIN (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2) s USING (id)
	WHERE d.reason = 'delayed' UNION ALL
SELECT format('%s was taken back and is there', id)
	FROM cancelled JOIN (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2
		UNION ALL SELECT id FROM outbox.deferred) s USING (id);
