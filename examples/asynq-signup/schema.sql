-- Copyright (c) 2026, the outbox developers

CREATE EXTENSION outbox;

-- asynq's queue "critical"; its tasks are tried ten times
SELECT outbox_create_queue('critical', 'asynq', options => '{"max_retry": 10}');

CREATE TABLE users (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The worker's: what it has done, by the task's id.
CREATE TABLE verify_email (
    task_id uuid PRIMARY KEY,
    user_name text NOT NULL REFERENCES users,
    sent_at timestamptz NOT NULL DEFAULT now()
);
