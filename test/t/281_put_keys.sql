-- Copyright (c) 2026, the outbox developers
--
-- What load() calls, with keys: a message's key is its body's first word.

CREATE OR REPLACE PROCEDURE writer(w int, rounds int, queues text[], max_delay float)
LANGUAGE plpgsql AS $$
DECLARE
	key text;
BEGIN
	FOR r IN 1 .. rounds LOOP
		FOR m IN 1 .. CASE WHEN random() < 0.01 THEN 700 ELSE 1 + floor(random() * 5) END LOOP
			key := 'key' || floor(random() * 100);
			PERFORM put_key(queues[1 + floor(random() * array_length(queues, 1))], key,
							format('%s writer %s round %s message %s of backend %s', key, w, r, m, pg_backend_pid()));
		END LOOP;
		PERFORM pg_sleep(random() * max_delay);
		IF random() < 0.1 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;
