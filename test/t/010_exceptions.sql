-- Copyright (c) 2026, the outbox developers
--
-- An exception that is caught takes what its block has enqueued with it.

DO $$
BEGIN
	PERFORM outbox_enqueue('emails', 'a'::text);
	BEGIN
		PERFORM outbox_enqueue('emails', 'b'::text);
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN OTHERS THEN
		PERFORM outbox_enqueue('emails', 'handled'::text);
	END;
	PERFORM outbox_enqueue('emails', 'c'::text);
END $$;
