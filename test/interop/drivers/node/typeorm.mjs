// Copyright (c) 2026, the outbox developers
import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { cast, client, dumps, json, listed, many, plain, run, url } from './cells.mjs';

client('typeorm');

function ways(db) {
	const call = (sql, convert = (value) => value) => async (queue, value) =>
		(await db.query(sql('$1', '$2'), [queue, convert(value)]))[0].id;
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea')),
		'dumped many': call(many, (value) => dumps(listed(value))),
	};
}

for (const mode of ['default', 'default@transaction']) {
	const db = new DataSource({ type: 'postgres', url: url(mode), logging: false });
	await db.initialize();
	await run(mode, ways(db));
	await db.destroy();
}
