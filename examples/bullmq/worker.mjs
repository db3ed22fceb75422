// Copyright (c) 2026, the outbox developers
//
// A plain BullMQ worker: it knows nothing of outbox.  It "sends" mails, the
// first one to carol only at the second attempt.
import { Worker } from 'bullmq';

const connection = {
  host: process.env.REDIS_HOST ?? '127.0.0.1',
  port: Number(process.env.REDIS_PORT ?? 6379),
  maxRetriesPerRequest: null,
};

async function sendMail(job) {
  if (job.data.to === 'carol' && job.attemptsMade === 0) throw new Error('no answer');
  console.log(`${job.name} to ${job.data.to}, job ${job.id}, attempt ${job.attemptsMade + 1}`);
}

const worker = new Worker('mails', sendMail, { connection });
worker.on('failed', (job, error) => console.log(`${job.name} to ${job.data.to}: ${error.message}`));
worker.on('error', () => {});
console.log('the worker is there');
process.on('SIGTERM', () => worker.close().then(() => process.exit()));
