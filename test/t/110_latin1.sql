-- Copyright (c) 2026, the outbox developers
--
-- Captured and forwarded in LATIN1.

SET client_encoding = 'UTF8';
SELECT outbox_create_queue('latin1 ü', 'watermill');
CREATE TABLE "täble" ("cölumn" text PRIMARY KEY, x xml, j json);
SELECT outbox_capture('"täble"', 'latin1');
INSERT INTO "täble" VALUES ('é', NULL, '{"ß": "\u00fc"}');
CREATE TABLE topic (payload json, queued bytea);
SELECT outbox_forward_watermill('topic');
INSERT INTO topic VALUES ('{"destination_topic":"latin1 ü","uuid":"00000000-0000-4000-8000-000000000001","payload":"w7w=","metadata":{"ö":"\u00e4"}}');
