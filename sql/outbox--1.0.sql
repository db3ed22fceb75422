-- Copyright (c) 2026, the outbox developers

/* outbox 1.0: install script */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION outbox" to load this file. \quit

/*
 * Functions for users have names that begin with outbox_ and live in the
 * extension's schema; everything else lives in schema outbox.
 */

/*
 * Users may create functions and operators in the extension's schema, which match
 * better than those of pg_catalog do. Nothing here is to find them.
 */

SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    taken pg_catalog.name := pg_catalog.min(nspname::text) FROM pg_catalog.pg_namespace
        WHERE nspname IN ('outbox', 'outbox_queues');
BEGIN
    IF taken IS NOT NULL THEN
        RAISE duplicate_schema USING
            MESSAGE = pg_catalog.format('schema "%s" exists already, and the extension needs a schema of that name for itself', taken),
            HINT = pg_catalog.format('Rename it with ALTER SCHEMA %s RENAME TO ..., or drop it if nothing needs it; then run CREATE EXTENSION outbox again.', taken);
    END IF;
END;
$$;

CREATE SCHEMA outbox;
REVOKE ALL ON SCHEMA outbox FROM PUBLIC;
COMMENT ON SCHEMA outbox IS
'tables and views of the outbox extension';

/*
 * Queues. Messages refer to a queue by its id, which is never used again; those of
 * a queue with n partitions by one of the n ids from the queue's on.
 */

CREATE SEQUENCE outbox.queue_id AS integer;
REVOKE ALL ON SEQUENCE outbox.queue_id FROM PUBLIC;
COMMENT ON SEQUENCE outbox.queue_id IS
'ids of queues';

CREATE TABLE outbox.queue (
    id          integer NOT NULL DEFAULT nextval('outbox.queue_id'),
    name        text COLLATE "C" NOT NULL,
    target      text NOT NULL,
    redis_key   text NOT NULL,
    format      text,
    maxlen      bigint,
    on_failure  text NOT NULL DEFAULT 'block',
    max_attempts integer NOT NULL DEFAULT 10,
    retry_delay interval NOT NULL DEFAULT '1 second',
    retry_backoff double precision NOT NULL DEFAULT 2.0,
    retry_max_delay interval NOT NULL DEFAULT '10 minutes',
    expires_after interval,
    paused_at   timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    options     jsonb,
    consumer_retry boolean NOT NULL DEFAULT false,
    payload_type text NOT NULL DEFAULT 'json',
    fields      text[],
    server      text,
    partitions  integer NOT NULL DEFAULT 1,
    moving_from text,
    CONSTRAINT queue_pkey PRIMARY KEY (id),
    CONSTRAINT queue_name_key UNIQUE (name),
    CONSTRAINT queue_target_check CHECK
        (target IN ('stream', 'list', 'publish', 'asynq', 'watermill', 'celery', 'sidekiq', 'rq',
                    'dramatiq', 'commands', 'function')),
    CONSTRAINT queue_format_check CHECK (format IN ('json', 'raw')),
    CONSTRAINT queue_on_failure_check CHECK (on_failure IN ('block', 'retry', 'dead_letter')),
    CONSTRAINT queue_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT queue_retry_delay_check CHECK (retry_delay >= '0'),
    CONSTRAINT queue_retry_backoff_check CHECK (retry_backoff BETWEEN 1 AND 100),
    CONSTRAINT queue_retry_max_delay_check CHECK (retry_max_delay >= '0'),
    CONSTRAINT queue_expires_after_check CHECK (expires_after > '0'),
    CONSTRAINT queue_options_check CHECK (jsonb_typeof(options) = 'object'),
    CONSTRAINT queue_payload_type_check CHECK (payload_type IN ('json', 'text', 'bytea')),
    CONSTRAINT queue_fields_check CHECK (fields <@ '{enqueued_at, queue}'),
    CONSTRAINT queue_partitions_check CHECK (partitions BETWEEN 1 AND 1024),
    CONSTRAINT queue_ids EXCLUDE USING gist (int4range(id, id + partitions) WITH &&),
    CONSTRAINT queue_consumer_retry_check CHECK
        (NOT consumer_retry OR (target = 'stream' AND on_failure <> 'block'))
);
CREATE UNIQUE INDEX queue_consumer_key ON outbox.queue (redis_key)
    WHERE consumer_retry;
ALTER SEQUENCE outbox.queue_id OWNED BY outbox.queue.id;
REVOKE ALL ON TABLE outbox.queue FROM PUBLIC;
COMMENT ON TABLE outbox.queue IS
'queues: named destinations with their settings';
COMMENT ON COLUMN outbox.queue.id IS
'number by which messages refer to the queue, or to its first partition';
COMMENT ON COLUMN outbox.queue.name IS
'name of the queue, as outbox_enqueue() is called with it';
COMMENT ON COLUMN outbox.queue.target IS
'how a message becomes Redis commands: stream (XADD), list (RPUSH), publish (PUBLISH), asynq, watermill, celery, sidekiq, rq, dramatiq, commands, function';
COMMENT ON COLUMN outbox.queue.redis_key IS
'name of the stream, list, channel, queue of a job system or Watermill topic in Redis';
COMMENT ON COLUMN outbox.queue.format IS
'for list and publish: json sends one object with id, type, key, payload and headers; raw sends the payload''s bytes';
COMMENT ON COLUMN outbox.queue.maxlen IS
'for stream and watermill: the stream is trimmed to about this many entries; null for no limit';
COMMENT ON COLUMN outbox.queue.on_failure IS
'what happens when Redis refuses a message: block, the queue stands still; retry, the message is tried again later; dead_letter, the message is set aside';
COMMENT ON COLUMN outbox.queue.max_attempts IS
'for retry: after this many attempts a message becomes a dead letter';
COMMENT ON COLUMN outbox.queue.retry_delay IS
'for retry: delay before the second attempt';
COMMENT ON COLUMN outbox.queue.retry_backoff IS
'for retry: factor by which the delay grows with each attempt';
COMMENT ON COLUMN outbox.queue.retry_max_delay IS
'for retry: maximum of the delay';
COMMENT ON COLUMN outbox.queue.expires_after IS
'a message that is older than this when its turn comes becomes a dead letter; null for never';
COMMENT ON COLUMN outbox.queue.paused_at IS
'when the queue was paused; null if it is not paused';
COMMENT ON COLUMN outbox.queue.created_at IS
'when the queue was created';
COMMENT ON COLUMN outbox.queue.options IS
'for asynq: defaults of the tasks options; for commands: the commands; for function: the source of the function; else null';
COMMENT ON COLUMN outbox.queue.consumer_retry IS
'for stream: consumers may return messages in the streams <redis_key>:retry and <redis_key>:dead';
COMMENT ON COLUMN outbox.queue.payload_type IS
'what payloads are: json, text or bytea; outbox_enqueue() checks them';
COMMENT ON COLUMN outbox.queue.fields IS
'for stream, list and publish: what a message says beside itself, enqueued_at (milliseconds since 1970) and queue (its name); or null';
COMMENT ON COLUMN outbox.queue.server IS
'name of the foreign server that the queue is delivered to; null for outbox_default, or outbox.redis_url without such a server';
COMMENT ON COLUMN outbox.queue.partitions IS
'number of streams, lists or channels that the queue is spread over, each with the order of its keys';
COMMENT ON COLUMN outbox.queue.moving_from IS
'name of the server that the queue was delivered to before, while its cursor has not been moved from there; null if it does not move';
COMMENT ON INDEX outbox.queue_ids IS
'no two queues have the same id, or one that the other''s partitions have';
COMMENT ON INDEX outbox.queue_consumer_key IS
'consumers of a stream return messages to one queue only';

/*
 * Staging: append-only and emptied by TRUNCATE, so there is nothing to vacuum.
 */

CREATE SEQUENCE outbox.seq CACHE 1;
REVOKE ALL ON SEQUENCE outbox.seq FROM PUBLIC;
COMMENT ON SEQUENCE outbox.seq IS
'numbers of messages; within a tick messages are delivered in the order of their numbers';

CREATE TABLE outbox.staging_1 (
    xid         xid8 NOT NULL,
    seq         bigint NOT NULL,
    enqueued_at timestamptz NOT NULL,
    id          uuid NOT NULL,
    lsn         pg_lsn NOT NULL,
    queue       integer NOT NULL,
    attempts    smallint NOT NULL,
    kind        "char" NOT NULL,
    type        text,
    key         text,
    headers     jsonb,
    payload     bytea NOT NULL,
    history     jsonb,
    options     jsonb
) USING heap WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);
CREATE INDEX staging_1_xid_seq ON outbox.staging_1 (xid, queue, seq)
    WITH (deduplicate_items = off);

CREATE TABLE outbox.staging_2 (LIKE outbox.staging_1)
    USING heap WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);
CREATE INDEX staging_2_xid_seq ON outbox.staging_2 (xid, queue, seq)
    WITH (deduplicate_items = off);

REVOKE ALL ON TABLE outbox.staging_1, outbox.staging_2 FROM PUBLIC;
COMMENT ON TABLE outbox.staging_1 IS
'messages that wait, and delivered ones that are kept for outbox.retention; append-only';
COMMENT ON TABLE outbox.staging_2 IS
'like outbox.staging_1; new messages are inserted into one of the two tables until the other one is empty';
COMMENT ON COLUMN outbox.staging_1.xid IS
'id of the top transaction that enqueued the message';
COMMENT ON COLUMN outbox.staging_1.seq IS
'the message''s number';
COMMENT ON COLUMN outbox.staging_1.enqueued_at IS
'when outbox_enqueue() was called';
COMMENT ON COLUMN outbox.staging_1.id IS
'the message''s id, for its consumers';
COMMENT ON COLUMN outbox.staging_1.lsn IS
'WAL was flushed up to here when the transaction wrote its first message; 0/0 in a copy out of a dump';
COMMENT ON COLUMN outbox.staging_1.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.staging_1.attempts IS
'how often Redis has refused the message or a consumer has returned it';
COMMENT ON COLUMN outbox.staging_1.kind IS
'the queue''s payload type when the message was enqueued: b for bytea, j for json, t for text';
COMMENT ON COLUMN outbox.staging_1.type IS
'the message''s type, or null';
COMMENT ON COLUMN outbox.staging_1.key IS
'messages of a queue with the same key keep their order; or null';
COMMENT ON COLUMN outbox.staging_1.headers IS
'an object of strings, or null';
COMMENT ON COLUMN outbox.staging_1.payload IS
'the payload as Redis gets it; text and jsonb are UTF-8';
COMMENT ON COLUMN outbox.staging_1.history IS
'for a message that is delivered again: what happened to it before; else null';
COMMENT ON COLUMN outbox.staging_1.options IS
'for asynq: the tasks options, with times in seconds; else null';
COMMENT ON INDEX outbox.staging_1_xid_seq IS
'to find the messages of a tick';
COMMENT ON INDEX outbox.staging_2_xid_seq IS
'to find the messages of a tick';

/*
 * Deferred: messages that cannot wait in staging. The indexes are partial, so
 * that a row is only in those that its reason needs. A key is indexed by its
 * hash, as it may be too long for an index.
 */

CREATE TABLE outbox.deferred (
    LIKE outbox.staging_1,
    reason      text NOT NULL,
    due_at      timestamptz,
    CONSTRAINT deferred_reason_check CHECK
        (reason IN ('delayed', 'retry', 'behind', 'evacuated', 'applied', 'restored'))
);
CREATE INDEX deferred_due ON outbox.deferred (due_at, seq)
    WHERE reason = 'delayed';
CREATE INDEX deferred_id ON outbox.deferred (id)
    WHERE reason = 'delayed';
CREATE INDEX deferred_delayed_key ON outbox.deferred (queue, hashtextextended(key COLLATE "C", 0))
    WHERE reason = 'delayed' AND key IS NOT NULL;
CREATE INDEX deferred_xid_seq ON outbox.deferred (xid, queue, seq)
    WHERE reason IN ('retry', 'behind', 'evacuated', 'applied');
CREATE UNIQUE INDEX deferred_queue_seq ON outbox.deferred (queue, seq)
    WHERE reason IN ('retry', 'behind', 'evacuated', 'applied');
CREATE INDEX deferred_retry ON outbox.deferred (queue, due_at, seq)
    WHERE reason = 'retry';
CREATE INDEX deferred_key ON outbox.deferred (queue, hashtextextended(key COLLATE "C", 0), seq)
    WHERE reason IN ('retry', 'behind');
CREATE INDEX deferred_applied ON outbox.deferred (due_at)
    WHERE reason = 'applied';
CREATE INDEX deferred_restored ON outbox.deferred (seq)
    WHERE reason = 'restored';
REVOKE ALL ON TABLE outbox.deferred FROM PUBLIC;
COMMENT ON TABLE outbox.deferred IS
'messages that cannot wait in staging, because they are delayed, refused, behind a refused one, evacuated or restored; and delivered ones of these that are kept';
COMMENT ON COLUMN outbox.deferred.reason IS
'delayed: is staged at due_at; retry: was refused and is tried again at due_at; behind: waits behind a refused message with the same key; evacuated: its queue stands still and staging had to be emptied; applied: was delivered at due_at and is kept for outbox.retention; restored: came out of a dump and waits for outbox_release()';
COMMENT ON COLUMN outbox.deferred.due_at IS
'a time whose meaning depends on reason; or null';
COMMENT ON INDEX outbox.deferred_due IS
'to find delayed messages that are due';
COMMENT ON INDEX outbox.deferred_id IS
'for outbox_cancel()';
COMMENT ON INDEX outbox.deferred_delayed_key IS
'for outbox_cancel_key()';
COMMENT ON INDEX outbox.deferred_xid_seq IS
'to find the messages of a tick, like the indexes of staging';
COMMENT ON INDEX outbox.deferred_queue_seq IS
'to find a message, which has one row only';
COMMENT ON INDEX outbox.deferred_retry IS
'to find refused messages that are due';
COMMENT ON INDEX outbox.deferred_key IS
'to find refused messages and those behind them by key';
COMMENT ON INDEX outbox.deferred_applied IS
'to find delivered messages that have been kept long enough';
COMMENT ON INDEX outbox.deferred_restored IS
'for outbox_release()';

/*
 * Dead letters.
 */

CREATE TABLE outbox.dead_letter (
    LIKE outbox.staging_1,
    reason      text NOT NULL,
    error       text,
    dead_at     timestamptz NOT NULL,
    skipped     boolean NOT NULL DEFAULT true,
    gone_at     timestamptz,
    CONSTRAINT dead_letter_reason_check CHECK (reason IN ('refused', 'expired', 'consumer'))
);
CREATE UNIQUE INDEX dead_letter_queue_seq ON outbox.dead_letter (queue, seq)
    WHERE lsn > '0/0';
CREATE INDEX dead_letter_xid_seq ON outbox.dead_letter (xid, queue, seq)
    WHERE lsn > '0/0';
CREATE INDEX dead_letter_id ON outbox.dead_letter (id)
    WHERE gone_at IS NULL;
CREATE INDEX dead_letter_queue ON outbox.dead_letter (queue, dead_at, seq)
    WHERE gone_at IS NULL;
CREATE INDEX dead_letter_skipped ON outbox.dead_letter (xid)
    WHERE skipped OR gone_at IS NOT NULL;
REVOKE ALL ON TABLE outbox.dead_letter FROM PUBLIC;
COMMENT ON TABLE outbox.dead_letter IS
'messages that were given up; see view outbox.dead_letters';
COMMENT ON COLUMN outbox.dead_letter.reason IS
'refused: Redis refused it as often as the queue''s policy allows; expired: it was older than the queue''s expires_after; consumer: a consumer gave it up, or returned it as often as the policy allows';
COMMENT ON COLUMN outbox.dead_letter.error IS
'last error, of Redis or a consumer';
COMMENT ON COLUMN outbox.dead_letter.dead_at IS
'when the message was given up';
COMMENT ON COLUMN outbox.dead_letter.skipped IS
'whether its number is still in the skip list of the queue''s cursor';
COMMENT ON COLUMN outbox.dead_letter.gone_at IS
'when it was replayed or discarded; the row is kept as long as staging may have the message; else null';
COMMENT ON INDEX outbox.dead_letter_queue_seq IS
'to find a message, which has one row only; dead letters out of a dump have lsn 0/0';
COMMENT ON INDEX outbox.dead_letter_xid_seq IS
'to find the messages of a tick, like the indexes of staging';
COMMENT ON INDEX outbox.dead_letter_id IS
'for outbox_replay() and outbox_discard()';
COMMENT ON INDEX outbox.dead_letter_queue IS
'for outbox_replay_queue(), in its order';
COMMENT ON INDEX outbox.dead_letter_skipped IS
'to find rows whose purpose ends with the rows of staging';

/*
 * Requests to deliver again, and totals of queues.
 */

CREATE TABLE outbox.resend_request (
    queue       integer NOT NULL,
    since       timestamptz NOT NULL,
    upto        bigint,
    done        bigint NOT NULL DEFAULT 0
);
REVOKE ALL ON TABLE outbox.resend_request FROM PUBLIC;
COMMENT ON TABLE outbox.resend_request IS
'requests of outbox_resend() that the relay has not carried out yet';
COMMENT ON COLUMN outbox.resend_request.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.resend_request.upto IS
'the greatest number of a message when the relay began; null: it has not begun';
COMMENT ON COLUMN outbox.resend_request.done IS
'messages up to this number have been staged again';
COMMENT ON COLUMN outbox.resend_request.since IS
'messages that were enqueued since then are delivered again';

CREATE TABLE outbox.queue_total (
    queue       integer NOT NULL,
    delivered   bigint NOT NULL,
    failed      bigint NOT NULL,
    dead_lettered bigint NOT NULL,
    expired     bigint NOT NULL,
    cursor_key  text,
    cursor_pos  text,
    cursor_seq  bigint,
    cursor_count bigint,
    CONSTRAINT queue_total_pkey PRIMARY KEY (queue)
) WITH (fillfactor = 20);
REVOKE ALL ON TABLE outbox.queue_total FROM PUBLIC;
COMMENT ON TABLE outbox.queue_total IS
'totals of queues, written by the relay about every ten seconds; see view outbox.queue_status';
COMMENT ON COLUMN outbox.queue_total.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.queue_total.delivered IS
'messages delivered';
COMMENT ON COLUMN outbox.queue_total.failed IS
'attempts that failed: refused by Redis, or returned by a consumer';
COMMENT ON COLUMN outbox.queue_total.dead_lettered IS
'messages given up, expired ones included';
COMMENT ON COLUMN outbox.queue_total.expired IS
'messages that were too old when their turn came';
COMMENT ON COLUMN outbox.queue_total.cursor_key IS
'the Redis key of the cursor that the other columns are about';
COMMENT ON COLUMN outbox.queue_total.cursor_pos IS
'position of the cursor at that time';
COMMENT ON COLUMN outbox.queue_total.cursor_seq IS
'number of the last message of its tick';
COMMENT ON COLUMN outbox.queue_total.cursor_count IS
'messages that the cursor had counted; with these columns a later relay finds what Redis has lost, and what it has delivered without an answer';

/*
 * What consumers return, where queues have consumer_retry.
 */

CREATE TABLE outbox.consumer_position (
    queue       integer NOT NULL,
    address     text COLLATE "C" NOT NULL,
    redis_key   text COLLATE "C" NOT NULL,
    retry_id    text COLLATE "C" NOT NULL,
    dead_id     text COLLATE "C" NOT NULL,
    CONSTRAINT consumer_position_pkey PRIMARY KEY (queue, address)
) WITH (fillfactor = 20);
REVOKE ALL ON TABLE outbox.consumer_position FROM PUBLIC;
COMMENT ON TABLE outbox.consumer_position IS
'how far the relay has read the streams in which consumers return messages; updated in the transaction that records what was read';
COMMENT ON COLUMN outbox.consumer_position.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.consumer_position.address IS
'the Redis in which they are: host, port and database';
COMMENT ON COLUMN outbox.consumer_position.redis_key IS
'the queue''s stream';
COMMENT ON COLUMN outbox.consumer_position.retry_id IS
'id of the last entry read from <redis_key>:retry';
COMMENT ON COLUMN outbox.consumer_position.dead_id IS
'id of the last entry read from <redis_key>:dead';

CREATE SEQUENCE outbox.returned_n;
REVOKE ALL ON SEQUENCE outbox.returned_n FROM PUBLIC;
COMMENT ON SEQUENCE outbox.returned_n IS
'numbers of rows of outbox.returned';

CREATE TABLE outbox.returned (
    n           bigint NOT NULL DEFAULT nextval('outbox.returned_n'),
    queue       integer NOT NULL,
    id          uuid NOT NULL,
    attempts    smallint NOT NULL,
    digest      bigint NOT NULL,
    due_at      timestamptz NOT NULL,
    history     jsonb
);
ALTER SEQUENCE outbox.returned_n OWNED BY outbox.returned.n;
CREATE INDEX returned_id ON outbox.returned (queue, id, n);
CREATE INDEX returned_due ON outbox.returned (due_at);
REVOKE ALL ON TABLE outbox.returned FROM PUBLIC;
COMMENT ON TABLE outbox.returned IS
'messages that consumers have returned; a row is kept until a day after the message was delivered again or given up';
COMMENT ON COLUMN outbox.returned.n IS
'number of the row; if a message has several rows, the last one counts';
COMMENT ON COLUMN outbox.returned.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.returned.id IS
'the message''s id';
COMMENT ON COLUMN outbox.returned.attempts IS
'the attempt that was returned last; 0 if the message has been replayed since';
COMMENT ON COLUMN outbox.returned.digest IS
'a hash of the payload, as another message may have the same id';
COMMENT ON COLUMN outbox.returned.due_at IS
'when the message is delivered again, or was given up';
COMMENT ON COLUMN outbox.returned.history IS
'what has happened to the message so far';
COMMENT ON INDEX outbox.returned_id IS
'to find the rows of a message';
COMMENT ON INDEX outbox.returned_due IS
'to find rows that have been kept long enough';

/*
 * Backfills of captured tables. They are not in dumps: a backfill goes on in the
 * database in which it began.
 */

CREATE TABLE outbox.backfill (
    relation    oid NOT NULL,
    queue       integer NOT NULL,
    key         text NOT NULL,
    position    text[],
    rows        bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,
    pid         integer NOT NULL,
    called_at   timestamptz NOT NULL,
    moved_at    timestamptz,
    stopped_at  timestamptz,
    finished_at timestamptz,
    CONSTRAINT backfill_pkey PRIMARY KEY (relation, queue)
) WITH (fillfactor = 20);
REVOKE ALL ON TABLE outbox.backfill FROM PUBLIC;
COMMENT ON TABLE outbox.backfill IS
'how far outbox_backfill() is; see view outbox.backfills';
COMMENT ON COLUMN outbox.backfill.relation IS
'the table';
COMMENT ON COLUMN outbox.backfill.queue IS
'the queue''s id';
COMMENT ON COLUMN outbox.backfill.key IS
'numbers, types and collations of the primary key''s columns';
COMMENT ON COLUMN outbox.backfill.position IS
'primary key of the last row that is done; null at the beginning';
COMMENT ON COLUMN outbox.backfill.rows IS
'how many rows have been enqueued';
COMMENT ON COLUMN outbox.backfill.started_at IS
'when the backfill began';
COMMENT ON COLUMN outbox.backfill.pid IS
'process of the last call of outbox_backfill()';
COMMENT ON COLUMN outbox.backfill.called_at IS
'when the statement with that call began';
COMMENT ON COLUMN outbox.backfill.moved_at IS
'when the last rows were enqueued';
COMMENT ON COLUMN outbox.backfill.stopped_at IS
'when outbox_stop_backfill() was called, or null';
COMMENT ON COLUMN outbox.backfill.finished_at IS
'when the last row was done, or null';

/*
 * What the relay knows about this database. It is not in dumps, and a copy of
 * the database has another oid, so the relay notices both.
 */

CREATE TABLE outbox.relay_state (
    source      uuid NOT NULL,
    database    oid NOT NULL,
    held        text,
    held_why    text,
    held_since  timestamptz,
    restored    text
);
REVOKE ALL ON TABLE outbox.relay_state FROM PUBLIC;
COMMENT ON TABLE outbox.relay_state IS
'identity of the source of these messages: one row, made by the first relay';
COMMENT ON COLUMN outbox.relay_state.source IS
'random id, part of the names of the cursors in Redis';
COMMENT ON COLUMN outbox.relay_state.database IS
'oid of the database that the source belongs to';
COMMENT ON COLUMN outbox.relay_state.held IS
'why nothing is delivered until outbox_release() is called, or null';
COMMENT ON COLUMN outbox.relay_state.held_why IS
'the same in more words';
COMMENT ON COLUMN outbox.relay_state.held_since IS
'when that was found';
COMMENT ON COLUMN outbox.relay_state.restored IS
'the server run in which this server was restored from a backup, if that has been dealt with';

/*
 * Whether this database delivers. A template's row is copied with the database, a
 * dump does not have it.
 */

CREATE TABLE outbox.delivery (
    one         boolean NOT NULL DEFAULT true,
    enabled     boolean NOT NULL,
    since       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT delivery_pkey PRIMARY KEY (one),
    CONSTRAINT delivery_one_check CHECK (one)
);
REVOKE ALL ON TABLE outbox.delivery FROM PUBLIC;
COMMENT ON TABLE outbox.delivery IS
'what outbox_enable() was told last: no row, or one';
COMMENT ON COLUMN outbox.delivery.one IS
'true, as there is one row at most';
COMMENT ON COLUMN outbox.delivery.enabled IS
'false: messages are staged and not delivered';
COMMENT ON COLUMN outbox.delivery.since IS
'when it was told';

CREATE TABLE outbox.run (
    number      bigint NOT NULL,
    id          text NOT NULL,
    system      bigint NOT NULL,
    timeline    bigint NOT NULL,
    start       pg_lsn NOT NULL,
    place       text NOT NULL,
    server_version integer NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT run_pkey PRIMARY KEY (number)
);
REVOKE ALL ON TABLE outbox.run FROM PUBLIC;
COMMENT ON TABLE outbox.run IS
'the runs of servers that this database''s history consists of; a run is one life of a server''s shared memory';
COMMENT ON COLUMN outbox.run.number IS
'in the order of the history';
COMMENT ON COLUMN outbox.run.id IS
'random id of the run';
COMMENT ON COLUMN outbox.run.system IS
'system identifier of the server, see pg_control_system()';
COMMENT ON COLUMN outbox.run.timeline IS
'timeline on which the run has written';
COMMENT ON COLUMN outbox.run.start IS
'WAL position at which recovery had ended, or of the shutdown before';
COMMENT ON COLUMN outbox.run.place IS
'boot id of the machine, device and inode of the data directory';
COMMENT ON COLUMN outbox.run.server_version IS
'version of PostgreSQL';
COMMENT ON COLUMN outbox.run.recorded_at IS
'when the relay, or CREATE EXTENSION, has recorded the run';

CREATE SEQUENCE outbox.delivered MINVALUE 0;
REVOKE ALL ON SEQUENCE outbox.delivered FROM PUBLIC;
COMMENT ON SEQUENCE outbox.delivered IS
'register: how many messages have been delivered, written with the totals of queues';

CREATE SEQUENCE outbox.applied MINVALUE 0;
REVOKE ALL ON SEQUENCE outbox.applied FROM PUBLIC;
COMMENT ON SEQUENCE outbox.applied IS
'register: messages of transactions below this one have been delivered';

/*
 * Dumps have queues, messages, dead letters and what consumers have returned.
 * Messages are dumped as they shall wait in the restored database: all of them
 * in outbox.deferred, where they wait for outbox_release(), whichever triggers are
 * enabled there; dead letters without a number of ours. So instead of the tables'
 * own rows those of a query are dumped, which pg_dump puts behind its FROM. (It
 * doesn't allow views.) A dead letter that was replayed or discarded may still be
 * in staging, and does not wait there.
 */

CREATE FUNCTION outbox.moved_messages() RETURNS SETOF outbox.deferred
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_moved_messages';
REVOKE ALL ON FUNCTION outbox.moved_messages() FROM PUBLIC;
COMMENT ON FUNCTION outbox.moved_messages() IS
'messages that have left staging since this transaction''s snapshot was taken, for dumps';

CREATE FUNCTION outbox.moved_dead_letters() RETURNS SETOF outbox.dead_letter
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_moved_dead_letters';
REVOKE ALL ON FUNCTION outbox.moved_dead_letters() FROM PUBLIC;
COMMENT ON FUNCTION outbox.moved_dead_letters() IS
'messages that have been given up since this transaction''s snapshot was taken, for dumps';

SELECT pg_catalog.pg_extension_config_dump('outbox.queue', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.queue_id', '');
/*
 * Each message once: as the dump's snapshot sees it, the latest place first; what it
 * sees nowhere as it is now. Both queries read, and so lock, staging: it is not
 * emptied between them.
 */
SELECT pg_catalog.pg_extension_config_dump('outbox.deferred', $$
    WHERE false
    UNION ALL SELECT s.*, 'restored', NULL
    FROM (SELECT * FROM outbox.staging_1 UNION ALL SELECT * FROM outbox.staging_2) AS s
    WHERE NOT EXISTS (SELECT FROM outbox.deferred AS d WHERE d.queue = s.queue AND d.seq = s.seq AND d.id = s.id)
        AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d WHERE d.queue = s.queue AND d.seq = s.seq AND d.id = s.id)
    UNION ALL SELECT xid, seq, enqueued_at, id, lsn, queue, attempts, kind, type, key, headers, payload,
        history, options, 'restored', CASE WHEN reason IN ('delayed', 'restored') THEN due_at END
    FROM (SELECT * FROM outbox.deferred
          UNION ALL SELECT * FROM outbox.moved_messages() AS m
          WHERE NOT EXISTS (SELECT FROM (SELECT queue, seq, id FROM outbox.staging_1 UNION ALL SELECT queue, seq, id FROM outbox.staging_2
                  UNION ALL SELECT queue, seq, id FROM outbox.deferred UNION ALL SELECT queue, seq, id FROM outbox.dead_letter) AS d WHERE d.queue = m.queue AND d.seq = m.seq AND d.id = m.id)) AS d
    WHERE reason <> 'applied'$$);
SELECT pg_catalog.pg_extension_config_dump('outbox.dead_letter', $$
    WHERE false
    UNION ALL SELECT xid, seq, enqueued_at, id, '0/0', queue, attempts, kind, type, key, headers, payload,
        history, options, reason, error, dead_at, false, NULL
    FROM (SELECT * FROM outbox.dead_letter WHERE gone_at IS NULL
          UNION ALL SELECT * FROM outbox.moved_dead_letters() AS m
          WHERE NOT EXISTS (SELECT FROM (SELECT queue, seq, id FROM outbox.staging_1 UNION ALL SELECT queue, seq, id FROM outbox.staging_2
                  UNION ALL SELECT queue, seq, id FROM outbox.deferred UNION ALL SELECT queue, seq, id FROM outbox.dead_letter) AS d WHERE d.queue = m.queue AND d.seq = m.seq AND d.id = m.id)) AS d$$);
SELECT pg_catalog.pg_extension_config_dump('outbox.returned', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.returned_n', '');

CREATE FUNCTION outbox.hold_restored() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_hold_restored';
REVOKE ALL ON FUNCTION outbox.hold_restored() FROM PUBLIC;
COMMENT ON FUNCTION outbox.hold_restored() IS
'trigger: have a message out of a dump wait in outbox.deferred; mark a dead letter out of a dump';

CREATE TRIGGER hold_restored BEFORE INSERT ON outbox.staging_1
    FOR EACH ROW EXECUTE FUNCTION outbox.hold_restored();
ALTER TABLE outbox.staging_1 ENABLE ALWAYS TRIGGER hold_restored;
COMMENT ON TRIGGER hold_restored ON outbox.staging_1 IS
'a message out of a dump waits in outbox.deferred';
CREATE TRIGGER hold_restored BEFORE INSERT ON outbox.staging_2
    FOR EACH ROW EXECUTE FUNCTION outbox.hold_restored();
ALTER TABLE outbox.staging_2 ENABLE ALWAYS TRIGGER hold_restored;
COMMENT ON TRIGGER hold_restored ON outbox.staging_2 IS
'a message out of a dump waits in outbox.deferred';

CREATE TRIGGER hold_restored BEFORE INSERT ON outbox.deferred
    FOR EACH ROW EXECUTE FUNCTION outbox.hold_restored();
ALTER TABLE outbox.deferred ENABLE ALWAYS TRIGGER hold_restored;
COMMENT ON TRIGGER hold_restored ON outbox.deferred IS
'a message out of a dump waits for outbox_release()';
CREATE TRIGGER hold_restored BEFORE INSERT ON outbox.dead_letter
    FOR EACH ROW EXECUTE FUNCTION outbox.hold_restored();
ALTER TABLE outbox.dead_letter ENABLE ALWAYS TRIGGER hold_restored;
COMMENT ON TRIGGER hold_restored ON outbox.dead_letter IS
'a dead letter out of a dump is marked, as its number is not ours';

/*
 * Publications FOR ALL TABLES have these tables, too. With a replica identity
 * they can be written nevertheless; and where a subscriber has them, a trigger
 * ignores what the publisher sends. Its name comes before those of other
 * triggers. A row of a message is found there only by all its columns, so its
 * update or deletion concerns a physical copy of the publisher only, which has
 * the same message; no trigger makes these slower. Staging is written without
 * logical records, see staging.c.
 */

CREATE FUNCTION outbox.ignore_replicated() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_ignore_replicated';
REVOKE ALL ON FUNCTION outbox.ignore_replicated() FROM PUBLIC;
COMMENT ON FUNCTION outbox.ignore_replicated() IS
'trigger: ignore what a logical subscription brings, as it is another server''s';

DO $$
DECLARE
    name name;
    events text;
BEGIN
    FOR name IN SELECT relname FROM pg_catalog.pg_class
        WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r' ORDER BY relname
    LOOP
        events := CASE WHEN name IN ('staging_1', 'staging_2', 'deferred', 'dead_letter', 'returned', 'resend_request')
            THEN 'INSERT' ELSE 'INSERT OR UPDATE OR DELETE' END;
        EXECUTE format('CREATE TRIGGER a_replicated BEFORE %s ON outbox.%I
            FOR EACH ROW EXECUTE FUNCTION outbox.ignore_replicated()', events, name);
        EXECUTE format('CREATE TRIGGER a_replicated_truncate BEFORE TRUNCATE ON outbox.%I
            FOR EACH STATEMENT EXECUTE FUNCTION outbox.ignore_replicated()', name);
        EXECUTE format('ALTER TABLE outbox.%I ENABLE ALWAYS TRIGGER a_replicated,
            ENABLE ALWAYS TRIGGER a_replicated_truncate', name);
        EXECUTE format('COMMENT ON TRIGGER a_replicated ON outbox.%I IS %L', name,
            'what a logical subscription brings is ignored');
        EXECUTE format('COMMENT ON TRIGGER a_replicated_truncate ON outbox.%I IS %L', name,
            'a TRUNCATE that a logical subscription brings is refused');
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_index
            WHERE indrelid = format('outbox.%I', name)::regclass AND indisprimary)
        THEN
            EXECUTE format('ALTER TABLE outbox.%I REPLICA IDENTITY FULL', name);
        END IF;
    END LOOP;
END;
$$;

CREATE FUNCTION outbox.queue_changed() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_queue_changed';
REVOKE ALL ON FUNCTION outbox.queue_changed() FROM PUBLIC;
COMMENT ON FUNCTION outbox.queue_changed() IS
'trigger: have sessions and the relay read outbox.queue again, and queues'' views follow';

CREATE TRIGGER queue_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.queue
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.queue_changed();
ALTER TABLE outbox.queue ENABLE ALWAYS TRIGGER queue_changed;
COMMENT ON TRIGGER queue_changed ON outbox.queue IS
'sessions and the relay read outbox.queue again';

/*
 * Rights: each queue has a view here, and INSERT on that is the right to enqueue.
 * The views are made, renamed and dropped as the rows of outbox.queue are.
 */

CREATE SCHEMA outbox_queues;
GRANT USAGE ON SCHEMA outbox_queues TO PUBLIC;
COMMENT ON SCHEMA outbox_queues IS
'a view for each queue of the outbox extension; INSERT on it is the right to enqueue';

CREATE FUNCTION outbox.queue_insert() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_queue_insert';
REVOKE ALL ON FUNCTION outbox.queue_insert() FROM PUBLIC;
COMMENT ON FUNCTION outbox.queue_insert() IS
'trigger of queues'' views: enqueue what is inserted';

CREATE TRIGGER queue_view
    AFTER INSERT OR UPDATE OR DELETE ON outbox.queue
    FOR EACH ROW EXECUTE FUNCTION outbox.queue_changed();
ALTER TABLE outbox.queue ENABLE ALWAYS TRIGGER queue_view;
COMMENT ON TRIGGER queue_view ON outbox.queue IS
'the queue''s view in schema outbox_queues is made, renamed or dropped with it';

/*
 * Queues: create, alter, pause, resume, drop. The functions have their owner's
 * rights, so a user needs EXECUTE and nothing else.
 */

CREATE FUNCTION @extschema@.outbox_create_queue(
    name text,
    target text DEFAULT 'stream',
    redis_key text DEFAULT NULL,
    format text DEFAULT NULL,
    maxlen bigint DEFAULT NULL,
    on_failure text DEFAULT 'block',
    max_attempts integer DEFAULT 10,
    retry_delay interval DEFAULT '1 second',
    retry_backoff double precision DEFAULT 2.0,
    retry_max_delay interval DEFAULT '10 minutes',
    expires_after interval DEFAULT NULL,
    options jsonb DEFAULT NULL,
    consumer_retry boolean DEFAULT false,
    settings jsonb DEFAULT NULL,
    if_not_exists boolean DEFAULT false)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_create_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_create_queue(text, text, text, text, bigint, text, integer, interval, double precision, interval, interval, jsonb, boolean, jsonb, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_create_queue(text, text, text, text, bigint, text, integer, interval, double precision, interval, interval, jsonb, boolean, jsonb, boolean) IS
'create a queue; redis_key defaults to the queue''s name; settings are payload_type (json, text or bytea), fields (an array of enqueued_at and queue) and server (the name of a foreign server on which the caller has USAGE)';

CREATE FUNCTION @extschema@.outbox_alter_queue(
    queue text,
    on_failure text DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    retry_delay interval DEFAULT NULL,
    retry_backoff double precision DEFAULT NULL,
    retry_max_delay interval DEFAULT NULL,
    expires_after interval DEFAULT NULL,
    maxlen bigint DEFAULT NULL,
    options jsonb DEFAULT NULL,
    consumer_retry boolean DEFAULT NULL,
    settings jsonb DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_alter_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_alter_queue(text, text, integer, interval, double precision, interval, interval, bigint, jsonb, boolean, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_alter_queue(text, text, integer, interval, double precision, interval, interval, bigint, jsonb, boolean, jsonb) IS
'change settings of a queue; null leaves a setting as it is; expires_after 0, maxlen 0 and options {} mean none; settings are payload_type, fields, server (with server_force: without the old server), and, while nothing of the queue is left, name, target, redis_key and format';

CREATE FUNCTION @extschema@.outbox_pause_queue(
    queue text)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_pause_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_pause_queue(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_pause_queue(text) IS
'stop the delivery of a queue; messages can still be enqueued';

CREATE FUNCTION @extschema@.outbox_resume_queue(
    queue text)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_resume_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_resume_queue(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_resume_queue(text) IS
'resume the delivery of a paused queue';

CREATE FUNCTION @extschema@.outbox_drop_queue(
    queue text,
    force boolean DEFAULT false)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_drop_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_drop_queue(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_drop_queue(text, boolean) IS
'drop a queue; with force even if it has waiting messages or dead letters, which are lost';

CREATE FUNCTION @extschema@.outbox_purge_queue(
    queue text,
    force boolean DEFAULT false)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_purge_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_purge_queue(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_purge_queue(text, boolean) IS
'give up all messages of a queue that are not delivered yet; without force an error if there are any; returns how many there were';

/*
 * Enqueue. The payload may have one of four types: a literal, an untyped
 * parameter, varchar and name are text; other types are an error. What it has to
 * be is the queue's payload type. Drivers that describe a statement before they
 * send its parameters see jsonb for outbox_enqueue_json() and so encode their own
 * objects.
 */

CREATE FUNCTION @extschema@.outbox_enqueue(
    queue text,
    payload jsonb,
    type text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    id uuid DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_jsonb';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) IS
'enqueue a message, which is delivered if this transaction commits, and not before delay or deliver_at; returns the message''s id';

CREATE FUNCTION @extschema@.outbox_enqueue(
    queue text,
    payload json,
    type text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    id uuid DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_json';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue(text, json, text, text, jsonb, uuid, interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue(text, json, text, text, jsonb, uuid, interval, timestamptz, jsonb) IS
'enqueue a message, which is delivered if this transaction commits, and not before delay or deliver_at; returns the message''s id';

CREATE FUNCTION @extschema@.outbox_enqueue(
    queue text,
    payload text,
    type text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    id uuid DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_text';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue(text, text, text, text, jsonb, uuid, interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue(text, text, text, text, jsonb, uuid, interval, timestamptz, jsonb) IS
'enqueue a message, which is delivered if this transaction commits, and not before delay or deliver_at; returns the message''s id';

CREATE FUNCTION @extschema@.outbox_enqueue(
    queue text,
    payload bytea,
    type text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    id uuid DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_bytea';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue(text, bytea, text, text, jsonb, uuid, interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue(text, bytea, text, text, jsonb, uuid, interval, timestamptz, jsonb) IS
'enqueue a message, which is delivered if this transaction commits, and not before delay or deliver_at; returns the message''s id';

CREATE FUNCTION @extschema@.outbox_enqueue_json(
    queue text,
    payload jsonb,
    type text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    id uuid DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_jsonb';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue_json(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue_json(text, jsonb, text, text, jsonb, uuid, interval, timestamptz, jsonb) IS
'outbox_enqueue() for drivers that encode objects as jsonb if they are told that it is one';

CREATE FUNCTION @extschema@.outbox_enqueue_many(
    queue text,
    payloads jsonb,
    types text[] DEFAULT NULL,
    keys text[] DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    ids uuid[] DEFAULT NULL,
    delay interval DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL,
    options jsonb DEFAULT NULL)
    RETURNS uuid[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_enqueue_many';
REVOKE ALL ON FUNCTION @extschema@.outbox_enqueue_many(text, jsonb, text[], text[], jsonb, uuid[], interval, timestamptz, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enqueue_many(text, jsonb, text[], text[], jsonb, uuid[], interval, timestamptz, jsonb) IS
'enqueue a message for each element of an array of payloads, in their order; headers and options are for all, or an array with one for each; returns the messages'' ids';

/*
 * Rights: EXECUTE on the functions above, and INSERT on queues' views.
 */

CREATE FUNCTION outbox.queue_view(queue text) RETURNS regclass
    LANGUAGE c STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_queue_view';
REVOKE ALL ON FUNCTION outbox.queue_view(text) FROM PUBLIC;
COMMENT ON FUNCTION outbox.queue_view(text) IS
'the view whose INSERT is the right to enqueue to the queue; null if it is missing';

CREATE FUNCTION outbox.set_right(command text, role regrole, queue text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    AS $$
DECLARE
    functions text := pg_catalog.string_agg(p.oid::pg_catalog.regprocedure::text, ', ')
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = '@extschema@'::pg_catalog.regnamespace
            AND p.proname IN ('outbox_enqueue', 'outbox_enqueue_json', 'outbox_enqueue_many', 'outbox_preview',
                'outbox_cancel', 'outbox_cancel_key')
            -- somebody may have put others of these names there
            AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
                    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                    AND d.deptype = 'e' AND e.extname = 'outbox');
    owner pg_catalog.regrole := n.nspowner
        FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'outbox_queues';
    view pg_catalog.regclass;
BEGIN
    IF role IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'role must not be null';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = role) THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('role with OID %s does not exist', role::oid);
    END IF;
    IF command LIKE 'GRANT%' THEN
        -- the trigger makes views that a restore of data alone has not made
        UPDATE outbox.queue AS q SET id = q.id
            WHERE (q.name = queue OR queue IS NULL) AND outbox.queue_view(q.name) IS NULL;
    END IF;
    IF queue IS NOT NULL THEN
        view := outbox.queue_view(queue);
        IF view IS NULL THEN
            RAISE undefined_object USING MESSAGE = pg_catalog.format('the view of queue "%s" is missing', queue),
                HINT = pg_catalog.format('outbox_alter_queue(%L) makes it again.', queue);
        END IF;
    END IF;
    IF queue IS NULL OR command LIKE 'GRANT%' THEN
        EXECUTE pg_catalog.format(command, 'EXECUTE ON FUNCTION outbox.message_rows(), ' || functions, role);
        EXECUTE pg_catalog.format(command, 'SELECT ON outbox.messages', role);
        -- whoever may read something else there needs it further on
        IF command LIKE 'GRANT%' OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
            WHERE c.relnamespace = 'outbox'::pg_catalog.regnamespace AND a.grantee = role)
        THEN
            EXECUTE pg_catalog.format(command, 'USAGE ON SCHEMA outbox', role);
        END IF;
    END IF;
    IF queue IS NOT NULL THEN
        EXECUTE pg_catalog.format(command, 'INSERT ON ' || view::text, role);
        RETURN;
    END IF;
    EXECUTE pg_catalog.format(command, 'INSERT ON ALL TABLES IN SCHEMA outbox_queues', role);
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA outbox_queues ', owner)
        || pg_catalog.format(command, 'INSERT ON TABLES', role);
END;
$$;
REVOKE ALL ON FUNCTION outbox.set_right(text, regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION outbox.set_right(text, regrole, text) IS
'for outbox_grant() and outbox_revoke()';

CREATE FUNCTION @extschema@.outbox_grant(
    role regrole,
    queue text DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM outbox.set_right('GRANT %s TO %s', role, queue);
END;
$$;
REVOKE ALL ON FUNCTION @extschema@.outbox_grant(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_grant(regrole, text) IS
'let a role enqueue to a queue, and see what its own transaction has enqueued; null for all queues, also those that are created later';

CREATE FUNCTION @extschema@.outbox_revoke(
    role regrole,
    queue text DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    still text;
BEGIN
    PERFORM outbox.set_right('REVOKE %s FROM %s', role, queue);

    SELECT string_agg(quote_ident(q.name), ', ' ORDER BY q.name) INTO still
        FROM (SELECT q.name FROM outbox.queue AS q
              WHERE (q.name = $2 OR $2 IS NULL)
                  AND has_table_privilege($1, outbox.queue_view(q.name), 'INSERT')
              ORDER BY q.name LIMIT 5) AS q;
    IF still IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('role %s may still enqueue to %s', $1, still),
            DETAIL = 'It is the owner or a superuser, or has the right from another grantor, through another role or through PUBLIC.',
            HINT = '\dp outbox_queues.* shows who has been granted what.';
    END IF;
    IF $2 IS NOT NULL AND EXISTS (
        SELECT FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS a
        WHERE d.defaclnamespace = 'outbox_queues'::regnamespace AND a.grantee = $1 AND a.privilege_type = 'INSERT')
    THEN
        RAISE NOTICE USING MESSAGE = format('role %s may enqueue to all queues that are created from now on', $1),
            HINT = format('outbox_revoke(%L) takes that back, together with the right on all queues.', $1::text);
    END IF;
END;
$$;
REVOKE ALL ON FUNCTION @extschema@.outbox_revoke(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_revoke(regrole, text) IS
'take back what outbox_grant() gave, for a queue; null for all queues, also those that are created later';

CREATE FUNCTION @extschema@.outbox_cancel(
    id uuid)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_cancel';
REVOKE ALL ON FUNCTION @extschema@.outbox_cancel(uuid) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_cancel(uuid) IS
'cancel the messages with this id that are not due yet, in queues that the caller may enqueue to; an error if all of them are in others; returns false if there is none';

CREATE FUNCTION @extschema@.outbox_cancel_key(
    queue text,
    key text)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_cancel_key';
REVOKE ALL ON FUNCTION @extschema@.outbox_cancel_key(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_cancel_key(text, text) IS
'cancel the messages of a queue with this key that are not due yet; returns how many';

/*
 * Descriptions of jobs, for queues of the targets celery, sidekiq, rq and
 * dramatiq. One that is written by hand is as good; outbox_enqueue() checks it.
 */

CREATE FUNCTION @extschema@.outbox_celery_task(
    task text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    options jsonb DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(options, '{}') ||
        CASE WHEN options ? 'expires'
             THEN jsonb_build_object('expires', (options ->> 'expires')::timestamptz)
             ELSE '{}' END ||
        jsonb_build_object('task', task, 'args', args, 'kwargs', kwargs);
REVOKE ALL ON FUNCTION @extschema@.outbox_celery_task(text, jsonb, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_celery_task(text, jsonb, jsonb, jsonb) IS
'describes a task for Celery, as payload for a queue with target celery; options are expires, ignore_result, shadow, soft_time_limit and time_limit';

CREATE FUNCTION @extschema@.outbox_sidekiq_job(
    class text,
    args jsonb DEFAULT '[]',
    options jsonb DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(options, '{}') || jsonb_build_object('class', class, 'args', args);
REVOKE ALL ON FUNCTION @extschema@.outbox_sidekiq_job(text, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_sidekiq_job(text, jsonb, jsonb) IS
'describes a job for Sidekiq, as payload for a queue with target sidekiq; options are backtrace, dead, retry, retry_for, retry_queue, tags and wrapped';

CREATE FUNCTION @extschema@.outbox_rq_job(
    func text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    options jsonb DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(options, '{}') || jsonb_build_object('func', func, 'args', args, 'kwargs', kwargs);
REVOKE ALL ON FUNCTION @extschema@.outbox_rq_job(text, jsonb, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_rq_job(text, jsonb, jsonb, jsonb) IS
'describes a job for RQ with its JSON serializer, as payload for a queue with target rq; options are description, failure_ttl, meta, result_ttl, retries_left, retry_intervals and timeout';

CREATE FUNCTION @extschema@.outbox_dramatiq_message(
    actor text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    options jsonb DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN jsonb_build_object('actor', actor, 'args', args, 'kwargs', kwargs, 'options', options);
REVOKE ALL ON FUNCTION @extschema@.outbox_dramatiq_message(text, jsonb, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_dramatiq_message(text, jsonb, jsonb, jsonb) IS
'describes a message for Dramatiq, as payload for a queue with target dramatiq; options are those of send_with_options()';

/*
 * Dead letters, and messages that are delivered again.
 */

CREATE FUNCTION @extschema@.outbox_replay(
    id uuid)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_replay';
REVOKE ALL ON FUNCTION @extschema@.outbox_replay(uuid) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_replay(uuid) IS
'enqueue a dead letter again, with its id; returns false if there is none';

CREATE FUNCTION @extschema@.outbox_replay_queue(
    queue text,
    max bigint DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_replay_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_replay_queue(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_replay_queue(text, bigint) IS
'enqueue the dead letters of a queue again, the oldest first; returns how many';

CREATE FUNCTION @extschema@.outbox_discard(
    id uuid)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_discard';
REVOKE ALL ON FUNCTION @extschema@.outbox_discard(uuid) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_discard(uuid) IS
'discard a dead letter; returns false if there is none';

CREATE FUNCTION @extschema@.outbox_discard_queue(
    queue text)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_discard_queue';
REVOKE ALL ON FUNCTION @extschema@.outbox_discard_queue(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_discard_queue(text) IS
'discard the dead letters of a queue; returns how many';

CREATE FUNCTION @extschema@.outbox_resend(
    queue text,
    since timestamptz)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_resend';
REVOKE ALL ON FUNCTION @extschema@.outbox_resend(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_resend(text, timestamptz) IS
'deliver messages again that were enqueued since then and are still retained';

/*
 * Changes of tables, and Watermill's forwarder. Triggers are made with the
 * caller's rights: a caller needs those on the table, on the trigger's function
 * and on outbox_enqueue(). The triggers' functions are in the extension's schema,
 * as users' dumps name them.
 */

CREATE FUNCTION @extschema@.outbox_capture_row() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_capture_row';
REVOKE ALL ON FUNCTION @extschema@.outbox_capture_row() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_capture_row() IS
'trigger: enqueue the change of a row; arguments are queue, columns, key and settings, see outbox_capture()';

CREATE FUNCTION @extschema@.outbox_capture(
    table_name regclass,
    queue text,
    columns text[] DEFAULT NULL,
    key text[] DEFAULT NULL,
    condition text DEFAULT NULL,
    operations text[] DEFAULT '{insert,update,delete}',
    settings jsonb DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_capture';
REVOKE ALL ON FUNCTION @extschema@.outbox_capture(regclass, text, text[], text[], text, text[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_capture(regclass, text, text[], text[], text, text[], jsonb) IS
'have each change of a table''s rows enqueued; columns defaults to all columns, key to those of the primary key; settings are old, unchanged, bigint, numeric and too_large';

CREATE FUNCTION @extschema@.outbox_uncapture(
    table_name regclass,
    queue text)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_uncapture';
REVOKE ALL ON FUNCTION @extschema@.outbox_uncapture(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_uncapture(regclass, text) IS
'end the capture of a table''s changes for a queue';

CREATE PROCEDURE @extschema@.outbox_backfill(
    table_name regclass,
    queue text,
    settings jsonb DEFAULT NULL)
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'outbox_backfill';
REVOKE ALL ON PROCEDURE @extschema@.outbox_backfill(regclass, text, jsonb) FROM PUBLIC;
COMMENT ON PROCEDURE @extschema@.outbox_backfill(regclass, text, jsonb) IS
'enqueue the rows that a captured table has, beside its changes; goes on where the last call has ended; settings are chunk_rows (of a transaction), max_waiting and restart';

CREATE FUNCTION @extschema@.outbox_stop_backfill(
    table_name regclass,
    queue text)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_stop_backfill';
REVOKE ALL ON FUNCTION @extschema@.outbox_stop_backfill(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_stop_backfill(regclass, text) IS
'have outbox_backfill() stop after the rows that it is at; returns false if there is no such backfill, or it is finished or stopped';

CREATE FUNCTION @extschema@.outbox_forward_watermill_row() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_forward_watermill_row';
REVOKE ALL ON FUNCTION @extschema@.outbox_forward_watermill_row() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_forward_watermill_row() IS
'trigger: enqueue the message in an envelope of Watermill''s forwarder, and store no row';

CREATE FUNCTION @extschema@.outbox_forward_watermill(
    topic_table regclass,
    settings jsonb DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_forward_watermill';
REVOKE ALL ON FUNCTION @extschema@.outbox_forward_watermill(regclass, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_forward_watermill(regclass, jsonb) IS
'have messages enqueued that Watermill''s forwarder publisher inserts into a topic table, each to the queue with the name of its destination topic; the setting create_queues has arguments of outbox_create_queue() for topics that have none';

CREATE FUNCTION @extschema@.outbox_unforward_watermill(
    topic_table regclass)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_unforward_watermill';
REVOKE ALL ON FUNCTION @extschema@.outbox_unforward_watermill(regclass) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_unforward_watermill(regclass) IS
'end the forwarding of a topic table, for example to use Watermill''s own forwarder again';

/*
 * Servers: a Redis that is not that of outbox.redis_url is a foreign server.
 */

CREATE FUNCTION outbox.server_options(options text[], catalog oid) RETURNS void
    LANGUAGE c STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'outbox_server_options';
REVOKE ALL ON FUNCTION outbox.server_options(text[], oid) FROM PUBLIC;
COMMENT ON FUNCTION outbox.server_options(text[], oid) IS
'are these the options of a server (url), or of its user mapping (user, password, password_file)?';

CREATE FOREIGN DATA WRAPPER outbox VALIDATOR outbox.server_options;
REVOKE ALL ON FOREIGN DATA WRAPPER outbox FROM PUBLIC;
COMMENT ON FOREIGN DATA WRAPPER outbox IS
'servers to which messages are delivered; server outbox_default takes the place of outbox.redis_url, a queue may name another one';

CREATE FUNCTION @extschema@.outbox_gone_cursors(
    OUT name text,
    OUT database oid,
    OUT last_used timestamptz,
    OUT removable boolean,
    OUT server text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_gone_cursors';
REVOKE ALL ON FUNCTION @extschema@.outbox_gone_cursors() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_gone_cursors() IS
'cursors on the servers of this database''s queues that belong to databases of this server that do not exist any more, and whether outbox_remove_cursor() removes them';

CREATE FUNCTION @extschema@.outbox_remove_cursor(
    name text)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_remove_cursor_sql';
REVOKE ALL ON FUNCTION @extschema@.outbox_remove_cursor(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_remove_cursor(text) IS
'remove a cursor of a database that does not exist any more, if it was not in use for a day; not undone by a rollback';

/*
 * Databases that were restored, copied, set back or superseded.
 */

CREATE FUNCTION @extschema@.outbox_release(
    reason text,
    OUT messages bigint,
    OUT address text)
    RETURNS record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_release';
REVOKE ALL ON FUNCTION @extschema@.outbox_release(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_release(text) IS
'deliver what is held for this reason, which outbox.status shows: restored, copy, set back, foreign or fenced; returns how many messages will be delivered and to which address, or addresses';

CREATE FUNCTION @extschema@.outbox_enable(
    enabled boolean)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_enable';
REVOKE ALL ON FUNCTION @extschema@.outbox_enable(boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_enable(boolean) IS
'false: this database stages messages and delivers none; true: it delivers what waits';

/*
 * Monitoring.
 */

CREATE FUNCTION outbox.relay_status(
    OUT state text,
    OUT since timestamptz,
    OUT why text,
    OUT pid integer,
    OUT waiting bigint,
    OUT oldest interval,
    OUT delivered bigint,
    OUT last_error text,
    OUT last_error_at timestamptz,
    OUT last_success timestamptz,
    OUT summary text,
    OUT staging_kept_by text,
    OUT staging_kept_since timestamptz,
    OUT server text,
    OUT address text,
    OUT replicas_behind text,
    OUT replicas_behind_since timestamptz)
    RETURNS record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'outbox_relay_status';
REVOKE ALL ON FUNCTION outbox.relay_status() FROM PUBLIC;
COMMENT ON FUNCTION outbox.relay_status() IS
'state of this database''s relay, for view outbox.status';

CREATE VIEW outbox.status AS
    SELECT * FROM outbox.relay_status();
REVOKE ALL ON outbox.status FROM PUBLIC;
COMMENT ON VIEW outbox.status IS
'state of the delivery of this database''s messages, one row';
COMMENT ON COLUMN outbox.status.state IS
'running, waiting for redis, waiting for standby, held, fenced, disabled, starting, not running';
COMMENT ON COLUMN outbox.status.since IS
'when the relay got into this state';
COMMENT ON COLUMN outbox.status.why IS
'the reason, if there is one';
COMMENT ON COLUMN outbox.status.pid IS
'process id of the relay';
COMMENT ON COLUMN outbox.status.waiting IS
'number of messages that are committed and not delivered yet, counted about once a second';
COMMENT ON COLUMN outbox.status.oldest IS
'how long the oldest waiting message has waited, approximately';
COMMENT ON COLUMN outbox.status.delivered IS
'total of messages delivered';
COMMENT ON COLUMN outbox.status.last_error IS
'last error of Redis or the network';
COMMENT ON COLUMN outbox.status.last_error_at IS
'when last_error happened';
COMMENT ON COLUMN outbox.status.last_success IS
'when Redis last acknowledged a message';
COMMENT ON COLUMN outbox.status.summary IS
'what is wrong and since when, in one line';
COMMENT ON COLUMN outbox.status.staging_kept_by IS
'whose transaction keeps staging from being emptied, so that it grows; null if nobody''s';
COMMENT ON COLUMN outbox.status.staging_kept_since IS
'when that transaction began';
COMMENT ON COLUMN outbox.status.server IS
'the foreign server that gets the messages; null if it is that of outbox.redis_url';
COMMENT ON COLUMN outbox.status.address IS
'where that is: host, port and database; where Sentinels know it, also who names it';
COMMENT ON COLUMN outbox.status.replicas_behind IS
'with wait_replicas: why messages that Redis has are not delivered yet; null if enough replicas have them';
COMMENT ON COLUMN outbox.status.replicas_behind_since IS
'since when that is so';

CREATE FUNCTION outbox.server_stats(
    OUT server text,
    OUT address text,
    OUT state text,
    OUT since timestamptz,
    OUT why text,
    OUT last_error text,
    OUT last_error_at timestamptz,
    OUT last_success timestamptz,
    OUT queues integer,
    OUT waiting bigint,
    OUT delivered bigint)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 2
    AS 'MODULE_PATHNAME', 'outbox_server_stats';
REVOKE ALL ON FUNCTION outbox.server_stats() FROM PUBLIC;
COMMENT ON FUNCTION outbox.server_stats() IS
'servers that queues are delivered to, for view outbox.server_status';

CREATE VIEW outbox.server_status AS
    SELECT * FROM outbox.server_stats();
REVOKE ALL ON outbox.server_status FROM PUBLIC;
COMMENT ON VIEW outbox.server_status IS
'state of each server that queues are delivered to; no rows without a relay, at most 64';
COMMENT ON COLUMN outbox.server_status.server IS
'name of the foreign server; null if it is that of outbox.redis_url';
COMMENT ON COLUMN outbox.server_status.address IS
'where that is: host, port and database';
COMMENT ON COLUMN outbox.server_status.state IS
'running, waiting for redis, waiting for standby, starting; the relay''s state while that is held, fenced or disabled';
COMMENT ON COLUMN outbox.server_status.since IS
'when the server got into this state';
COMMENT ON COLUMN outbox.server_status.why IS
'the reason, if there is one';
COMMENT ON COLUMN outbox.server_status.last_error IS
'last error of this server or of the network to it';
COMMENT ON COLUMN outbox.server_status.last_error_at IS
'when last_error happened';
COMMENT ON COLUMN outbox.server_status.last_success IS
'when the server last acknowledged a message';
COMMENT ON COLUMN outbox.server_status.queues IS
'number of queues that are delivered to this server';
COMMENT ON COLUMN outbox.server_status.waiting IS
'number of messages of these queues that are committed and not delivered yet, counted about once a second';
COMMENT ON COLUMN outbox.server_status.delivered IS
'total of messages delivered of these queues';

CREATE FUNCTION outbox.queue_stats(
    partitions boolean,
    OUT queue integer,
    OUT partition integer,
    OUT state text,
    OUT since timestamptz,
    OUT why text,
    OUT delivered bigint,
    OUT failed bigint,
    OUT dead_lettered bigint,
    OUT expired bigint,
    OUT waiting bigint,
    OUT delayed bigint,
    OUT retrying bigint,
    OUT dead bigint,
    OUT oldest interval,
    OUT last_error text,
    OUT last_error_at timestamptz,
    OUT last_success timestamptz,
    OUT latency_p50 double precision,
    OUT latency_p99 double precision)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME', 'outbox_queue_stats';
REVOKE ALL ON FUNCTION outbox.queue_stats(boolean) FROM PUBLIC;
COMMENT ON FUNCTION outbox.queue_stats(boolean) IS
'figures that the relay has published about queues, or about each of their partitions, for views outbox.queue_status and outbox.partition_status';

CREATE FUNCTION outbox.partition_rows(
    OUT id integer,
    OUT queue text,
    OUT partition integer,
    OUT redis_key text,
    OUT slot integer)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'outbox_partition_rows';
REVOKE ALL ON FUNCTION outbox.partition_rows() FROM PUBLIC;
COMMENT ON FUNCTION outbox.partition_rows() IS
'partitions of all queues, for views outbox.partitions and outbox.partition_status';

/*
 * While the relay is not running as it should, its state is shown as the state
 * of each queue that is not paused. Without a relay the totals are those that
 * the last one wrote.
 */

CREATE VIEW outbox.queue_status AS
    SELECT q.name AS queue,
           CASE WHEN q.paused_at IS NOT NULL THEN 'paused'
                WHEN r.state <> 'running' THEN r.state
                ELSE s.state END AS state,
           CASE WHEN q.paused_at IS NOT NULL THEN q.paused_at
                WHEN r.state <> 'running' THEN r.since
                ELSE s.since END AS since,
           CASE WHEN q.paused_at IS NOT NULL THEN NULL
                WHEN r.state <> 'running' THEN r.why
                ELSE s.why END AS why,
           s.delivered + s.waiting + s.delayed + s.retrying + s.dead_lettered AS enqueued,
           coalesce(s.delivered, t.delivered, 0) AS delivered,
           coalesce(s.failed, t.failed, 0) AS failed,
           coalesce(s.dead_lettered, t.dead_lettered, 0) AS dead_lettered,
           coalesce(s.expired, t.expired, 0) AS expired,
           s.waiting,
           s.delayed,
           s.retrying,
           s.dead AS dead_letters,
           s.oldest,
           s.last_error,
           s.last_error_at,
           s.last_success,
           s.latency_p50,
           s.latency_p99
    FROM outbox.queue AS q
    CROSS JOIN outbox.relay_status() AS r
    LEFT JOIN outbox.queue_stats(false) AS s ON s.queue = q.id
    CROSS JOIN LATERAL (
        SELECT sum(t.delivered)::bigint AS delivered, sum(t.failed)::bigint AS failed,
               sum(t.dead_lettered)::bigint AS dead_lettered, sum(t.expired)::bigint AS expired
        FROM outbox.queue_total AS t
        WHERE t.queue BETWEEN q.id AND q.id + q.partitions - 1) AS t;
REVOKE ALL ON outbox.queue_status FROM PUBLIC;
COMMENT ON VIEW outbox.queue_status IS
'state of the delivery of each queue''s messages, one row for each queue';
COMMENT ON COLUMN outbox.queue_status.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.queue_status.state IS
'flowing, blocked, paused or starting; waiting for redis while the queue''s server is away; the relay''s state while the relay is not running; null if it is not known';
COMMENT ON COLUMN outbox.queue_status.since IS
'when the queue got into this state';
COMMENT ON COLUMN outbox.queue_status.why IS
'the reason, if there is one';
COMMENT ON COLUMN outbox.queue_status.enqueued IS
'total of messages: delivered, waiting, delayed, retrying and given up; a message that was replayed or returned by a consumer counts again';
COMMENT ON COLUMN outbox.queue_status.delivered IS
'total of messages delivered';
COMMENT ON COLUMN outbox.queue_status.failed IS
'total of attempts that failed: refused by Redis, or returned by a consumer';
COMMENT ON COLUMN outbox.queue_status.dead_lettered IS
'total of messages given up, expired ones included';
COMMENT ON COLUMN outbox.queue_status.expired IS
'total of messages that were too old when their turn came';
COMMENT ON COLUMN outbox.queue_status.waiting IS
'number of messages that are committed and whose turn has not come; this column and the next three are counted about once a second';
COMMENT ON COLUMN outbox.queue_status.delayed IS
'number of messages that are not due yet';
COMMENT ON COLUMN outbox.queue_status.retrying IS
'number of messages that were refused and are tried again, and of those with the same key that wait behind them';
COMMENT ON COLUMN outbox.queue_status.dead_letters IS
'number of dead letters';
COMMENT ON COLUMN outbox.queue_status.oldest IS
'how long the oldest waiting message has waited, approximately';
COMMENT ON COLUMN outbox.queue_status.last_error IS
'error with which Redis last refused a message';
COMMENT ON COLUMN outbox.queue_status.last_error_at IS
'when last_error happened';
COMMENT ON COLUMN outbox.queue_status.last_success IS
'when Redis last acknowledged a message';
COMMENT ON COLUMN outbox.queue_status.latency_p50 IS
'median of the seconds from enqueueing to delivery, of messages that were delivered recently';
COMMENT ON COLUMN outbox.queue_status.latency_p99 IS
'99th percentile of the seconds from enqueueing to delivery, of messages that were delivered recently';

/*
 * Partitions: where consumers find them, and how each of them is. A queue without
 * the setting has one, which is the queue itself.
 */

CREATE VIEW outbox.partitions AS
    SELECT p.queue, p.partition, p.redis_key, p.slot
    FROM outbox.partition_rows() AS p;
REVOKE ALL ON outbox.partitions FROM PUBLIC;
COMMENT ON VIEW outbox.partitions IS
'partitions of each queue, for consumers: one row for each stream, list or channel';
COMMENT ON COLUMN outbox.partitions.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.partitions.partition IS
'the partition''s number, from 0 on';
COMMENT ON COLUMN outbox.partitions.redis_key IS
'name of the partition''s stream, list or channel in Redis';
COMMENT ON COLUMN outbox.partitions.slot IS
'slot of redis_key in Redis Cluster';

CREATE VIEW outbox.partition_status AS
    SELECT p.queue,
           p.partition,
           p.redis_key,
           CASE WHEN q.paused_at IS NOT NULL THEN 'paused'
                WHEN r.state <> 'running' THEN r.state
                ELSE s.state END AS state,
           CASE WHEN q.paused_at IS NOT NULL THEN q.paused_at
                WHEN r.state <> 'running' THEN r.since
                ELSE s.since END AS since,
           CASE WHEN q.paused_at IS NOT NULL THEN NULL
                WHEN r.state <> 'running' THEN r.why
                ELSE s.why END AS why,
           coalesce(s.delivered, t.delivered, 0) AS delivered,
           coalesce(s.failed, t.failed, 0) AS failed,
           coalesce(s.dead_lettered, t.dead_lettered, 0) AS dead_lettered,
           s.waiting,
           s.delayed,
           s.retrying,
           s.dead AS dead_letters,
           s.oldest,
           s.last_error,
           s.last_error_at,
           s.last_success,
           s.latency_p50,
           s.latency_p99
    FROM outbox.partition_rows() AS p
    JOIN outbox.queue AS q ON q.id = p.id
    CROSS JOIN outbox.relay_status() AS r
    LEFT JOIN outbox.queue_stats(true) AS s ON s.queue = p.id AND s.partition = p.partition
    LEFT JOIN outbox.queue_total AS t ON t.queue = p.id + p.partition;
REVOKE ALL ON outbox.partition_status FROM PUBLIC;
COMMENT ON VIEW outbox.partition_status IS
'state of the delivery of each partition''s messages; its columns are those of outbox.queue_status, which adds them up';
DO $$
DECLARE
    name name;
BEGIN
    FOR name IN SELECT attname FROM pg_catalog.pg_attribute
        WHERE attrelid = 'outbox.partition_status'::regclass AND attname NOT IN ('partition', 'redis_key')
    LOOP
        EXECUTE format('COMMENT ON COLUMN outbox.partition_status.%I IS %L', name, col_description('outbox.queue_status'::regclass,
            (SELECT attnum FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = 'outbox.queue_status'::regclass AND a.attname = name)));
    END LOOP;
END;
$$;
COMMENT ON COLUMN outbox.partition_status.partition IS
'the partition''s number, from 0 on';
COMMENT ON COLUMN outbox.partition_status.redis_key IS
'name of the partition''s stream, list or channel in Redis';

/*
 * Settings as outbox_create_queue() takes them. Options are shown as everybody
 * can read the sources of functions: they are no place for secrets.
 */

CREATE VIEW outbox.queue_settings AS
    SELECT q.name AS queue,
           q.target,
           q.redis_key,
           q.format,
           q.payload_type,
           q.fields,
           q.partitions,
           q.maxlen,
           q.on_failure,
           q.max_attempts,
           q.retry_delay,
           q.retry_backoff,
           q.retry_max_delay,
           q.expires_after,
           q.consumer_retry,
           q.options,
           q.server,
           q.moving_from,
           q.created_at,
           outbox.queue_view(q.name)::text AS view
    FROM outbox.queue AS q;
REVOKE ALL ON outbox.queue_settings FROM PUBLIC;
COMMENT ON VIEW outbox.queue_settings IS
'settings of each queue, one row for each queue; to be read only, they are changed by outbox_alter_queue()';
DO $$
DECLARE
    name name;
BEGIN
    FOR name IN SELECT attname FROM pg_catalog.pg_attribute
        WHERE attrelid = 'outbox.queue_settings'::regclass AND attname NOT IN ('queue', 'view')
    LOOP
        EXECUTE format('COMMENT ON COLUMN outbox.queue_settings.%I IS %L', name, col_description('outbox.queue'::regclass,
            (SELECT attnum FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = 'outbox.queue'::regclass AND a.attname = name)));
    END LOOP;
END;
$$;
COMMENT ON COLUMN outbox.queue_settings.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.queue_settings.view IS
'the view whose INSERT is the right to enqueue to the queue; null if it is missing';

/*
 * While the relay is in one turn of its loop it delivers nothing else.
 */

CREATE FUNCTION outbox.turn_stats(
    OUT step text,
    OUT clock text,
    OUT ms double precision,
    OUT at timestamptz,
    OUT queue integer,
    OUT rows bigint)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME', 'outbox_turn_stats';
REVOKE ALL ON FUNCTION outbox.turn_stats() FROM PUBLIC;
COMMENT ON FUNCTION outbox.turn_stats() IS
'the longest turns of the relay''s loop, for view outbox.longest_turns';

CREATE FUNCTION outbox.reset_turn_stats() RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'outbox_reset_turn_stats';
REVOKE ALL ON FUNCTION outbox.reset_turn_stats() FROM PUBLIC;
COMMENT ON FUNCTION outbox.reset_turn_stats() IS
'forget the turns in view outbox.longest_turns';

CREATE VIEW outbox.longest_turns AS
    SELECT t.step, t.clock, t.ms, t.at, q.name AS queue, t.rows
    FROM outbox.turn_stats() AS t
    LEFT JOIN outbox.queue AS q ON t.queue BETWEEN q.id AND q.id + q.partitions - 1;
REVOKE ALL ON outbox.longest_turns FROM PUBLIC;
COMMENT ON VIEW outbox.longest_turns IS
'the longest turns of the relay''s loop since it started or outbox.reset_turn_stats(): for how long the relay did nothing else; turns under a millisecond are left out';
COMMENT ON COLUMN outbox.longest_turns.step IS
'what took most of the turn';
COMMENT ON COLUMN outbox.longest_turns.clock IS
'cpu: the longest by the relay''s CPU time; wall: the longest by the clock, waits for disks and other processes included';
COMMENT ON COLUMN outbox.longest_turns.ms IS
'how long the turn was, in milliseconds';
COMMENT ON COLUMN outbox.longest_turns.at IS
'when it ended';
COMMENT ON COLUMN outbox.longest_turns.queue IS
'the last queue that the step worked for, if it was for a certain one';
COMMENT ON COLUMN outbox.longest_turns.rows IS
'how many rows or messages the step went through';

/*
 * Dead letters for users. They have payloads, so pg_monitor may not read them.
 */

CREATE FUNCTION outbox.readable_payload(payload bytea, kind "char") RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'outbox_readable_payload_sql';
COMMENT ON FUNCTION outbox.readable_payload(bytea, "char") IS
'a payload as views show it; it is for all, as it sees what it is given and nothing else';

CREATE VIEW outbox.dead_letters AS
    SELECT q.name AS queue,
           d.reason,
           d.id,
           d.type,
           d.key,
           d.headers,
           outbox.readable_payload(d.payload, d.kind) AS payload,
           CASE d.kind WHEN 'j' THEN 'json' WHEN 't' THEN 'text' ELSE 'bytea' END AS payload_type,
           d.enqueued_at,
           d.attempts::integer AS attempts,
           d.error AS last_error,
           (jsonb_path_query_array(d.history, '$[*] ? (@.reason == "refused" || @.reason == "expired" || @.reason == "consumer").at')
               ->> 0)::timestamptz AS first_failed_at,
           (jsonb_path_query_array(d.history, '$[*] ? (@.reason == "refused" || @.reason == "expired" || @.reason == "consumer").at')
               ->> -1)::timestamptz AS last_failed_at,
           d.dead_at,
           d.history
    FROM outbox.dead_letter AS d
    JOIN outbox.queue AS q ON d.queue BETWEEN q.id AND q.id + q.partitions - 1
    WHERE d.gone_at IS NULL;
REVOKE ALL ON outbox.dead_letters FROM PUBLIC;
COMMENT ON VIEW outbox.dead_letters IS
'messages that were given up and neither replayed nor discarded';
COMMENT ON COLUMN outbox.dead_letters.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.dead_letters.reason IS
'refused: by Redis; consumer: by a consumer; expired: it was older than the queue''s expires_after';
COMMENT ON COLUMN outbox.dead_letters.id IS
'the message''s id, for outbox_replay() and outbox_discard()';
COMMENT ON COLUMN outbox.dead_letters.type IS
'the message''s type, or null';
COMMENT ON COLUMN outbox.dead_letters.key IS
'the message''s key, or null';
COMMENT ON COLUMN outbox.dead_letters.headers IS
'an object of strings, or null';
COMMENT ON COLUMN outbox.dead_letters.payload IS
'a document as it is; text as a JSON string; bytes as a JSON string that begins with \x, in bytea''s hexadecimal form';
COMMENT ON COLUMN outbox.dead_letters.payload_type IS
'what the payload is: json, text or bytea';
COMMENT ON COLUMN outbox.dead_letters.enqueued_at IS
'when outbox_enqueue() was called; if the message was delayed, when it was due; if a consumer has returned it, when that happened';
COMMENT ON COLUMN outbox.dead_letters.attempts IS
'how often Redis has refused the message or a consumer has returned it';
COMMENT ON COLUMN outbox.dead_letters.last_error IS
'why the last attempt has failed, of Redis or a consumer, or null';
COMMENT ON COLUMN outbox.dead_letters.first_failed_at IS
'when the message first failed';
COMMENT ON COLUMN outbox.dead_letters.last_failed_at IS
'when the message last failed';
COMMENT ON COLUMN outbox.dead_letters.dead_at IS
'when the message was given up';
COMMENT ON COLUMN outbox.dead_letters.history IS
'what has happened to the message: objects with at, reason (refused, consumer, expired, replayed) and queue; for failed attempts also attempt and error';

/*
 * What has been enqueued, for tests and for a look. Views execute functions with
 * the rights of who reads the view.
 */

CREATE FUNCTION outbox.message_rows(
    OUT queue text,
    OUT state text,
    OUT id uuid,
    OUT type text,
    OUT key text,
    OUT headers jsonb,
    OUT payload json,
    OUT payload_type text,
    OUT enqueued_at timestamptz,
    OUT due_at timestamptz,
    OUT attempts integer,
    OUT history jsonb,
    OUT as_of timestamptz,
    OUT seq bigint)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_message_rows';
REVOKE ALL ON FUNCTION outbox.message_rows() FROM PUBLIC;
COMMENT ON FUNCTION outbox.message_rows() IS
'messages that the calling role may see, for view outbox.messages';

CREATE VIEW outbox.messages AS
    SELECT m.queue, m.state, m.id, m.type, m.key, m.headers, m.payload, m.payload_type,
           m.enqueued_at, m.due_at, m.attempts, m.history -> -1 ->> 'error' AS last_error,
           m.as_of, m.seq
    FROM outbox.message_rows() AS m;
REVOKE ALL ON outbox.messages FROM PUBLIC;
COMMENT ON VIEW outbox.messages IS
'messages that are not delivered yet, own uncommitted ones included, and delivered ones as long as they are retained: of the role''s own transaction, or all for who may read all data; all of them are read for each look';
COMMENT ON COLUMN outbox.messages.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.messages.state IS
'waiting: its turn has not come; delayed: is not due yet; retrying: was refused and is tried again at due_at, or waits behind such a one with the same key, without due_at; held: waits for outbox_release(), see outbox.status; delivered: Redis has it';
COMMENT ON COLUMN outbox.messages.id IS
'the message''s id';
COMMENT ON COLUMN outbox.messages.type IS
'the message''s type, or null';
COMMENT ON COLUMN outbox.messages.key IS
'the message''s key, or null; always null for pg_monitor, like headers, payload and last_error';
COMMENT ON COLUMN outbox.messages.headers IS
'an object of strings, or null';
COMMENT ON COLUMN outbox.messages.payload IS
'a document as it is; text as a JSON string; bytes as a JSON string that begins with \x, in bytea''s hexadecimal form';
COMMENT ON COLUMN outbox.messages.payload_type IS
'what the payload is: json, text or bytea';
COMMENT ON COLUMN outbox.messages.enqueued_at IS
'when outbox_enqueue() was called; if the message was delayed, when it was due';
COMMENT ON COLUMN outbox.messages.due_at IS
'when a delayed message is due, also one that is held, or when a refused one is tried again; else null';
COMMENT ON COLUMN outbox.messages.attempts IS
'how often Redis has refused the message or a consumer has returned it';
COMMENT ON COLUMN outbox.messages.last_error IS
'why the last attempt has failed, or null';
COMMENT ON COLUMN outbox.messages.as_of IS
'when the relay told how far it had got with the queue; null if no relay runs';
COMMENT ON COLUMN outbox.messages.seq IS
'the message''s number: the messages that a transaction has for a queue are delivered in this order';

CREATE FUNCTION @extschema@.outbox_preview(
    id uuid)
    RETURNS SETOF text[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_preview';
REVOKE ALL ON FUNCTION @extschema@.outbox_preview(uuid) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.outbox_preview(uuid) IS
'the commands that Redis would get of a message in outbox.messages, a row for each; an argument that is no text is \x and hexadecimal digits';

/*
 * Backfills. Who may not read the table may not read keys out of it.
 */

CREATE VIEW outbox.backfills AS
    SELECT b.relation::regclass AS table_name,
           q.name AS queue,
           CASE WHEN b.finished_at IS NOT NULL THEN 'finished'
                WHEN a.state IS NULL AND a.pid IS NOT NULL THEN NULL
                WHEN a.pid IS NULL THEN CASE WHEN b.stopped_at IS NULL THEN 'interrupted' ELSE 'stopped' END
                WHEN b.stopped_at IS NULL THEN 'running' ELSE 'stopping' END AS state,
           b.rows,
           CASE WHEN has_table_privilege(b.relation, 'SELECT') THEN b.position END AS position,
           b.started_at,
           b.moved_at,
           b.finished_at,
           CASE WHEN a.state IS NOT NULL THEN a.pid END AS pid
    FROM outbox.backfill AS b
    JOIN outbox.queue AS q ON q.id = b.queue
    LEFT JOIN pg_catalog.pg_stat_activity AS a
        ON a.pid = b.pid AND (a.query_start = b.called_at AND a.state = 'active'
            OR a.query = '<insufficient privilege>');
REVOKE ALL ON outbox.backfills FROM PUBLIC;
COMMENT ON VIEW outbox.backfills IS
'backfills of captured tables: the last one of each table and queue';
COMMENT ON COLUMN outbox.backfills.table_name IS
'the table; its OID if it has been dropped';
COMMENT ON COLUMN outbox.backfills.queue IS
'the queue''s name';
COMMENT ON COLUMN outbox.backfills.state IS
'running; stopping or stopped, by outbox_stop_backfill(); interrupted, the call has ended before the last row, by an error, cancelled or with the server; finished; null for who may not see what the process does';
COMMENT ON COLUMN outbox.backfills.rows IS
'how many rows have been enqueued';
COMMENT ON COLUMN outbox.backfills.position IS
'primary key of the last row that is done; null at the beginning, and for who may not read the table';
COMMENT ON COLUMN outbox.backfills.started_at IS
'when the backfill began; a call that goes on with it leaves this as it is';
COMMENT ON COLUMN outbox.backfills.moved_at IS
'when the last rows were enqueued';
COMMENT ON COLUMN outbox.backfills.finished_at IS
'when the last row was done, or null';
COMMENT ON COLUMN outbox.backfills.pid IS
'process that is at work, or null';

GRANT USAGE ON SCHEMA outbox TO pg_monitor;
GRANT EXECUTE ON FUNCTION outbox.message_rows() TO pg_monitor, pg_read_all_data;
GRANT EXECUTE ON FUNCTION @extschema@.outbox_preview(uuid) TO pg_read_all_data;
GRANT SELECT ON outbox.messages TO pg_monitor;
GRANT EXECUTE ON FUNCTION outbox.relay_status(), outbox.queue_stats(boolean), outbox.partition_rows(),
    outbox.server_stats(), outbox.turn_stats(), outbox.queue_view(text) TO pg_monitor;
GRANT SELECT ON outbox.status, outbox.server_status, outbox.queue_status, outbox.queue_settings, outbox.partitions,
    outbox.partition_status, outbox.longest_turns, outbox.backfills TO pg_monitor;

/*
 * Start the relay when this transaction commits, or warn that there is none.
 */

CREATE FUNCTION outbox.request_relay() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'outbox_request_relay_start';
REVOKE ALL ON FUNCTION outbox.request_relay() FROM PUBLIC;
COMMENT ON FUNCTION outbox.request_relay() IS
'ask the launcher for this database''s relay';

SELECT outbox.request_relay();
