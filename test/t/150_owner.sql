-- Copyright (c) 2026, the outbox developers
--
-- A role that owns outbox's tables, and what it attaches to them: whatever runs
-- with another role's rights makes its author a superuser.

CREATE ROLE owner LOGIN;
CREATE SCHEMA traps AUTHORIZATION owner;

DO $$
DECLARE
	r record;
BEGIN
	ALTER SCHEMA outbox OWNER TO owner;
	FOR r IN SELECT relname, relkind FROM pg_class
		WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'S')
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
						AND objid = pg_class.oid AND deptype = 'a')
	LOOP
		EXECUTE format('ALTER %s outbox.%I OWNER TO owner',
			CASE r.relkind WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END, r.relname);
	END LOOP;
END $$;

SET ROLE owner;
CREATE SEQUENCE traps.sprung;
CREATE FUNCTION traps.spring() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM nextval('traps.sprung');
	BEGIN
		EXECUTE 'RESET ROLE';
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	BEGIN
		EXECUTE 'SET SESSION AUTHORIZATION DEFAULT';
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	BEGIN
		EXECUTE 'ALTER ROLE owner SUPERUSER';
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	PERFORM set_config('search_path', 'traps', false);
	RETURN true;
END $$;
CREATE FUNCTION traps.trap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM traps.spring();
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
-- IMMUTABLE is what an index wants to hear
CREATE FUNCTION traps.value(anyelement) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS
	'BEGIN PERFORM traps.spring(); RETURN 1; END';
CREATE FUNCTION traps.yes(anyelement) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
	'BEGIN RETURN traps.spring(); END';
