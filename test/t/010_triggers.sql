-- Copyright (c) 2026, the outbox developers
--
-- A trigger that enqueues, and a role that may insert and no more.

CREATE ROLE producer;
CREATE TABLE users (name text);
GRANT INSERT ON users TO producer;
CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN PERFORM outbox_enqueue('emails', NEW.name); RETURN NULL; END $$;
CREATE TRIGGER announce AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION announce();
SET ROLE producer;
INSERT INTO users VALUES ('row1'), ('row2');
