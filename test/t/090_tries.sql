-- Copyright (c) 2026, the outbox developers
--
-- Every attempt that the relay writes down, with the time that it sets for the
-- next one.

CREATE TABLE tries (id uuid, attempts int, at timestamptz, due_at timestamptz);
CREATE FUNCTION keep_try() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.tries VALUES (NEW.id, NEW.attempts,
		(NEW.history -> -1 ->> 'at')::timestamptz, NEW.due_at);
	RETURN NULL;
END $$;
CREATE TRIGGER keep_try AFTER INSERT OR UPDATE ON outbox.deferred
	FOR EACH ROW WHEN (NEW.reason = 'retry' AND NEW.attempts > 0) EXECUTE FUNCTION keep_try();

-- The delay after each attempt: how many there were, whether they differ, and
-- whether they are what they should be, from 200 ms to 500 ms, give or take a
-- tenth.
CREATE VIEW delays AS
SELECT attempts, count(*), count(DISTINCT delay) > 1,
	bool_and(delay BETWEEN 0.9 * nominal AND 1.1 * nominal)
FROM (SELECT attempts, extract(epoch FROM due_at - at) AS delay,
		least(0.2 * 2 ^ (attempts - 1), 0.5) AS nominal FROM tries) AS t
GROUP BY 1 ORDER BY 1;

-- Attempts made before the time that the one before them set.
CREATE VIEW early AS
SELECT * FROM tries
WHERE at < (SELECT due_at FROM tries AS o WHERE o.id = tries.id AND o.attempts = tries.attempts - 1);
