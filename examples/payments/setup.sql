-- Copyright (c) 2026, the outbox developers
--
-- Payments: what the producer has, and the queue.

CREATE TABLE payment (
    id          uuid PRIMARY KEY,
    account     text NOT NULL,
    amount      numeric NOT NULL
);

-- Consumers may return what they can't process: it comes again after half a
-- second, then after one, and the third time it is set aside.
SELECT outbox_create_queue('payments',
    on_failure => 'retry', max_attempts => 3,
    retry_delay => '500 milliseconds', retry_backoff => 2,
    consumer_retry => true);

-- A payment and the message about it, both or none.  The correlation id is what
-- the reply will have.
CREATE FUNCTION pay(account text, amount numeric) RETURNS uuid
LANGUAGE sql AS $$
    WITH paid AS (
        INSERT INTO payment (id, account, amount)
        VALUES (gen_random_uuid(), pay.account, pay.amount)
        RETURNING *
    )
    SELECT outbox_enqueue('payments',
        jsonb_build_object('account', account, 'amount', amount),
        type => 'payment',
        key => account,
        headers => jsonb_build_object('correlation-id', id, 'reply-to', 'payments:replies'))
    FROM paid
$$;
