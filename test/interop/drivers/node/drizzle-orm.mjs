// Copyright (c) 2026, the outbox developers
//
// Drizzle over node-postgres and over postgres.js.
import pg from 'pg';
import postgres from 'postgres';
import { sql } from 'drizzle-orm';
import { drizzle as overPg } from 'drizzle-orm/node-postgres';
import { drizzle as overPostgres } from 'drizzle-orm/postgres-js';
import { client, dumps, host, listed, run } from './cells.mjs';

client('drizzle-orm');

function ways(execute) {
	const same = (value) => value;
	const call = (statement, convert = same) => async (queue, value) =>
		execute(statement(queue, convert(value)));
	return {
		plain: call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}) AS id`),
		param: call((q, p) => sql`SELECT outbox_enqueue(${q}, ${sql.param(p)}) AS id`),
		'json()': call((q, p) => sql`SELECT outbox_enqueue_json(${q}, ${sql.param(p)}) AS id`),
		dumped: call((q, p) => sql`SELECT outbox_enqueue(${q}, ${p}) AS id`, dumps),
		'dumped json()': call((q, p) => sql`SELECT outbox_enqueue_json(${q}, ${p}) AS id`, dumps),
		'::jsonb': call((q, p) => sql`SELECT outbox_enqueue(${q}, ${sql.param(p)}::jsonb) AS id`),
		'::bytea': call((q, p) => sql`SELECT outbox_enqueue(${q}, ${sql.param(p)}::bytea) AS id`),
		'dumped many': call((q, p) => sql`SELECT outbox_enqueue_many(${q}, ${p}) AS id`,
			(value) => dumps(listed(value))),
	};
}

const c = new pg.Client(host('pg'));
await c.connect();
const db = overPg(c);
await run('pg', ways(async (statement) => (await db.execute(statement)).rows[0].id));
await c.end();
for (const mode of ['postgres', 'postgres@transaction']) {
	const p = postgres({ ...host(mode), max: 1, prepare: mode === 'postgres' });
	const dbp = overPostgres(p);
	await run(mode, ways(async (statement) => (await dbp.execute(statement))[0].id));
	await p.end();
}
