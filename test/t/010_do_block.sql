-- Copyright (c) 2026, the outbox developers
--
-- A DO block that commits and rolls back.

DO $$
BEGIN
	PERFORM outbox_enqueue('emails', 'one'::text); COMMIT;
	PERFORM outbox_enqueue('emails', 'two'::text); ROLLBACK;
	PERFORM outbox_enqueue('emails', 'three'::text);
END $$;
