// Copyright (c) 2026, the outbox developers
//
// Sequelize: "replacements" are literals, "bind" are parameters.
import { QueryTypes, Sequelize } from 'sequelize';
import { cast, client, dumps, json, listed, many, plain, run, url } from './cells.mjs';

client('sequelize');

function ways(db, kind) {
	const call = (sql, convert = (value) => value) => async (queue, value) => {
		const query = kind === 'bind' ? sql('$1', '$2') : sql('?', '?');
		const options = { type: QueryTypes.SELECT, [kind]: [queue, convert(value)] };
		return (await db.query(query, options))[0].id;
	};
	return {
		plain: call(plain), 'json()': call(json), dumped: call(plain, dumps),
		'dumped json()': call(json, dumps), '::jsonb': call(cast('jsonb')),
		'::text': call(cast('text')), '::bytea': call(cast('bytea')),
		many: call(many, listed), 'dumped many': call(many, (value) => dumps(listed(value))),
	};
}

for (const mode of ['bind', 'replacements', 'bind@transaction']) {
	const db = new Sequelize(url(mode), { logging: false, pool: { max: 1 } });
	await run(mode, ways(db, mode.split('@')[0]));
	await db.close();
}
