// Copyright (c) 2026, the outbox developers
//
// What an application sees of a queue: node queue.mjs QUEUE EXPRESSION prints
// the expression's value; in it are queue and job(id).
import { Queue } from 'bullmq';

const connection = { host: process.env.REDIS_HOST, port: Number(process.env.REDIS_PORT) };
const queue = new Queue(process.argv[2], { connection });
const job = (id) => queue.getJob(id);
const expression = new Function('queue', 'job', `return (async () => ${process.argv[3]})()`);
const value = await expression(queue, job);
console.log(typeof value === 'string' ? value : JSON.stringify(value));
await queue.close();
