// Copyright (c) 2026, the outbox developers
//
// pg-promise puts parameters into the statement as literals, and has prepared
// statements of node-postgres as well.
import pgp from 'pg-promise';
import { cast, client, dumps, host, json, listed, many, plain, run } from './cells.mjs';

client('pg-promise');

const library = pgp({ noWarnings: true });

function ways(db, mode) {
	const call = (sql, convert = (value) => value) => async (queue, value) => {
		const text = sql('$1', '$2');
		const parameters = [queue, convert(value)];
		const query = mode === 'parameterized'
			? new library.ParameterizedQuery({ text, values: parameters }) : text;
		return (await db.one(query, mode === 'parameterized' ? undefined : parameters)).id;
	};
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea')),
		many: call(many, listed), 'dumped many': call(many, (value) => dumps(listed(value))),
	};
}

for (const mode of ['literals', 'parameterized', 'literals@transaction', 'literals@statement']) {
	const db = library({ ...host(mode), max: 1 });
	await run(mode, ways(db, mode));
	await db.$pool.end();
}
