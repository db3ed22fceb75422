-- A topic table of watermill-sql whose envelopes are opened and enqueued.
SET client_min_messages = warning;
SELECT outbox_create_queue('r_lottery', 'watermill');
SELECT outbox_create_queue('r_forwarded', 'list', settings => '{"payload_type": "bytea"}');
CREATE VIEW forwarded AS
    SELECT q.name AS queue, s.kind, s.id, s.type, s.key, s.headers, s.payload
    FROM (SELECT * FROM outbox.staging_1 UNION ALL
          SELECT * FROM outbox.staging_2) AS s
    JOIN outbox.queue AS q ON q.id = s.queue
    WHERE q.name IN ('r_lottery', 'r_forwarded')
    ORDER BY s.seq;

-- as DefaultPostgreSQLSchema makes it, and as the publisher inserts
CREATE TABLE "watermill_forwarder_topic" (
    "offset" bigserial,
    "uuid" varchar(36) NOT NULL,
    "created_at" timestamp NOT NULL DEFAULT current_timestamp,
    "payload" json DEFAULT NULL,
    "metadata" json DEFAULT NULL,
    "transaction_id" xid8 NOT NULL,
    PRIMARY KEY ("transaction_id", "offset"));
SELECT outbox_forward_watermill('watermill_forwarder_topic');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'watermill_forwarder_topic'::regclass;
PREPARE publish (text, json, json) AS
    INSERT INTO "watermill_forwarder_topic" (uuid, payload, metadata, transaction_id) VALUES ($1, $2, $3, pg_current_xact_id());
EXECUTE publish ('0190f3a2-0000-7b3a-9d55-3f0c2a1b4c5d',
    '{"destination_topic":"r_lottery","uuid":"0190f3a2-7c1e-4b3a-9d55-3f0c2a1b4c5d","payload":"eyJ3aW5uZXIiOiJhbGljZSJ9","metadata":{"trace":"00-1","ü":"ß"}}', '{}');
-- several rows of a statement, in order; empty payloads; no metadata; any bytes
INSERT INTO "watermill_forwarder_topic" (uuid, payload, metadata, transaction_id) VALUES
    ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000001","payload":"","metadata":{}}', '{}', pg_current_xact_id()),
    ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000002","payload":null,"metadata":null}', '{}', pg_current_xact_id()),
    ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000003","payload":"AP8A"}', '{}', pg_current_xact_id());
SELECT * FROM forwarded;
SELECT count(*) FROM "watermill_forwarder_topic";
-- in the producer's transaction
BEGIN;
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","payload":"","metadata":{}}', '{}');
-- an id that is no UUID goes along as it is
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"01J5Z3NDEKTSV4RRFFQ69G5FAV","payload":"","metadata":{}}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-00000000000A","payload":"","metadata":{}}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-0000-0000-000000000000","payload":"","metadata":{}}', '{}');
SELECT s.options FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
    WHERE s.options ? 'message_id' ORDER BY s.seq;
ROLLBACK;
SELECT count(*) FROM forwarded;

-- what is refused
EXECUTE publish ('x', '{"destination_topic":"r_nowhere","uuid":"00000000-0000-4000-8000-000000000004","payload":"","metadata":{}}', '{}');
EXECUTE publish ('x', '{"winner":"secret"}', '{}');
EXECUTE publish ('x', '"secret"', '{}');
EXECUTE publish ('x', '[]', '{}');
EXECUTE publish ('x', NULL, '{}');
EXECUTE publish ('x', '{"destination_topic":"","uuid":"00000000-0000-4000-8000-000000000004"}', '{}');
EXECUTE publish ('x', '{"destination_topic":1,"uuid":"00000000-0000-4000-8000-000000000004"}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","payload":""}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":{},"payload":""}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","payload":{"a":1}}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","payload":"%"}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","metadata":{"a":1}}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","metadata":[]}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000004","metadata":"x"}', '{}');
-- what isn't of the queue's payload type: "secret", nothing, and what is
SELECT outbox_alter_queue('r_forwarded', settings => '{"payload_type": "json"}');
EXECUTE publish ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000009","payload":"c2VjcmV0"}', '{}');
EXECUTE publish ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000009","payload":""}', '{}');
BEGIN;
EXECUTE publish ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000009","payload":"eyJ3aW5uZXIiOiAgImFsaWNlIn0="}', '{}');
SELECT kind, convert_from(payload, 'UTF8') AS payload FROM forwarded WHERE id::text LIKE '%9';
ROLLBACK;
SELECT outbox_alter_queue('r_forwarded', settings => '{"payload_type": "text"}');
EXECUTE publish ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000009","payload":"c2VjcmV0"}', '{}');
SELECT outbox_alter_queue('r_forwarded', settings => '{"payload_type": "bytea"}');
-- nothing of a payload that can't be read is told
EXECUTE publish ('x', '{"destination_topic":"r_lottery","uuid":"secret\u0000","metadata":{}}', '{}');
SELECT count(*) FROM forwarded;
-- of several rows none
INSERT INTO "watermill_forwarder_topic" (uuid, payload, metadata, transaction_id) VALUES
    ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000005","payload":""}', '{}', pg_current_xact_id()),
    ('x', '{}', '{}', pg_current_xact_id());
SELECT count(*) FROM forwarded;

-- twice is once too often; without it the table is what it was
\set VERBOSITY terse
SELECT outbox_forward_watermill('watermill_forwarder_topic');
SELECT outbox_unforward_watermill('watermill_forwarder_topic');
SELECT outbox_unforward_watermill('watermill_forwarder_topic');
EXECUTE publish ('x', '{"any": "thing"}', '{}');
SELECT payload FROM "watermill_forwarder_topic";
SELECT outbox_forward_watermill(NULL);
SELECT outbox_unforward_watermill(NULL);
SELECT outbox_forward_watermill('outbox.queue');
SELECT outbox_forward_watermill_row();
BEGIN READ ONLY;
SELECT outbox_forward_watermill('watermill_forwarder_topic');
ROLLBACK;
BEGIN READ ONLY;
SELECT outbox_unforward_watermill('watermill_forwarder_topic');
ROLLBACK;
CREATE TRIGGER mine AFTER INSERT ON "watermill_forwarder_topic" FOR EACH ROW EXECUTE FUNCTION outbox_forward_watermill_row();
EXECUTE publish ('x', '{"any": "thing"}', '{}');
\set VERBOSITY default
DROP TABLE "watermill_forwarder_topic";

-- as PostgreSQLQueueSchema makes it, and with a payload of bytes
CREATE TABLE "watermill_queue topic" (
    "offset" serial PRIMARY KEY,
    "uuid" varchar(36) NOT NULL,
    "payload" bytea DEFAULT NULL,
    "metadata" json DEFAULT NULL,
    "acked" boolean NOT NULL DEFAULT false,
    "created_at" timestamptz NOT NULL DEFAULT current_timestamp);
SELECT outbox_forward_watermill('"watermill_queue topic"');
INSERT INTO "watermill_queue topic" (uuid, payload, metadata) VALUES
    ('x', convert_to('{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000006","payload":"w7w=","metadata":{"ü":"ß"}}', 'UTF8'), '{}');
INSERT INTO "watermill_queue topic" (uuid, payload, metadata) VALUES ('x', 'secret', '{}');
INSERT INTO "watermill_queue topic" (uuid, payload, metadata) VALUES ('x', '\xff', '{}');
SELECT queue, kind, headers, convert_from(payload, 'UTF8') AS payload FROM forwarded WHERE id::text LIKE '%6';
ALTER TABLE "watermill_queue topic" ALTER payload TYPE jsonb USING NULL;
INSERT INTO "watermill_queue topic" (uuid, payload, metadata) VALUES
    ('x', '{"destination_topic":"r_forwarded","uuid":"00000000-0000-4000-8000-000000000007","payload":"w7w="}', '{}');
SELECT queue, kind, headers, convert_from(payload, 'UTF8') AS payload FROM forwarded WHERE id::text LIKE '%7';
ALTER TABLE "watermill_queue topic" RENAME payload TO body;
INSERT INTO "watermill_queue topic" (uuid, body, metadata) VALUES ('x', '{}', '{}');
DROP TABLE "watermill_queue topic";

-- privileges: the producer needs none but on the table
CREATE ROLE regress_outbox_owner;
CREATE ROLE regress_outbox_writer;
CREATE TABLE topic (uuid text, payload json, metadata json);
GRANT INSERT ON topic TO regress_outbox_writer;
GRANT TRIGGER ON topic TO regress_outbox_owner;
\set VERBOSITY terse
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic');
SELECT outbox_unforward_watermill('topic');
RESET ROLE;
GRANT EXECUTE ON FUNCTION outbox_forward_watermill(regclass, jsonb) TO regress_outbox_owner;
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic');
RESET ROLE;
GRANT EXECUTE ON FUNCTION outbox_forward_watermill_row() TO regress_outbox_owner;
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic');
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000008","payload":""}', '{}');
SELECT outbox_enqueue('r_lottery', ''::bytea);
RESET ROLE;
-- the right is that of the table's owner
ALTER TABLE topic OWNER TO regress_outbox_owner;
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000018","payload":""}', '{}');
RESET ROLE;
SELECT outbox_grant('regress_outbox_owner', 'r_lottery');
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_lottery","uuid":"00000000-0000-4000-8000-000000000028","payload":""}', '{}');
RESET ROLE;
SELECT count(*) FROM forwarded WHERE id::text LIKE '%8';
\set VERBOSITY default
DROP TABLE topic;
-- a topic without a queue gets one, if it is said so
SELECT outbox_grant('regress_outbox_owner', 'r_lottery');
CREATE TABLE topic (uuid text, payload json, metadata json);
CREATE FUNCTION publish(topic text) RETURNS void LANGUAGE sql AS
    $$INSERT INTO topic (payload) SELECT json_build_object('destination_topic', topic, 'uuid', gen_random_uuid(), 'payload', 'eyJhIjoxfQ==')$$;
CREATE VIEW made AS SELECT q.name, q.target, q.redis_key, q.format, q.maxlen, q.on_failure, q.max_attempts, q.retry_delay, q.retry_backoff,
        q.retry_max_delay, q.expires_after, q.options, q.consumer_retry, q.payload_type, q.fields,
        (SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE s.queue = q.id) AS staged
    FROM outbox.queue AS q WHERE q.name LIKE 'r!_made%' ESCAPE '!' OR q.name = 'Ünïq "t"' ORDER BY q.name;
SELECT outbox_forward_watermill('topic', '{}');
SELECT publish('r_made');
SELECT outbox_unforward_watermill('topic');
SELECT outbox_forward_watermill('topic', '{"create_queues": null}');
SELECT publish('r_made');
SELECT outbox_unforward_watermill('topic');
-- with the defaults of outbox_create_queue(), and target watermill
SELECT outbox_create_queue('r_made_by_hand', 'watermill');
SELECT outbox_forward_watermill('topic', '{"create_queues": {}}');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'topic'::regclass;
SELECT publish('r_made');
SELECT publish('Ünïq "t"');
SELECT publish('r_made');
\x
TABLE made;
\x
-- gone with the transaction, and with a subtransaction
BEGIN;
SELECT publish('r_made_2');
SAVEPOINT s;
SELECT publish('r_made_3');
ROLLBACK TO s;
SELECT publish('r_made_2');
SELECT name, staged FROM made;
ROLLBACK;
SELECT name, staged FROM made;
SELECT publish(repeat('x', 300));
SELECT outbox_drop_queue(name, true) FROM made;
SELECT outbox_unforward_watermill('topic');
-- with each argument
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "list", "format": "json", "on_failure": "retry", "max_attempts": 3, "retry_delay": "5 s",
    "retry_backoff": 1.5, "retry_max_delay": "1 h", "expires_after": "1 d", "options": null, "consumer_retry": false,
    "settings": {"payload_type": "json", "fields": ["queue"]}}}');
SELECT publish('r_made');
\x
TABLE made;
\x
SELECT outbox_drop_queue(name, true) FROM made;
SELECT outbox_unforward_watermill('topic');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "stream", "maxlen": 10, "on_failure": "dead_letter", "consumer_retry": true}}');
SELECT publish('r_made');
SELECT name, target, maxlen, consumer_retry, staged FROM made;
SELECT outbox_drop_queue(name, true) FROM made;
SELECT outbox_unforward_watermill('topic');
-- what is refused, when it is set up
SELECT outbox_forward_watermill('topic', '[]');
SELECT outbox_forward_watermill('topic', 'null');
SELECT outbox_forward_watermill('topic', '{"create_queue": {}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": true}');
SELECT outbox_forward_watermill('topic', '{"create_queues": []}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"size": 1}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"name": "x"}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"if_not_exists": true}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"redis_key": "x"}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"maxlen": {}}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"maxlen": "many"}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"maxlen": 0}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "kafka"}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": null}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"on_failure": null}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"consumer_retry": true}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"format": "raw"}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"options": {"retry": 1}}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"settings": {"payload_type": "blob"}}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"settings": []}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "stream", "settings": {"payload_type": "text"}}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "asynq", "options": {"max_retry": 3}}}');
SELECT outbox_forward_watermill('topic', '{"create_queues": {"target": "commands", "options": {"commands": [["PUBLISH", "{redis_key}", "{payload}"]]}}}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'topic'::regclass;

-- privileges: who sets it up, and whoever owns the table when a queue is made
GRANT INSERT ON topic TO regress_outbox_writer;
GRANT TRIGGER ON topic TO regress_outbox_owner;
\set VERBOSITY terse
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic', '{"create_queues": {}}');
RESET ROLE;
ALTER TABLE topic OWNER TO regress_outbox_owner;
\set VERBOSITY default
SELECT outbox_forward_watermill('topic', '{"create_queues": {}}');
-- a trigger of the owner's own making has no more
SET ROLE regress_outbox_owner;
CREATE TRIGGER mine BEFORE INSERT ON topic FOR EACH ROW EXECUTE FUNCTION outbox_forward_watermill_row('{"create_queues": {}}');
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made","uuid":"1"}', '{}');
RESET ROLE;
DROP TRIGGER mine ON topic;
GRANT EXECUTE ON FUNCTION outbox_create_queue TO regress_outbox_owner;
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic', '{"create_queues": {}}');
RESET ROLE;
SELECT outbox_grant('regress_outbox_owner');
SET ROLE regress_outbox_owner;
SELECT outbox_forward_watermill('topic', '{"create_queues": {}}');
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made","uuid":"1"}', '{}');
SELECT outbox_create_queue('r_made_2');
RESET ROLE;
SELECT name, staged FROM made;
-- a function of that name is not called, and a right that is taken back is gone
CREATE FUNCTION outbox_create_queue(name text, target text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_3","uuid":"1"}', '{}');
RESET ROLE;
DROP FUNCTION outbox_create_queue(text, text);
REVOKE EXECUTE ON FUNCTION outbox_create_queue FROM regress_outbox_owner;
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_4","uuid":"1"}', '{}');
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_3","uuid":"1"}', '{}');
RESET ROLE;
SELECT outbox_revoke('regress_outbox_owner');
GRANT EXECUTE ON FUNCTION outbox_create_queue TO regress_outbox_owner;
SET ROLE regress_outbox_writer;
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_4","uuid":"1"}', '{}');
RESET ROLE;
SELECT name, staged FROM made;
-- settings that were written by hand
CREATE OR REPLACE TRIGGER outbox_forward_watermill BEFORE INSERT ON topic FOR EACH ROW EXECUTE FUNCTION outbox_forward_watermill_row('{"create_queues": {"secret": 1}}');
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_4","uuid":"1"}', '{}');
CREATE OR REPLACE TRIGGER outbox_forward_watermill BEFORE INSERT ON topic FOR EACH ROW EXECUTE FUNCTION outbox_forward_watermill_row('{');
INSERT INTO topic VALUES ('x', '{"destination_topic":"r_made_4","uuid":"1"}', '{}');
SELECT outbox_drop_queue(name, true) FROM made;
DROP VIEW made;
DROP FUNCTION publish;
DROP TABLE topic;
DROP OWNED BY regress_outbox_owner;
DROP ROLE regress_outbox_owner, regress_outbox_writer;

DEALLOCATE publish;
DROP VIEW forwarded;
SELECT outbox_drop_queue('r_lottery', true), outbox_drop_queue('r_forwarded', true);
