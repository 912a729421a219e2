/** Code written for Aedes works on Portico: a published extension unchanged, hooks, events and the client registry. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { Broker } from '../../src/broker.js';
import { Engine } from '../support/engine.js';

const require = createRequire(import.meta.url);

describe('Aedes', () => {
  test('Broker is an Aedes, and its handle serves net.createServer', async () => {
    const broker = await Broker.createBroker();
    assert.ok(broker instanceof Aedes);
    const server = createServer(broker.handle as never).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const client = await mqtt.connectAsync({ host: '127.0.0.1', port });
    const received = new Promise<string>((resolve) => client.once('message', (topic) => resolve(topic)));
    await client.subscribeAsync('t', { qos: 1 });
    await client.publishAsync('t', 'x', { qos: 1 });
    assert.equal(await received, 't');
    await client.endAsync();
    server.close();
    await broker.stop();
  });

  test('aedes-stats, as published, counts clients and messages', async () => {
    const engine = await Engine.create();
    const stats = require('aedes-stats') as (broker: unknown, options: { interval: number }) => void;
    stats(engine.broker, { interval: 10 });
    const client = await engine.connect({ clientId: 'c' });
    await client.subscribe('$SYS/+/clients/total', 0);
    client.publish('t', 'x');
    const packet = await client.expect('publish');
    assert.equal(packet.payload.toString(), '1');
    assert.equal(packet.topic, `$SYS/${engine.broker.id}/clients/total`);
    const seen = (engine.broker as unknown as { stats: { publishedMessages: number; connectedClients: number } }).stats;
    assert.deepEqual([seen.publishedMessages, seen.connectedClients], [1, 1]);
    await engine.stop();
  });

  test('preConnect refuses a connection before it has a name', async () => {
    const engine = await Engine.create({
      preConnect: (_client, packet, done) => done(null, packet.clientId !== 'bad'),
    });
    const refused = engine.open();
    refused.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'bad',
      clean: true,
      keepalive: 0,
    });
    await refused.end();
    await engine.connect({ clientId: 'good' });
    await engine.stop();
  });

  test('authenticate decides on user name and password, with Aedes’ return codes', async () => {
    const engine = await Engine.create({
      authenticate: (_client, username, password, done) => {
        if (username === 'u' && password?.toString() === 'p') return done(null, true);
        done(Object.assign(new Error('no'), { returnCode: 4 }) as never, false);
      },
    });
    const good = await engine.connect({ clientId: 'a', username: 'u', password: Buffer.from('p') });
    assert.equal(good.connack.returnCode, 0);
    const bad = await engine.connect({ clientId: 'b', username: 'u', password: Buffer.from('q') });
    assert.equal(bad.connack.returnCode, 4);
    await bad.end();
    assert.deepEqual(Object.keys(engine.broker.clients), ['a']);
    await engine.stop();
  });

  test('authorizePublish may change or refuse a packet, also later; what comes after it waits', async () => {
    const engine = await Engine.create({
      authorizePublish: (_client, packet, done) => {
        if (packet.topic === 'secret') return done(new Error('not yours'));
        packet.payload = Buffer.from(`${packet.payload}!`);
        setImmediate(done);
      },
    });
    const watcher = await engine.connect({ clientId: 'w' });
    await watcher.subscribe('#', 1);
    const client = await engine.connect({ clientId: 'p', protocolVersion: 5 });
    client.publish('a', '1', { qos: 1, messageId: 1 });
    client.publish('b', '2', { qos: 1, messageId: 2 });
    client.publish('secret', '3', { qos: 1, messageId: 3 });
    for (const expected of [0, 0, 0x87]) assert.equal((await client.expect('puback')).reasonCode ?? 0, expected);
    for (const expected of ['1!', '2!']) {
      const packet = await watcher.expect('publish');
      assert.equal(packet.payload.toString(), expected);
    }
    assert.deepEqual(await watcher.drain(), []);
    await engine.stop();
  });

  test('authorizeSubscribe may lower the QoS and refuse', async () => {
    const engine = await Engine.create({
      authorizeSubscribe: (_client, subscription, done) =>
        done(null, subscription.topic === 'no' ? null : { ...subscription, qos: 0 }),
    });
    const client = await engine.connect({ clientId: 'c' });
    client.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [
        { topic: 'yes', qos: 2 },
        { topic: 'no', qos: 2 },
      ],
    });
    assert.deepEqual((await client.expect('suback')).granted, [0, 0x80]);
    await engine.stop();
  });

  test('authorizeForward may change or withhold a packet per client', async () => {
    const engine = await Engine.create({
      authorizeForward: (client, packet) => {
        if (client.id === 'blind') return null;
        packet.payload = Buffer.from(`${packet.payload} for ${client.id}`);
        return packet;
      },
    });
    const blind = await engine.connect({ clientId: 'blind' });
    await blind.subscribe('t', 1);
    const seeing = await engine.connect({ clientId: 'seeing' });
    await seeing.subscribe('t', 1);
    engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
    assert.equal((await seeing.expect('publish')).payload.toString(), 'x for seeing');
    assert.deepEqual(await blind.drain(), []);
    await engine.stop();
  });

  test('events tell of clients, packets, subscriptions and acknowledgements', async () => {
    const engine = await Engine.create();
    const events: string[] = [];
    for (const event of [
      'client',
      'clientReady',
      'connackSent',
      'subscribe',
      'unsubscribe',
      'publish',
      'ack',
      'ping',
    ] as const) {
      engine.broker.on(event as 'client', () => events.push(event));
    }
    const client = await engine.connect({ clientId: 'c' });
    await client.subscribe('t', 1);
    client.publish('t', 'x');
    engine.broker.clients.c.publish({ topic: 't', payload: 'direct', qos: 1 });
    await client.expect('publish');
    const direct = await client.expect('publish');
    client.send({ cmd: 'puback', messageId: direct.messageId as number });
    client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['t'] });
    await client.expect('unsuback');
    client.send({ cmd: 'pingreq' });
    await client.expect('pingresp');
    assert.deepEqual(
      [...new Set(events)].sort(),
      ['ack', 'client', 'clientReady', 'connackSent', 'ping', 'publish', 'subscribe', 'unsubscribe'].sort(),
    );
    const gone = once(engine.broker, 'clientDisconnect');
    engine.broker.clients.c.close();
    await gone;
    assert.equal(engine.broker.connectedClients, 0);
    await engine.stop();
  });

  test('broker.subscribe and broker.publish reach the same bus as clients', async () => {
    const engine = await Engine.create();
    const client = await engine.connect({ clientId: 'c' });
    await client.subscribe('out', 0);
    await new Promise<void>((resolve) => {
      engine.broker.subscribe(
        'in/+',
        (packet, done) => {
          engine.broker.publish({ topic: 'out', payload: `echo ${packet.payload}` });
          done();
        },
        resolve,
      );
    });
    client.publish('in/1', 'x');
    assert.equal((await client.expect('publish')).payload.toString(), 'echo x');
    await engine.stop();
  });

  test('the persistence seam shows retained messages, subscriptions and wills of live sessions', async () => {
    const engine = await Engine.create();
    const { persistence } = engine.broker;
    const will = { topic: 'w', payload: Buffer.from('gone'), qos: 0, retain: false } as const;
    const client = await engine.connect({ clientId: 'c', clean: false, will });
    await client.subscribe('a/+', 1);
    client.publish('a/b', 'x', { retain: true, qos: 1, messageId: 1 });
    const retained: string[] = [];
    // The copy for itself leaves at once, the acknowledgement after the commit.
    assert.equal((await client.expect('publish')).topic, 'a/b');
    await client.expect('puback');
    for await (const packet of persistence.createRetainedStream('a/#')) retained.push(packet.topic);
    assert.deepEqual(retained, ['a/b']);
    assert.deepEqual(
      (await persistence.subscriptionsByTopic('a/z')).map(({ clientId, topic }) => [clientId, topic]),
      [['c', 'a/+']],
    );
    assert.deepEqual(await persistence.countOffline(), { subsCount: 1, clientsCount: 1 });
    assert.equal((await persistence.getWill({ id: 'c' }))?.topic, 'w');
    await persistence.outgoingEnqueue({ clientId: 'c' }, {
      topic: 'direct',
      payload: Buffer.from('y'),
      qos: 1,
    } as never);
    assert.equal((await client.expect('publish')).topic, 'direct');
    await engine.stop();
  });
});
