-- Copyright (c) 2026, the outbox developers
--
-- A topic table of Watermill's, and its publisher.

SELECT outbox_create_queue('lottery', 'watermill');
CREATE TABLE watermill_forwarder_topic ("offset" bigserial, uuid varchar(36) NOT NULL, created_at timestamp NOT NULL DEFAULT now(),
	payload json, metadata json, transaction_id xid8 NOT NULL, PRIMARY KEY (transaction_id, "offset"));
SELECT outbox_forward_watermill('watermill_forwarder_topic');
CREATE FUNCTION publish(n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO watermill_forwarder_topic (uuid, payload, metadata, transaction_id) VALUES (gen_random_uuid(),
		format('{"destination_topic":"lottery","uuid":"00000000-0000-4000-8000-%s","payload":"%s","metadata":{"key":"value"}}',
			lpad(n::text, 12, '0'), encode(('\x00ff0' || n)::bytea, 'base64'))::json, '{}', pg_current_xact_id()) $$;
