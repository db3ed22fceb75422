// Copyright (c) 2026, the outbox developers
//
// An ordinary BullMQ worker whose keys have one tag: node bullmq.mjs QUEUE PREFIX
import { appendFileSync } from 'node:fs';
import { Worker } from 'bullmq';
import { Cluster } from 'ioredis';

const nodes = process.env.CLUSTER.split(',').map((node) => {
  const [host, port] = node.split(':');
  return { host, port: Number(port) };
});
const connection = new Cluster(nodes, { redisOptions: { maxRetriesPerRequest: null } });
connection.on('error', (error) => console.error(error.message));

const worker = new Worker(
  process.argv[2],
  async (job) => {
    appendFileSync('processed', `bullmq ${job.name} ${job.id} ${JSON.stringify(job.data)}\n`);
  },
  { connection, prefix: process.argv[3] },
);
worker.on('error', (error) => console.error(error.message));
process.on('SIGTERM', () => worker.close().then(() => process.exit()));
