// Copyright (c) 2026, the outbox developers
//
// A consumer of payments: node consumer.js NAME, with REDIS_URL set.
//
// It reads the stream with the consumer group "workers", together with as many
// others as there are, in whatever language.  What it can't process it returns:
// the entry's own fields and one more, "error", in the stream payments:retry.
// Whatever an entry leads to happens in one transaction with its acknowledgement,
// so if the consumer dies the entry is still its own, and nothing has happened.

const { createClient } = require('redis');

const stream = 'payments', group = 'workers', name = process.argv[2];
const redis = createClient({ url: process.env.REDIS_URL });

// Pay, or throw an error that says why not.  Returns the reply.
async function pay(message) {
  const payment = JSON.parse(message.payload);
  const limit = Number(await redis.get('payments:limit'));
  if (payment.amount > limit) {
    throw new Error(`${payment.amount} is over the limit of ${limit}`);
  }
  return { status: 'paid', amount: String(payment.amount) };
}

async function handle(entry, message) {
  const done = redis.multi();
  try {
    done.xAdd(message['h:reply-to'], '*', {
      ...(await pay(message)),
      'correlation-id': message['h:correlation-id'],
      attempt: message.attempt,
      by: name,
    });
  } catch (e) {
    done.xAdd(`${stream}:retry`, '*', { ...message, error: `${name}: ${e.message}` });
  }
  done.xAck(stream, group, entry);
  await done.exec();
}

async function main() {
  await redis.connect();
  try {
    await redis.xGroupCreate(stream, group, '0', { MKSTREAM: true });
  } catch (e) {
    if (!e.message.startsWith('BUSYGROUP')) throw e;
  }

  // first what was given to us before we died, then what is new
  let since = '0';
  for (;;) {
    const streams = await redis.xReadGroup(group, name, { key: stream, id: since },
      { COUNT: 10, BLOCK: 1000 });
    const entries = (streams ?? []).flatMap((s) => s.messages);
    for (const { id, message } of entries) await handle(id, message);
    if (entries.length === 0) since = '>';
  }
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
