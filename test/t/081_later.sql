-- Copyright (c) 2026, the outbox developers
--
-- later(): enqueue, and remember when it is due.  With a clock, deliver_at is
-- given; else delay.

CREATE TABLE due (id uuid PRIMARY KEY, queue text, body text, seq bigint, at timestamptz);
CREATE FUNCTION later(queue text, body text, wait interval, clock boolean DEFAULT false)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	m uuid;
BEGIN
	IF clock THEN
		m := outbox_enqueue(queue, body, deliver_at => clock_timestamp() + wait);
	ELSE
		m := outbox_enqueue(queue, body, delay => wait);
	END IF;
	INSERT INTO due
	SELECT d.id, later.queue, later.body, d.seq, d.due_at FROM outbox.deferred AS d
	WHERE d.id = m AND d.reason = 'delayed';
	RETURN m;
END $$;
CREATE FUNCTION wait_for(due timestamptz) RETURNS void LANGUAGE sql AS
$$ SELECT pg_sleep_until(due) $$;
