-- Copyright (c) 2026, the outbox developers
--
-- What the dead letters that were given up first have to tell: one row, as it
-- is the same of each.

SELECT DISTINCT reason, attempts, (SELECT string_agg(concat_ws(' ', e ->> 'attempt', e ->> 'reason',
		e ->> 'queue', substr(e ->> 'error', 1, 9)), ', ' ORDER BY n)
	FROM jsonb_array_elements(history) WITH ORDINALITY AS h (e, n))
FROM outbox.dead_letters WHERE payload #>> '{}' <> 'second of a';
