-- Copyright (c) 2026, the outbox developers
--
-- Who does what; and a function that enqueues for everyone whom its owner lets.

CREATE ROLE anyone LOGIN;
CREATE ROLE producer LOGIN;
CREATE ROLE watcher LOGIN;
GRANT pg_monitor TO watcher;
GRANT EXECUTE ON FUNCTION outbox_enqueue(text, text, text, text, jsonb, uuid, interval, timestamptz, jsonb) TO producer;
GRANT EXECUTE ON FUNCTION outbox_enqueue(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) TO producer;
GRANT EXECUTE ON FUNCTION outbox_enqueue(text, json, text, text, jsonb, uuid, interval, timestamptz, jsonb) TO producer;
GRANT EXECUTE ON FUNCTION outbox_enqueue_json(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) TO producer;
GRANT EXECUTE ON FUNCTION outbox_enqueue(text, bytea, text, text, jsonb, uuid, interval, timestamptz, jsonb) TO producer;
CREATE FUNCTION welcome(name text) RETURNS uuid LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, public, pg_temp
	AS $$ SELECT outbox_enqueue('q', 'welcome ' || name) $$;
