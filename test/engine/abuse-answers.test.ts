/** What a client can learn or upset with words that nobody expects. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { JournalLog } from '../../src/monitor/journal-log.js';
import { Engine } from '../support/engine.js';

test('a failure inside the broker is not told in words to the client', async () => {
  const errors: string[] = [];
  const engine = await Engine.create({
    authorizePublish: () => {
      throw new Error('no such file: /etc/secret');
    },
  });
  engine.broker.on('clientError', (_client, error) => errors.push(error.message));
  const client = await engine.connect({ protocolVersion: 5 });
  client.publish('t', 'x');
  const { reasonCode, properties } = await client.expect('disconnect');
  assert.deepEqual([reasonCode, properties?.reasonString], [0x83, 'implementation specific error']);
  assert.deepEqual(errors, ['no such file: /etc/secret']);
  await engine.stop();
});

test('a client identifier may be a word of Object.prototype', async () => {
  const engine = await Engine.create();
  for (const clientId of ['__proto__', 'constructor', 'toString']) {
    const client = await engine.connect({ clientId });
    assert.equal(engine.broker.connectedClients, 1, clientId);
    await engine.cut(client);
    assert.equal(engine.broker.connectedClients, 0, clientId);
  }
  await engine.stop();
});

test('a topic of as many levels as a topic has room for overflows no stack, not in a will either', async () => {
  const engine = await Engine.create({ session: { maxTopicLevels: 65535 } });
  const depth = 32_000;
  const topic = 'a/'.repeat(depth);
  const client = await engine.connect({ clientId: 'c' });
  await client.subscribe('+/'.repeat(depth), 0);
  const dying = await engine.connect({
    clientId: 'd',
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 100 },
    will: { topic, payload: Buffer.from('gone'), qos: 0, retain: true, properties: { willDelayInterval: 1 } },
  });
  await engine.cut(dying);
  engine.pass(2);
  assert.equal((await client.expect('publish')).topic, topic);
  await client.subscribe('#', 0);
  assert.equal((await client.expect('publish')).topic, topic, 'it is retained');
  await engine.stop();
});

test('what a client has chosen is in the log with its beginning only, however long it is', () => {
  const lines: string[] = [];
  const journal = new JournalLog(pino({ level: 'debug' }, { write: (line: string) => lines.push(line) }));
  const long = '\u0001'.repeat(65_535);
  const party = { id: long, remote: 'local', username: long, transport: 'mqtt', version: 5 };
  journal.connected(party, true, false, 0);
  journal.disconnected(party, 'gone');
  journal.refused(party, 'not allowed');
  journal.denied(party, 'publish', long, 'not allowed');
  journal.subscribed(party, long, 0);
  journal.unsubscribed(party, long);
  journal.limit(party, 'mqtt.max_topic_length', long);
  assert.equal(lines.length, 7);
  for (const line of lines) assert.ok(line.length < 20_000 && line.includes('(65535 characters)'), `${line.length}`);
});

test('what a client is denied a thousand times is one line in the log', () => {
  const lines: string[] = [];
  const journal = new JournalLog(pino({}, { write: (line: string) => lines.push(line) }));
  const party = { id: 'c', remote: 'local', username: null, transport: 'mqtt', version: 5 };
  for (let i = 0; i < 1000; i++) journal.denied(party, 'publish', '$SYS/x', 'not allowed');
  journal.denied({ ...party, id: 'd' }, 'publish', '$SYS/x', 'not allowed');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { client: string }).client),
    ['c', 'd'],
  );
});
