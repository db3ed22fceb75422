-- Copyright (c) 2026, the outbox developers
--
-- What an application's triggers do, once for each row of the outer statement.

CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;
    IF pg_trigger_depth() = 1 THEN
        EXECUTE TG_ARGV[0] USING r.c, r.id;
    END IF;
    RETURN r;
END $$;

CREATE FUNCTION twice(c_ text, id_ int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE t SET n = n + 100 WHERE c = c_ AND id = id_;
    UPDATE t SET n = n + 100 WHERE c = c_ AND id = id_;
END $$;

CREATE FUNCTION undone(c_ text, id_ int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE t SET n = n + 1000 WHERE c = c_ AND id = id_;
    RAISE EXCEPTION 'undo';
EXCEPTION
    WHEN raise_exception THEN NULL;
END $$;
