-- Copyright (c) 2026, the outbox developers
--
-- psql -v options="$(node options.mjs mails '{"attempts": 3}')" -f schema.sql
CREATE EXTENSION outbox;
SELECT outbox_create_queue('mails', 'function', options => :'options');

CREATE TABLE users (name text PRIMARY KEY);
