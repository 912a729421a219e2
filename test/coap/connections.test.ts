/** Connections of CoAP devices: `mqtt/connection` as EMQX's gateway has it, and DTLS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BrokerOptions } from '../../src/broker.js';
import { SILENT } from '../../src/session/journal.js';
import { type Device, Face } from '../support/coap-face.js';
import { number, OPT } from './harness.js';

const OBSERVE = { token: '0a', options: [[OPT.observe, 0]] } as const;

/** Users and their passwords, and what the log tells of clients. */
function guarded(): BrokerOptions & { readonly lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    identify: (username, password, anonymous) =>
      username === undefined ? anonymous : username === 'tom' && String(password) === 'secret',
    journal: {
      ...SILENT,
      connected: ({ id, username }) => lines.push(`connected ${id} ${username}`),
      disconnected: ({ id }, reason) => lines.push(`disconnected ${id}: ${reason}`),
      refused: (_party, reason) => lines.push(`refused: ${reason}`),
    },
  };
}

async function tokenOf(device: Device, query: string): Promise<string> {
  const made = await device.ask('post', `/mqtt/connection?${query}`);
  assert.equal(made.code, '2.01');
  return made.payload.toString();
}

test('POST makes a connection and answers its token; requests with it are of its client, from any address', async () => {
  const broker = guarded();
  const face = await Face.create({ anonymous: false, insecure_password: true }, broker);
  const subscriber = await face.engine.connect({ clientId: 'mqtt', username: 'tom', password: Buffer.from('secret') });
  await subscriber.subscribe('a', 1);
  const token = await tokenOf(face.device(), 'clientid=dev&username=tom&password=secret');
  assert.match(token, /^[\w-]{22}$/);
  const elsewhere = face.device();
  assert.equal((await elsewhere.ask('post', `/ps/a?clientid=dev&token=${token}`, { payload: '1' })).code, '2.04');
  assert.equal(String((await subscriber.expect('publish')).payload), '1');
  assert.equal((await elsewhere.ask('post', `/ps/a?c=dev&t=${token}`, { payload: '2' })).code, '2.04', 'short names');
  assert.equal((await elsewhere.ask('post', `/ps/a?c=other&t=${token}`, { payload: '3' })).code, '4.01');
  const refused = async (query: string): Promise<string[]> => {
    const { code, payload } = await elsewhere.ask('post', `/ps/a${query}`, { payload: '3' });
    return [code, String(payload)];
  };
  assert.deepEqual(await refused('?c=dev&t=guessed'), ['4.01', 'unknown token, or of another clientid']);
  assert.deepEqual(await refused(''), ['4.01', 'anonymous devices are not served here']);
  const heartbeat = await elsewhere.ask('put', '/mqtt/connection?c=dev&t=guessed');
  assert.deepEqual([heartbeat.code, String(heartbeat.payload)], ['4.01', 'unknown token, or of another clientid']);
  assert.deepEqual(
    [...face.engine.broker.sessions.inProcess.values()].map(({ id, username }) => [id, username]),
    [['dev', 'tom']],
  );
  assert.equal((await elsewhere.ask('delete', `/mqtt/connection?clientid=dev&token=${token}`)).code, '2.02');
  assert.equal((await elsewhere.ask('post', `/ps/a?c=dev&t=${token}`, { payload: '3' })).code, '4.01');
  assert.deepEqual(broker.lines.slice(1), ['connected dev tom', 'disconnected dev: the device ended its connection']);
  assert.equal(face.engine.broker.sessions.inProcess.size, 0);
  await face.stop();
});

test('credentials are those of MQTT clients: a wrong password is 4.01, counted and logged', async () => {
  const broker = guarded();
  const face = await Face.create({ anonymous: false, insecure_password: true }, broker);
  const refused = await face.device().ask('post', '/mqtt/connection?c=dev&u=tom&p=wrong');
  assert.deepEqual([refused.code, String(refused.payload)], ['4.01', 'bad user name or password']);
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=dev')).code, '4.01');
  assert.equal((await face.device().ask('post', '/mqtt/connection?u=tom&p=secret')).code, '4.00', 'no clientid');
  assert.equal(face.engine.broker.counters.deniedConnect, 2);
  assert.deepEqual(broker.lines, [
    'refused: bad user name or password',
    'refused: no user name, and anonymous clients are not allowed',
  ]);
  await face.stop();
});

test('the hook authenticate is asked with the client; an error of it is 4.01, one that is thrown 5.00', async () => {
  const asked: string[] = [];
  const face = await Face.create(
    { insecure_password: true },
    {
      authenticate: (client, username, password, done) => {
        asked.push(`${client.id} ${username} ${password}`);
        if (username === 'throw') throw new Error('a fault of the hook');
        done(null, username === 'tom');
      },
    },
  );
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=1&u=tom&p=x')).code, '2.01');
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=2&u=eve&p=y')).code, '4.01');
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=3&u=throw&p=z')).code, '5.00');
  assert.deepEqual(asked, ['1 tom x', '2 eve y', '3 throw z']);
  assert.deepEqual(face.log, ['coap: a request could not be served']);
  await face.stop();
});

test('a user name and a password in other requests say nothing: who has no token is anonymous', async () => {
  for (const anonymous of [true, false]) {
    const face = await Face.create({ anonymous, insecure_password: true }, guarded());
    const put = (query: string) => face.device().ask('put', `/ps/a?${query}`, { payload: '1' });
    for (const query of ['u=tom&p=secret', 'u=tom&p=wrong', 'username=tom&password=secret']) {
      assert.match((await put(query)).code, anonymous ? /^2\.0[14]$/ : /^4\.01$/);
    }
    assert.deepEqual([...face.engine.broker.sessions.inProcess], []);
    await face.stop();
  }
});

test('coap.insecure_password: a password without DTLS is refused with 4.01 unless it is true', async () => {
  const face = await Face.create({ anonymous: false }, guarded());
  const refused = await face.device().ask('post', '/mqtt/connection?c=dev&u=tom&p=secret');
  assert.equal(refused.code, '4.01');
  assert.match(String(refused.payload), /coap\.insecure_password/);
  const secured = face.device({ identity: 'psk' });
  assert.equal((await secured.ask('post', '/mqtt/connection?c=dev&u=tom&p=secret')).code, '2.01');
  await face.stop();
});

test('a second connection of a client identifier takes over the first, which ends with its observations', async () => {
  const broker = guarded();
  const face = await Face.create({}, broker);
  const first = face.device();
  const token = await tokenOf(first, 'clientid=dev');
  const observed = await first.ask('get', `/ps/a?t=${token}`, OBSERVE);
  assert.notEqual(number(observed, OPT.observe), undefined);
  const second = await tokenOf(face.device(), 'clientid=dev');
  const last = await first.next();
  assert.deepEqual([last.code, number(last, OPT.observe)], ['4.01', undefined]);
  assert.equal((await first.ask('put', `/mqtt/connection?c=dev&t=${token}`)).code, '4.01');
  assert.equal((await first.ask('put', `/mqtt/connection?c=dev&t=${second}`)).code, '2.04');
  assert.equal(face.engine.broker.counters.takeovers, 1);
  assert.match(broker.lines[1], /^disconnected dev: another connection took over/);
  await face.stop();
});

test('a connection ends after one and a half times coap.heartbeat in silence, and a heartbeat keeps it', async () => {
  const broker = guarded();
  const face = await Face.create({ heartbeat: 10 }, broker);
  const device = face.device();
  const [kept, silent] = [await tokenOf(device, 'c=kept'), await tokenOf(device, 'c=silent')];
  face.pass(14);
  assert.equal((await device.ask('put', `/mqtt/connection?c=kept&t=${kept}`)).code, '2.04');
  face.pass(2);
  assert.equal(face.connections.size, 1);
  assert.equal((await device.ask('get', `/ps/a?t=${silent}`)).code, '4.01');
  assert.equal((await device.ask('get', `/ps/a?t=${kept}`)).code, '4.04');
  assert.equal(face.engine.broker.counters.coapTimeouts, 1);
  assert.match(
    broker.lines[2],
    /^disconnected silent: nothing heard for one and a half times coap\.heartbeat \(10 s\)$/,
  );
  await face.stop();
});

test('a device whose address has changed observes anew with its token; nobody acknowledges at the former address, which ends there', async () => {
  const face = await Face.create();
  const [device, moved, publisher] = [face.device(), face.device(), face.device()];
  const token = await tokenOf(device, 'clientid=dev');
  await device.ask('get', `/ps/a?t=${token}`, OBSERVE);
  assert.equal((await moved.ask('put', `/mqtt/connection?c=dev&t=${token}`)).code, '2.04');
  assert.notEqual(number(await moved.ask('get', `/ps/a?t=${token}`, OBSERVE), OPT.observe), undefined);
  const [client] = face.engine.broker.sessions.inProcess.values();
  assert.deepEqual([client.id, client.subscriptions], ['dev', 2]);
  await publisher.ask('post', '/ps/a', { payload: '1' });
  const notification = await moved.next();
  assert.equal(String(notification.payload), '1');
  moved.acknowledge(notification);
  face.bench.clock.advance(200_000);
  face.bench.transport.sent.splice(0);
  assert.equal(client.subscriptions, 1);
  await publisher.ask('post', '/ps/a', { payload: '2' });
  assert.equal(String((await moved.next()).payload), '2');
  await device.none();
  await face.stop();
});

test('coap.connections: one connection too many is refused with 5.03, counted, and named in the log', async () => {
  const face = await Face.create({ connections: 1 });
  const token = await tokenOf(face.device(), 'c=1');
  const refused = await face.device().ask('post', '/mqtt/connection?c=2');
  assert.deepEqual(
    [refused.code, number(refused, OPT.maxAge), String(refused.payload)],
    ['5.03', 10, 'coap.connections is reached'],
  );
  assert.equal(face.engine.broker.counters.refusedCoapConnections, 1);
  assert.deepEqual(face.limits, ['coap.connections']);
  const again = await tokenOf(face.device(), 'c=1');
  assert.equal((await face.device().ask('delete', `/mqtt/connection?c=1&t=${token}`)).code, '4.01', 'taken over');
  assert.equal(face.connections.size, 1);
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=2')).code, '5.03');
  assert.equal((await face.device().ask('delete', `/mqtt/connection?c=1&t=${again}`)).code, '2.02');
  await tokenOf(face.device(), 'c=2');
  await face.stop();
});

test('coap.connections holds for devices that come at once, too', async () => {
  const face = await Face.create({ connections: 1 });
  const asked = ['1', '2'].map((id) => face.device().ask('post', `/mqtt/connection?c=${id}`));
  assert.deepEqual((await Promise.all(asked)).map(({ code }) => code).sort(), ['2.01', '5.03']);
  assert.deepEqual([face.connections.size, face.engine.broker.counters.refusedCoapConnections], [1, 1]);
  assert.equal(face.engine.broker.sessions.inProcess.size, 1);
  await face.stop();
});

test('limits.connections and draining hold for devices too: 5.03', async () => {
  const face = await Face.create({}, { session: { connections: 1 } });
  await tokenOf(face.device(), 'c=1');
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=2')).code, '5.03');
  assert.equal(face.engine.broker.counters.refusedAtConnections, 1);
  face.engine.broker.drain();
  assert.equal(face.connections.size, 0, 'those there are are sent away');
  assert.equal((await face.device().ask('post', '/mqtt/connection?c=2')).code, '5.03');
  assert.equal(face.engine.broker.counters.refusedDraining, 1);
  await face.stop();
});

test('an identity that DTLS has proved is the user name, and connected from the first request on', async () => {
  const broker = guarded();
  const face = await Face.create({ anonymous: false, heartbeat: 10 }, broker);
  const device = face.device({ identity: 'meter-7' });
  assert.equal((await device.ask('put', '/ps/a', { payload: '1' })).code, '2.01', 'the payload outlives the question');
  assert.equal(String((await device.ask('get', '/ps/a')).payload), '1');
  const [client] = face.engine.broker.sessions.inProcess.values();
  assert.deepEqual([client.username, broker.lines], ['meter-7', [`connected ${client.id} meter-7`]]);
  await device.ask('get', '/ps/a', OBSERVE);
  face.pass(100);
  assert.equal(face.connections.size, 1, 'who observes may be silent');
  await device.ask('get', '/ps/a', { token: '0a', options: [[OPT.observe, 1]] });
  face.pass(16);
  assert.equal(face.connections.size, 0);
  assert.equal((await device.ask('get', '/ps/a')).code, '2.05', 'it is connected again with its next request');
  await face.stop();
});

test('an identity that the hook authenticate refuses is 4.01', async () => {
  const face = await Face.create(
    { anonymous: true },
    { authenticate: (_client, username, _password, done) => done(null, username !== 'eve') },
  );
  assert.equal((await face.device({ identity: 'eve' }).ask('get', '/ps/a')).code, '4.01');
  assert.equal((await face.device({ identity: 'tom' }).ask('get', '/ps/a')).code, '4.04');
  await face.stop();
});

test('a device without credentials may name itself, as an MQTT client without user name may', async () => {
  const face = await Face.create();
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/a?c=lamp', { payload: '1' })).code, '2.01');
  assert.equal(face.engine.broker.router.retained.get('a')?.publisherId, 'lamp');
  assert.equal((await device.ask('put', '/ps/a', { payload: '1' })).code, '2.04');
  assert.equal(face.engine.broker.router.retained.get('a')?.publisherId, 'lamp');
  assert.equal(face.engine.broker.sessions.inProcess.size, 0, 'it has no connection');
  await face.stop();
});

test('devices with names of their own at one address do not end each other’s observations', async () => {
  for (const reliable of [false, true]) {
    const face = await Face.create();
    const { counters } = face.engine.broker;
    const before = counters.subscriptions;
    const gateway = face.device(undefined, reliable);
    await gateway.ask('get', '/ps/a?c=one', OBSERVE);
    assert.equal((await gateway.ask('put', '/ps/b?c=two', { payload: '1' })).code, '2.01');
    assert.equal(face.engine.broker.router.retained.get('b')?.publisherId, 'two');
    await gateway.ask('get', '/ps/b?c=two', { token: '0b', options: [[OPT.observe, 0]] });
    for (const name of ['three', 'one', 'four']) {
      assert.equal((await gateway.ask('post', `/ps/c?c=${name}`, { payload: '1' })).code, '2.04');
    }
    const publisher = face.device();
    await publisher.ask('post', '/ps/a?q=0', { payload: 'for one' });
    const one = await gateway.next();
    assert.deepEqual([one.token, String(one.payload)], ['0a', 'for one']);
    await publisher.ask('post', '/ps/b?q=0', { payload: 'for two' });
    const two = await gateway.next();
    assert.deepEqual([two.token, String(two.payload)], ['0b', 'for two']);
    if (reliable) {
      assert.equal(counters.subscriptions, before + 2);
      gateway.leave();
    } else {
      await gateway.ask('get', '/ps/a?c=one', { token: '0a', options: [[OPT.observe, 1]] });
      await gateway.ask('get', '/ps/b?c=two', { token: '0b', options: [[OPT.observe, 1]] });
    }
    assert.equal(counters.subscriptions, before);
    await face.stop();
  }
});

test('when the broker ends or is drained, observations end with 5.03 and the time to try again', async () => {
  const ends: readonly (readonly [boolean, (face: Face) => void])[] = [
    [false, (face) => face.strangers.close()],
    [true, (face) => face.connections.close()],
    [true, (face) => face.engine.broker.drain()],
    [true, (face) => face.engine.broker.drain('permanent')],
  ];
  for (const [connected, end] of ends) {
    for (const uri of ['/ps/a?c=dev', '/ps/+?c=dev', '/ps/a?c=dev&session=s']) {
      const face = await Face.create();
      const device = face.device();
      const token = connected ? `&t=${await tokenOf(device, 'clientid=dev')}` : '';
      assert.notEqual(number(await device.ask('get', uri + token, OBSERVE), OPT.observe), undefined);
      end(face);
      const last = await device.next();
      assert.deepEqual([last.code, number(last, OPT.maxAge), number(last, OPT.observe)], ['5.03', 10, undefined]);
      device.acknowledge(last);
      await device.none();
      await face.stop();
    }
  }
});

test('another method on mqtt/connection is 4.05', async () => {
  const face = await Face.create();
  assert.equal((await face.device().ask('get', '/mqtt/connection')).code, '4.05');
  await face.stop();
});
