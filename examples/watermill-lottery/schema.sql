-- Copyright (c) 2026, the outbox developers

CREATE EXTENSION outbox;

-- the topic that the publisher names, and the stream that the subscriber reads
SELECT outbox_create_queue('LotteryConcluded', 'watermill');

-- The table of watermill-sql's topic "events_to_forward", as its
-- DefaultPostgreSQLSchema makes it (an application that has it has it already).
CREATE TABLE "watermill_events_to_forward" (
    "offset" bigserial,
    "uuid" varchar(36) NOT NULL,
    "created_at" timestamp NOT NULL DEFAULT current_timestamp,
    "payload" json DEFAULT NULL,
    "metadata" json DEFAULT NULL,
    "transaction_id" xid8 NOT NULL,
    PRIMARY KEY ("transaction_id", "offset")
);

-- This line is all there is to do: what the forwarder's publisher inserts there is
-- enqueued to its destination instead.  No forwarder has to run.
SELECT outbox_forward_watermill('watermill_events_to_forward');

CREATE TABLE participants (name text PRIMARY KEY);
INSERT INTO participants VALUES ('ann'), ('ben'), ('cleo'), ('dan'), ('eve');

CREATE TABLE winners (
    lottery int PRIMARY KEY,
    name text NOT NULL REFERENCES participants
);

-- The subscriber's: what it has done, by the message's id, a ULID here.
CREATE TABLE prizes (
    message_id text PRIMARY KEY,
    lottery int NOT NULL,
    name text NOT NULL,
    number serial
);
