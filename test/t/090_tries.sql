-- Copyright (c) 2026, the outbox developers
--
-- Every attempt that the relay has written down, with the time that it set for the
-- next one: from the write-ahead log, as later ones replace the earlier.

CREATE TABLE tries AS
SELECT id, attempts, (replace(history, '''''', '''')::jsonb -> -1 ->> 'at')::timestamptz AS at, due_at
FROM (SELECT (regexp_match(new, ' id\[uuid\]:''([^'']*)'''))[1]::uuid AS id,
		(regexp_match(new, ' attempts\[smallint\]:(\d+)'))[1]::int AS attempts,
		(regexp_match(new, ' history\[jsonb\]:''((?:[^'']|'''')*)'''))[1] AS history,
		(regexp_match(new, ' due_at\[[^]]*\]:''([^'']*)'''))[1]::timestamptz AS due_at
	FROM (SELECT regexp_replace(data, '^.* new-tuple:', ' ') AS new
		FROM pg_logical_slot_get_changes('tries', NULL, NULL)
		WHERE data ~ '^table outbox\.deferred: (INSERT|UPDATE): ') AS change
	WHERE new ~ ' reason\[text\]:''retry''') AS change
WHERE attempts > 0;

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
