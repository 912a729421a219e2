/** What an admin is told of clients: who is there, what each has, who is away, and that one can be ended. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { clientRoutes, linesOf, linesOfOne } from '../../src/admin/clients.js';
import { type ControlLog, ControlServer } from '../../src/admin/control.js';
import { askBroker } from '../../src/admin/control-client.js';
import type { ToldClient, ToldDetails, ToldSubscription } from '../../src/admin/told-clients.js';
import { Engine, type RawClient } from '../support/engine.js';
import { temporaryFolder } from '../support/portico.js';

const SILENT: ControlLog = { info() {}, warn() {} };
const START = '2023-11-14T22:13:20.000Z';

function listOf({ broker }: Engine, all = false): ToldClient[] {
  return [...linesOf(broker, all)].filter((line) => line !== null) as ToldClient[];
}

/** All lines of one client. */
function allOf({ broker }: Engine, id: string): [ToldClient & ToldDetails, ...ToldSubscription[]] {
  const lines = [...linesOfOne(broker.environment, id)].filter((line) => line !== null);
  return lines as [ToldClient & ToldDetails, ...ToldSubscription[]];
}

/** A control socket of a broker, and its answers. */
async function served(engine: Engine, ask: (directory: string) => Promise<void>, log = SILENT): Promise<void> {
  const directory = temporaryFolder();
  const server = new ControlServer(directory, clientRoutes(engine.broker, log), log);
  await server.open();
  try {
    await ask(directory);
  } finally {
    await server.close();
    await engine.stop();
  }
}

async function values<Value>(answer: IncomingMessage | null): Promise<Value[]> {
  assert.ok(answer !== null);
  const told: Value[] = [];
  for await (const line of createInterface({ input: answer })) told.push(JSON.parse(line) as Value);
  return told;
}

test('a client is listed with who it is, how it came, what its session is and what it has published last', async () => {
  const engine = await Engine.create({ identify: () => true });
  const properties = { sessionExpiryInterval: 60 };
  const options = { protocolVersion: 5, clean: false, keepalive: 30, properties } as const;
  const ann = await engine.connect(
    { clientId: 'meter', username: 'ann', password: Buffer.from('x'), ...options },
    '192.0.2.7:1',
  );
  await ann.subscribe('a/+', 1);
  ann.publish('b/1', 'x');
  await ann.drain();
  await engine.connect({ clientId: 'plain' });
  const [told, plain] = listOf(engine);
  assert.deepEqual(
    { ...told, bytes_sent: 0 },
    {
      client: 'meter',
      username: 'ann',
      connected: true,
      address: '192.0.2.7:1',
      transport: 'mqtt',
      listener: null,
      since: START,
      keepalive: 30,
      protocol: '5.0',
      clean: false,
      kept: true,
      expiry: 60,
      subscriptions: 1,
      waiting: 0,
      waiting_bytes: 0,
      in_flight: 0,
      receiving: 0,
      dropped: 0,
      bytes_received: 0,
      bytes_sent: 0,
      last_topic: 'b/1',
    },
  );
  assert.equal(
    told.bytes_sent,
    Buffer.concat(ann.bytes).length,
    'the bytes that it was sent are those that it has got',
  );
  const { client, username, protocol, clean, kept, expiry, last_topic: topic } = plain;
  assert.deepEqual(
    [client, username, protocol, clean, kept, expiry, topic],
    ['plain', null, '3.1.1', true, false, 0, null],
  );
  await engine.stop();
});

test('a connection without CONNECT, and one that is refused, are no clients', async () => {
  const engine = await Engine.create({ identify: () => false });
  engine.open();
  const refused = await engine.connect({ clientId: 'nobody', username: 'u', password: Buffer.from('p') });
  assert.equal(refused.connack.returnCode, 4);
  assert.deepEqual(listOf(engine, true), []);
  await engine.stop();
});

test('what waits and what is in flight is told, for clients that are there and for those that are away', async () => {
  const engine = await Engine.create({ session: { maxInflight: 2 } });
  const slow = await engine.connect({ clientId: 'slow', clean: false });
  await slow.subscribe('a', 1);
  const publisher = await engine.connect({ clientId: 'publisher' });
  for (let messageId = 1; messageId <= 5; messageId++) {
    publisher.publish('a', 'payload', { qos: 1, messageId });
    await publisher.expect('puback');
  }
  const here = listOf(engine).find(({ client }) => client === 'slow');
  assert.deepEqual([here?.waiting, here?.in_flight], [3, 2]);
  assert.ok((here?.waiting_bytes ?? 0) >= 3 * 'payload'.length);
  engine.clock.advance(5);
  await engine.cut(slow);
  assert.deepEqual(
    listOf(engine).map(({ client }) => client),
    ['publisher'],
  );
  const away = listOf(engine, true).find(({ client }) => client === 'slow');
  assert.ok(away !== undefined);
  assert.deepEqual([away.connected, away.address, away.since, away.kept], [false, null, null, true]);
  assert.deepEqual([away.left, away.left_because], ['2023-11-14T22:13:25.000Z', 'the client closed the connection']);
  assert.equal(away.waiting + away.in_flight, 5);
  await engine.stop();
});

test('a session that is kept is told with when it ends, and with why its client has left before', async () => {
  const engine = await Engine.create();
  const options = {
    clientId: 'c',
    protocolVersion: 5,
    clean: false,
    properties: { sessionExpiryInterval: 3600 },
  } as const;
  await engine.cut(await engine.connect(options));
  assert.equal(listOf(engine, true)[0].expires, '2023-11-14T23:13:20.000Z');
  await engine.cut(await engine.connect({ ...options, properties: { sessionExpiryInterval: 0xffffffff } }));
  assert.deepEqual([listOf(engine, true)[0].expires, listOf(engine, true)[0].expiry], [null, null]);
  await engine.connect(options);
  assert.equal(allOf(engine, 'c')[0].details.left_because, 'the client closed the connection');
  assert.deepEqual(listOf(engine, true).length, 1);
  await engine.stop();
});

test('one client is told with its subscriptions and their options, its will, and what it takes', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({
    clientId: 'c',
    protocolVersion: 5,
    will: { topic: 'gone', payload: Buffer.from('x'), qos: 1, retain: true, properties: { willDelayInterval: 9 } },
    properties: { receiveMaximum: 7, maximumPacketSize: 1000 },
  });
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: '$share/g/a', qos: 2, nl: false, rap: true, rh: 1 }],
    properties: { subscriptionIdentifier: 12 },
  });
  await client.expect('suback');
  await client.subscribe('b/#', 0, 2);
  const [told, ...subscriptions] = allOf(engine, 'c');
  assert.deepEqual(told.details, {
    receive_maximum: 7,
    maximum_packet_size: 1000,
    will: { topic: 'gone', qos: 1, retain: true, delay: 9 },
  });
  const usual = { no_local: false, retain_as_published: false, retain_handling: 0, identifier: 0 };
  assert.deepEqual(subscriptions, [
    {
      subscription: {
        filter: '$share/g/a',
        qos: 2,
        no_local: false,
        retain_as_published: true,
        retain_handling: 1,
        identifier: 12,
      },
    },
    { subscription: { filter: 'b/#', qos: 0, ...usual } },
  ]);
  assert.deepEqual([...linesOfOne(engine.broker.environment, 'nobody')], []);
  await engine.stop();
});

test('messages that a limit has taken from a client are told with it, those that it would not take among them', async () => {
  const engine = await Engine.create({ session: { queuedMessages: 1, maxInflight: 1 } });
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, properties: { maximumPacketSize: 100 } });
  await client.subscribe('a', 1);
  const publisher = await engine.connect({ clientId: 'publisher' });
  publisher.publish('a', Buffer.alloc(200), { qos: 1, messageId: 1 });
  await publisher.expect('puback');
  assert.equal(allOf(engine, 'c')[0].dropped, 1);
  for (let messageId = 1; messageId <= 4; messageId++) {
    publisher.publish('a', 'x', { qos: 1, messageId });
    await publisher.expect('puback');
  }
  assert.equal(allOf(engine, 'c')[0].dropped, 3);
  await engine.stop();
});

test('an admin ends a client: MQTT 5.0 is told 0x98, others are closed, the will is published, the session stays', async () => {
  const engine = await Engine.create();
  const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0, retain: false } as const;
  const watcher = await engine.connect({ clientId: 'watcher' });
  await watcher.subscribe('gone', 0);
  const five = await engine.connect({ clientId: 'five', protocolVersion: 5, will });
  const four = await engine.connect({ clientId: 'four', clean: false, will });
  const lines: string[] = [];
  await served(
    engine,
    async (directory) => {
      const end = async (id: string): Promise<unknown> => {
        const path = `/clients/disconnect?${new URLSearchParams({ client: id })}`;
        return (await values(await askBroker(directory, 'POST', path)))[0];
      };
      assert.deepEqual(await end('five'), { disconnected: 1 });
      const { reasonCode, properties } = await five.expect('disconnect');
      assert.deepEqual([reasonCode, properties?.reasonString], [0x98, 'disconnected by an admin']);
      await five.end();
      assert.deepEqual(await end('four'), { disconnected: 1 });
      await four.end();
      for (let wills = 0; wills < 2; wills++) await watcher.expect('publish');
      assert.deepEqual(await end('four'), { disconnected: 0 });
      assert.equal(allOf(engine, 'four')[0].left_because, 'disconnected by an admin');
      await assert.rejects(askBroker(directory, 'POST', '/clients/disconnect'), /no client is named/);
    },
    { ...SILENT, info: (line) => void lines.push(line) },
  );
  assert.equal(lines[0], 'an admin disconnects client "five": 1 ended');
});

test('5,000 clients are listed in slices: messages flow meanwhile, and each client is told once', async () => {
  const engine = await Engine.create();
  const CLIENTS = 5000;
  const subscriber = await engine.connect({ clientId: 'subscriber' });
  await subscriber.subscribe('a', 0);
  const others: RawClient[] = [];
  for (let i = 0; i < CLIENTS; i++) others.push(await engine.connect({ clientId: `client ${i}` }));
  await served(engine, async (directory) => {
    let done = false;
    const list = askBroker(directory, 'GET', '/clients')
      .then((answer) => values<ToldClient>(answer))
      .finally(() => {
        done = true;
      });
    let delivered = 0;
    while (!done) {
      others[delivered % CLIENTS].publish('a', 'x');
      await subscriber.expect('publish');
      delivered++;
    }
    const told = (await list).map(({ client }) => client);
    assert.equal(new Set(told).size, CLIENTS + 1);
    assert.equal(told.length, CLIENTS + 1);
    assert.ok(delivered > CLIENTS / 500, `${delivered} messages were delivered meanwhile`);
  });
});

test('clients that go while they are listed are left out, and the list ends although new ones come', async () => {
  const engine = await Engine.create();
  const clients: RawClient[] = [];
  for (let i = 0; i < 4; i++) clients.push(await engine.connect({ clientId: `${i}` }));
  const told: (string | undefined)[] = [];
  for (const line of linesOf(engine.broker, false)) {
    told.push((line as ToldClient).client);
    if (told.length === 1) await engine.cut(clients[2]);
    await engine.connect({ clientId: `new ${told.length}` });
  }
  assert.deepEqual(told, ['0', '1', '3', 'new 1']);
  await engine.stop();
});
