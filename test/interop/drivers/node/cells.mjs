// Copyright (c) 2026, the outbox developers
//
// What the programs for Node's drivers share: see ../run for what they print.
import { readFileSync } from 'node:fs';

export const values = {
	string: 'hé "llo"', digits: '123', object: { a: 1, b: 'é' }, array: [1, 2],
	words: ['a', 'b'], empty: [],
	bytes: Buffer.from([0, 255, 123]), document: Buffer.from('{"a": 1}'), null: null,
	number: 42, true: true,
};
const queues = ['json', 'text', 'bytea'];

// the statement of a way with the driver's own placeholders
export const plain = (q, p) => `SELECT outbox_enqueue(${q}, ${p}) AS id`;
export const json = (q, p) => `SELECT outbox_enqueue_json(${q}, ${p}) AS id`;
export const cast = (type) => (q, p) => `SELECT outbox_enqueue(${q}, ${p}::${type}) AS id`;
export const many = (q, p) => `SELECT outbox_enqueue_many(${q}, ${p}) AS id`;

class NoWay extends Error {}

export function dumps(value) {
	if (Buffer.isBuffer(value)) throw new NoWay();
	return JSON.stringify(value);
}

export const listed = (value) => {
	dumps(value);
	return [value];
};

export function host(mode) {
	const bouncer = mode.split('@')[1];
	return {
		host: '127.0.0.1', user: 'postgres', database: bouncer ?? process.env.PGDATABASE,
		port: Number(bouncer ? process.env.BOUNCER_PORT : process.env.PGPORT),
	};
}

export function url(mode) {
	const h = host(mode);
	return `postgresql://${h.user}@${h.host}:${h.port}/${h.database}`;
}

export function client(name) {
	const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
	console.log('client', name, JSON.parse(readFileSync(file)).version);
}

// an error of the server's has an SQLSTATE, and is perhaps the cause of the driver's
function serverError(error) {
	for (let e = error; e; e = e.cause ?? e.original ?? e.driverError)
		if (/^[0-9A-Z]{5}$/.test(e.code ?? '') && e.severity) return e;
	return null;
}

const only = (id) => (Array.isArray(id) ? id[0] : String(id).replace(/^{|}$/g, ''));

export async function run(mode, ways) {
	for (const [way, call] of Object.entries(ways))
		for (const [name, value] of Object.entries(values))
			for (const queue of queues) {
				let result;
				try {
					result = ['id', only(await call(queue, value))];
				} catch (error) {
					const told = serverError(error);
					const said = String((told ?? error).message).replace(/\s+/g, ' ').slice(0, 200);
					if (error instanceof NoWay) result = ['none'];
					else result = told ? ['server', told.code, said] : ['driver', error.name, said];
				}
				console.log([mode, way, name, queue, ...result].join('\t'));
			}
}
