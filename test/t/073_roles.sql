-- Copyright (c) 2026, the outbox developers
--
-- Who does what; and a function that enqueues for everyone whom its owner lets.

CREATE ROLE anyone LOGIN;
CREATE ROLE producer LOGIN;
CREATE ROLE watcher LOGIN;
GRANT pg_monitor TO watcher;
SELECT outbox_grant('producer', 'q');
CREATE FUNCTION welcome(name text) RETURNS uuid LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, public, pg_temp
	AS $$ SELECT outbox_enqueue('q', 'welcome ' || name) $$;
