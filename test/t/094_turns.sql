-- Copyright (c) 2026, the outbox developers
--
-- A message that is tried again and again without a pause, and another one of
-- its queue.  In one session, as the first is given up after 1000 attempts.
-- Gives the attempts of the first before the other came, how many are held when
-- the other one is, and the attempts of the first then.

SET statement_timeout = '120s';

CREATE TEMP TABLE seen (before int, held int, attempts int);

CREATE PROCEDURE turns() LANGUAGE plpgsql AS $$
DECLARE
	q int := (SELECT id FROM outbox.queue WHERE name = 'turns');
	s seen;
BEGIN
	PERFORM put_keyed('turns', 'a', 'A1');
	COMMIT;
	LOOP
		s.before := (SELECT max(attempts) FROM outbox.deferred WHERE queue = q);
		EXIT WHEN s.before > 3;
	END LOOP;
	PERFORM put_keyed('turns', 'b', 'B1');
	COMMIT;
	LOOP
		SELECT count(*), max(attempts) INTO s.held, s.attempts
		FROM outbox.deferred WHERE queue = q AND reason IN ('retry', 'behind');
		EXIT WHEN s.held <> 1;
	END LOOP;
	INSERT INTO seen SELECT s.*;
END $$;

CALL turns();
TABLE seen;
