// Copyright (c) 2026, the outbox developers
import pg from 'pg';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { client, dumps, host, listed, run } from './cells.mjs';

client('kysely');

function ways(db) {
	const same = (value) => value;
	const call = (statement, convert = same) => async (queue, value) =>
		(await statement(queue, convert(value)).execute(db)).rows[0].id;
	return {
		plain: call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}) AS id`),
		'json()': call((q, p) => sql`SELECT outbox_enqueue_json(${q}, ${p}) AS id`),
		dumped: call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}) AS id`, dumps),
		'::jsonb': call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}::jsonb) AS id`),
		'::bytea': call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}::bytea) AS id`),
		'dumped many': call((q, p) => sql`SELECT outbox_enqueue_many(${q}, ${p}) AS id`,
			(value) => dumps(listed(value))),
	};
}

const pool = new pg.Pool({ ...host('pg'), max: 1 });
const db = new Kysely({ dialect: new PostgresDialect({ pool }) });
await run('pg', ways(db));
await db.destroy();
