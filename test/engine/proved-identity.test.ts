/** A client whose user name its transport has proved, by a certificate or a key: what CONNECT says does not count. */
import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { StreamTransport } from '../../src/session/transport.js';
import { type Engine, RawClient } from '../support/engine.js';
import { connectPacket, withEngine } from './puppet.js';

/** A connection that has proved to be a user, on a listener without anonymous clients. */
function open(engine: Engine, username: string | null, version: 4 | 5): RawClient {
  const [near, far]: Duplex[] = duplexPair();
  near.once('close', () => far.destroy());
  far.once('close', () => near.destroy());
  engine.broker.accept(new StreamTransport(far), undefined, false, null, { username });
  return new RawClient(near, version);
}

const connect = (options: Partial<IConnectPacket> = {}): IConnectPacket => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clientId: 'client',
  clean: true,
  keepalive: 0,
  ...options,
});

/** There is no password that is right. */
const NOBODY = { identify: () => false };

test('it needs no password, and the user name of CONNECT does not count', () =>
  withEngine(async (engine) => {
    for (const said of [{}, { username: 'tom' }, { username: 'tom', password: Buffer.from('wrong') }]) {
      const client = open(engine, 'device', 4);
      client.send(connect(said));
      assert.equal((await client.expect('connack')).returnCode, 0);
      assert.equal(engine.broker.clients.client?.username, 'device');
      client.destroy();
      await client.end();
    }
  }, NOBODY));

test('a client that has proved nothing is asked as ever', () =>
  withEngine(async (engine) => {
    const client = open(engine, null, 4);
    client.send(connect());
    assert.equal((await client.expect('connack')).returnCode, 5);
  }, NOBODY));

test('the hook authenticate is asked with the proved user name and without a password, and may refuse', () =>
  withEngine(async (engine) => {
    const asked: unknown[] = [];
    engine.broker.authenticate = (_client, username, password, done) => {
      asked.push([username, password]);
      done(null, false);
    };
    const client = open(engine, 'device', 4);
    client.send(connect({ username: 'tom', password: Buffer.from('secret') }));
    assert.equal((await client.expect('connack')).returnCode, 5);
    assert.deepEqual(asked, [['device', undefined]]);
  }, NOBODY));

test('a reload of passwords does not send it away, neither while a hook is asked about it nor afterwards', () =>
  withEngine(async (engine) => {
    const everybody = (): number => engine.broker.endClients(() => true, 'its user is gone');
    const hook = new Promise<() => void>((resolve) => {
      engine.broker.authenticate = (_client, _username, _password, done) => resolve(() => done(null, true));
    });
    const client = open(engine, 'device', 4);
    client.send(connect({ username: 'tom' }));
    const answer = await hook;
    assert.equal(everybody(), 0);
    answer();
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.equal(everybody(), 0);
    assert.equal(client.closed, false);
  }, NOBODY));

test('an authentication method that CONNECT names has to say the same user', () =>
  withEngine(async (engine) => {
    const other = open(engine, 'device', 5);
    other.send(connectPacket('user:alice'));
    assert.equal((await other.expect('connack')).reasonCode, 0x87);
    const same = open(engine, 'device', 5);
    same.send(connectPacket('user:device', { username: 'tom' }));
    assert.equal((await same.expect('connack')).reasonCode, 0);
    assert.equal(engine.broker.clients.client?.username, 'device');
  }, NOBODY));
