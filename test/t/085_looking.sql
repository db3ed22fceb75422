-- Copyright (c) 2026, the outbox developers
--
-- What a look at the views reads of our tables.

BEGIN;
SELECT count(*) FROM outbox.queue_status, outbox.status;
SELECT coalesce(string_agg(relname, ' '), 'none') FROM pg_stat_xact_all_tables
WHERE schemaname = 'outbox' AND coalesce(seq_scan, 0) + coalesce(idx_scan, 0) > 0
	AND relname NOT IN ('queue', 'queue_total');
SELECT count(*) FROM pg_stat_xact_all_tables
WHERE schemaname = 'outbox' AND relname = 'queue' AND seq_scan + idx_scan > 0;
COMMIT;
