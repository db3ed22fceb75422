-- Copyright (c) 2026, the outbox developers
--
-- Types of users, and objects whose names depend on search_path.

CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE DOMAIN amount AS float8;
CREATE DOMAIN named AS timestamptz;
CREATE TABLE here (i int);
CREATE TYPE pair AS (i interval, f float8, c regclass);
CREATE COLLATION here FROM "C";
CREATE FUNCTION here(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION less(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT $1 < $2';
CREATE OPERATOR <<<< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = less);
CREATE TEXT SEARCH DICTIONARY here (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION here (COPY = simple);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.here (i int);
CREATE ROLE writer SUPERUSER;
