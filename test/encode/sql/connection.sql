-- A connection that fails while it is written to takes whatever comes and
-- drops it; the next one begins with nothing of it.
\pset format unaligned
\pset tuples_only on
SELECT connection_story();
