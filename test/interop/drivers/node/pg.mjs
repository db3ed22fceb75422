// Copyright (c) 2026, the outbox developers
//
// node-postgres: statements without and with a name.
import pg from 'pg';
import { cast, client, dumps, host, json, listed, many, plain, run } from './cells.mjs';

client('pg');

function ways(connection, named) {
	const call = (sql, convert = (value) => value) => async (queue, value) => {
		const text = sql('$1', '$2');
		const query = { text, values: [queue, convert(value)] };
		if (named) query.name = text;
		return (await connection.query(query)).rows[0].id;
	};
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea')),
		many: call(many, listed), 'dumped many': call(many, (value) => dumps(listed(value))),
	};
}

for (const mode of ['unnamed', 'named', 'unnamed@transaction', 'unnamed@statement']) {
	const connection = new pg.Client(host(mode));
	await connection.connect();
	await run(mode, ways(connection, mode === 'named'));
	await connection.end();
}
