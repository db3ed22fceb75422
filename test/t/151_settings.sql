-- Copyright (c) 2026, the outbox developers
--
-- What each setting that a session may have can be set to: the values farthest
-- from the one it has, as commands that begin with :what.

WITH possible AS (
	SELECT name, vartype, setting,
		CASE vartype
			WHEN 'bool' THEN ARRAY[CASE setting WHEN 'on' THEN 'off' ELSE 'on' END]
			WHEN 'enum' THEN array_remove(enumvals, setting)
			WHEN 'string' THEN ARRAY[CASE name
				WHEN 'DateStyle' THEN 'German, DMY'
				WHEN 'TimeZone' THEN 'Asia/Kolkata'
				WHEN 'client_encoding' THEN 'LATIN1'
				ELSE 'hostile' END, '']
			ELSE ARRAY[min_val, max_val]
		END AS hostile
	FROM pg_settings
	WHERE context IN ('user', 'superuser')
)
SELECT format('%s SET %I = %L;', :'what', name, hostile[1 + :n % array_length(hostile, 1)])
FROM possible
ORDER BY name;
