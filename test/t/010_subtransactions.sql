-- Copyright (c) 2026, the outbox developers
--
-- Two hundred subtransactions, one in ten rolled back.

DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			PERFORM outbox_enqueue('emails', i::text);
			IF i % 10 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$
