// Copyright (c) 2026, the outbox developers
import knex from 'knex';
import { cast, client, dumps, json, listed, many, plain, run, url } from './cells.mjs';

client('knex');

function ways(db) {
	const call = (sql, convert = (value) => value) => async (queue, value) =>
		(await db.raw(sql('?', '?'), [queue, convert(value)])).rows[0].id;
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea')),
		many: call(many, listed), 'dumped many': call(many, (value) => dumps(listed(value))),
	};
}

for (const mode of ['default', 'default@transaction']) {
	const db = knex({ client: 'pg', connection: url(mode), pool: { min: 1, max: 1 } });
	await run(mode, ways(db));
	await db.destroy();
}
