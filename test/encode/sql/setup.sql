-- The encoders as functions.
\getenv dlpath PG_LIBDIR
\set module :dlpath '/encode.so'

CREATE TYPE queue AS (target text, redis_key text, maxlen bigint, format text, name text, options jsonb,
                      consumer_retry boolean, fields text[]);
CREATE TYPE message AS (payload bytea, type text, key text, headers jsonb, options jsonb,
                        id uuid, kind "char", attempts integer, history jsonb, enqueued_at timestamptz);

CREATE FUNCTION encode_messages(queue, timestamptz, boolean, message[]) RETURNS bytea[]
    LANGUAGE c STRICT AS :'module';
CREATE FUNCTION encode_branch(queue) RETURNS text LANGUAGE c STRICT AS :'module';
CREATE FUNCTION encode_message_options(queue, message, due timestamptz) RETURNS jsonb
    LANGUAGE c AS :'module';
CREATE FUNCTION encode_check_options(target text, options jsonb) RETURNS void
    LANGUAGE c AS :'module';
CREATE FUNCTION encode_snapshot(xmax bigint, xip bigint[]) RETURNS text
    LANGUAGE c STRICT AS :'module';
CREATE FUNCTION partition_of(partitions integer, key text, seq bigint DEFAULT 0) RETURNS text
    LANGUAGE c AS :'module';
CREATE FUNCTION partition_key(redis_key text, partitions integer, partition integer) RETURNS text
    LANGUAGE c STRICT AS :'module';
CREATE FUNCTION connection_story() RETURNS text LANGUAGE c AS :'module';
CREATE FUNCTION connection_hears(begins text, goes_on text) RETURNS text LANGUAGE c STRICT AS :'module';
CREATE FUNCTION url_parts(url text) RETURNS text LANGUAGE c STRICT AS :'module';
CREATE FUNCTION url_shown(url text) RETURNS text LANGUAGE c STRICT AS :'module';
CREATE FUNCTION url_address(url text) RETURNS text LANGUAGE c STRICT AS :'module';
CREATE FUNCTION url_is_usable(url text) RETURNS text LANGUAGE c STRICT AS :'module';

CREATE FUNCTION queue(target text, redis_key text DEFAULT 'default', maxlen bigint DEFAULT 0,
                      format text DEFAULT 'json', name text DEFAULT 'a queue', options jsonb DEFAULT NULL,
                      consumer_retry boolean DEFAULT false, fields text[] DEFAULT '{}')
    RETURNS queue LANGUAGE sql AS 'SELECT target, redis_key, maxlen, format, name, options, consumer_retry, fields';
CREATE FUNCTION message(payload bytea DEFAULT '', type text DEFAULT NULL, key text DEFAULT NULL,
                        headers jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
                        id uuid DEFAULT '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d',
                        kind "char" DEFAULT 'b', attempts integer DEFAULT 0, history jsonb DEFAULT NULL,
                        enqueued_at timestamptz DEFAULT '2026-11-22 20:59:59.987654+00')
    RETURNS message LANGUAGE sql AS 'SELECT payload, type, key, headers, options, id, kind, attempts, history, enqueued_at';

-- A batch as it is handed to Redis on 2026-11-22 at 21:00:00.123456, and
-- messages that are handed over one by one.
CREATE FUNCTION batch(queue, VARIADIC message[]) RETURNS bytea[] LANGUAGE sql AS
    $$SELECT encode_messages($1, '2026-11-22 21:00:00.123456+00', false, $2)$$;
CREATE FUNCTION alone(queue, VARIADIC message[]) RETURNS bytea[] LANGUAGE sql AS
    $$SELECT encode_messages($1, '2026-11-22 21:00:00.123456+00', true, $2)$$;

-- Arguments, to be read: bytes above 127 are octal, and one that has control
-- characters is hex.
CREATE FUNCTION shown(bytea[]) RETURNS text LANGUAGE sql AS
    $$SELECT string_agg(CASE WHEN encode(a, 'escape') ~ '^[[:print:]]*$' THEN '<' || encode(a, 'escape') || '>'
                        ELSE a::text END, ' ' ORDER BY n)
      FROM unnest($1) WITH ORDINALITY AS u (a, n)$$;
CREATE FUNCTION bytes(text) RETURNS bytea LANGUAGE sql AS $$SELECT convert_to($1, 'UTF8')$$;
