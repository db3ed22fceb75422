// Copyright (c) 2026, the outbox developers
//
// An ordinary BullMQ worker.  It writes down that it has run a job.
import { appendFileSync, existsSync } from 'node:fs';
import { Worker } from 'bullmq';

const connection = {
  host: process.env.REDIS_HOST,
  port: Number(process.env.REDIS_PORT),
  maxRetriesPerRequest: null,
};

async function run(job) {
  const note = (...words) =>
    appendFileSync('processed', `${[process.argv[2], job.name, job.id, ...words].join(' ')}\n`);
  switch (job.name) {
    case 'stamp':
      return note((Date.now() / 1000).toFixed(3));
    case 'flaky':
      note('attempt', job.attemptsMade + 1);
      if (!existsSync(job.data.path)) throw new Error('not yet');
      return 'at last';
    default:
      note(JSON.stringify(job.data));
      return Object.keys(job.data).length;
  }
}

const worker = new Worker(process.argv[2], run, { connection });
process.on('SIGTERM', () => worker.close().then(() => process.exit()));
