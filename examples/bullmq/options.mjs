// Copyright (c) 2026, the outbox developers
//
// Prints the options of an outbox queue (target "function") whose messages
// become jobs of BullMQ.
//
//   node options.mjs QUEUE [JOB_OPTIONS [PREFIX]]
//
// QUEUE is BullMQ's queue; JOB_OPTIONS what every job gets, as for Queue.add(),
// for example '{"attempts": 3, "backoff": {"type": "exponential", "delay": 1000}}'.
// PREFIX is that of BullMQ's keys, if it is another than "bull".  REDIS_URL says where a
// Redis is.
//
// How a job is added is BullMQ's own affair: a script, its keys and arguments,
// and they change from release to release.  So nothing of it is written down
// here.  The BullMQ that is installed adds a sample job, and the call that it
// wants to make is caught on its way to Redis: that is what the function does,
// with the message's parts in the sample's place.

import { createHash, randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

const [queueName, jobOptions = '{}', prefix = 'bull'] = process.argv.slice(2);
if (!queueName) {
  console.error('usage: node options.mjs QUEUE [JOB_OPTIONS [PREFIX]]');
  process.exit(2);
}

// What is to be found again in the call.  Strings of such a length have a
// header of two bytes in MessagePack; they occur nowhere by chance.
const sample = {
  id: randomUUID(),
  name: `name-${randomUUID()}`,
  data: { data: randomUUID() },
  timestamp: 1234567890123,
};

// BullMQ tells the client its scripts, and then calls them by their hash.  The
// sample's call is kept here and not sent, so there is no such job.
async function catchCall() {
  const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379/0', {
    maxRetriesPerRequest: null,
  });
  const { defineCommand, sendCommand } = redis;
  const scripts = new Map();
  const calls = [];
  redis.defineCommand = function (name, definition) {
    scripts.set(createHash('sha1').update(definition.lua).digest('hex'), definition.lua);
    return defineCommand.call(this, name, definition);
  };
  redis.sendCommand = function (command, ...rest) {
    if (command.name.toLowerCase() !== 'evalsha') return sendCommand.call(this, command, ...rest);
    calls.push(command.args);
    command.resolve(Buffer.from(sample.id));
    return command.promise;
  };
  const queue = new Queue(queueName, { connection: redis, prefix });
  await queue.add(sample.name, sample.data, {
    ...JSON.parse(jobOptions),
    jobId: sample.id,
    timestamp: sample.timestamp,
  });
  await queue.close();
  redis.disconnect();
  if (calls.length !== 1) throw new Error(`BullMQ made ${calls.length} calls to add a job`);
  const [hash, count, ...rest] = calls[0];
  const keys = Number(count);
  return {
    script: scripts.get(hash),
    keys: rest.slice(0, keys).map((key) => Buffer.from(key)),
    args: rest.slice(keys).map((arg) => Buffer.from(arg)),
  };
}

// How MessagePack may have the sample's parts, and what stands there instead.
function substitutes() {
  const string = (text) => Buffer.concat([Buffer.from([0xd9, text.length]), Buffer.from(text)]);
  const double = Buffer.alloc(9);
  const integer = Buffer.alloc(9);
  double[0] = 0xcb;
  double.writeDoubleBE(sample.timestamp, 1);
  integer[0] = 0xcf;
  integer.writeBigUInt64BE(BigInt(sample.timestamp), 1);
  return [
    { part: 'id', bytes: string(sample.id), lua: 'cmsgpack.pack(id)' },
    { part: 'name', bytes: string(sample.name), lua: 'cmsgpack.pack(name)' },
    { part: 'timestamp', bytes: double, lua: 'cmsgpack.pack(tonumber(now_ms))' },
    { part: 'timestamp', bytes: integer, lua: 'cmsgpack.pack(tonumber(now_ms))' },
  ];
}

// Bytes as a string of Lua, in ASCII.
function quote(bytes) {
  const chars = [...bytes].map((byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c
      ? `\\${String(byte).padStart(3, '0')}`
      : String.fromCharCode(byte),
  );
  return `"${chars.join('')}"`;
}

// An argument as an expression of Lua.  What is found is added to a set.
function argument(bytes, found) {
  if (bytes.toString() === JSON.stringify(sample.data)) {
    found.add('data');
    return 'payload';
  }
  const pieces = [];
  while (bytes.length > 0) {
    const next = substitutes()
      .map((s) => ({ ...s, at: bytes.indexOf(s.bytes) }))
      .filter((s) => s.at >= 0)
      .sort((a, b) => a.at - b.at)[0];
    const end = next ? next.at : bytes.length;
    if (end > 0) pieces.push(quote(bytes.subarray(0, end)));
    if (!next) break;
    found.add(next.part);
    pieces.push(next.lua);
    bytes = bytes.subarray(end + next.bytes.length);
  }
  return pieces.join(' .. ') || '""';
}

function luaFunction({ script, keys, args }) {
  const found = new Set();
  const values = args.map((arg) => argument(arg, found));
  for (const part of ['id', 'name', 'timestamp', 'data'])
    if (!found.has(part)) throw new Error(`the job's ${part} isn't in the call that BullMQ makes`);
  return `if not pcall(cjson.decode, payload) then
  return {err = 'ERR the payload is not JSON'}
end
local name = msgtype ~= '' and msgtype or 'default'
local answer = (function(KEYS, ARGV)
${script}
end)({${keys.map(quote).join(', ')}}, {${values.join(', ')}})
if type(answer) == 'number' and answer < 0 then
  return {err = 'ERR BullMQ answers ' .. answer}
end`;
}

console.log(JSON.stringify({ function: luaFunction(await catchCall()) }));
