// Copyright (c) 2026, the outbox developers
//
// postgres.js: prepared statements, and none.
import postgres from 'postgres';
import { cast, client, dumps, host, json, listed, many, plain, run } from './cells.mjs';

client('postgres');

function ways(sql) {
	const call = (way, convert = (value) => value) => async (queue, value) => {
		const [first, second, third] = way('?', '?').split('?');
		const strings = Object.assign([first, second, third], { raw: [first, second, third] });
		return (await sql(strings, queue, convert(value)))[0].id;
	};
	const wrap = (value) => {
		dumps(value);
		return sql.json(value);
	};
	// what isn't bytes is an error, and the connection then waits for ever
	const bytes = (value) => (typeof value === 'string' || Buffer.isBuffer(value) ? value : dumps(Buffer.of()));
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), 'sql.json': call(plain, wrap),
		'sql.json json()': call(json, wrap), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea'), bytes),
		many: call(many, listed), 'dumped many': call(many, (value) => dumps(listed(value))),
		'sql.json many': call(many, (value) => sql.json(listed(value))),
	};
}

for (const mode of ['prepared', 'unprepared', 'unprepared@transaction', 'unprepared@statement']) {
	const sql = postgres({
		...host(mode), max: 1, prepare: mode === 'prepared', fetch_types: !mode.includes('@statement'), onnotice: () => {},
	});
	await run(mode, ways(sql));
	await sql.end();
}
