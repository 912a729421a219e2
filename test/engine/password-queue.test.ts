/** What clients get while passwords are checked, and when too many wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PasswordSource, Passwords } from '../../src/access/passwords.js';
import type { BrokerOptions } from '../../src/broker.js';
import { Engine, type RawClient } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';

/** Checks that end when the test says so. */
class Gate implements PasswordSource {
  readonly users: string[] = [];
  readonly #waiting: (() => void)[] = [];
  #open = false;

  async verify(username: string, password: Uint8Array): Promise<boolean> {
    this.users.push(username);
    if (!this.#open) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return Buffer.from(password).toString() === 'right';
  }

  open(): void {
    this.#open = true;
    for (const resolve of this.#waiting) resolve();
  }
}

function scene(queue: number): { gate: Gate; options: BrokerOptions } {
  const gate = new Gate();
  const passwords = new Passwords(gate, { queue, cache: 60 });
  const identify: BrokerOptions['identify'] = (username = '', password = Buffer.alloc(0), _anonymous, wanted) =>
    passwords.verify(username, password, wanted);
  return { gate, options: { identify } };
}

const user = (username: string, password = 'right') => ({
  clientId: username,
  username,
  password: Buffer.from(password),
});

test('limits.password_queue: one password too many is refused with 0x89, before MQTT 5.0 with return code 3', async () => {
  const { gate, options } = scene(1);
  const engine = await Engine.create(options);
  const reached = limitsOf(engine);
  const waiting = ['a', 'b', 'c'].map((name) => engine.connect(user(name)));
  const old = await engine.connect({ ...user('d'), protocolVersion: 4 });
  assert.equal(old.connack.returnCode, 3);
  await old.end();
  const recent = await engine.connect({ ...user('d'), protocolVersion: 5 });
  assert.equal(recent.connack.reasonCode, 0x89);
  assert.equal(recent.connack.properties?.reasonString, 'limits.password_queue is reached');
  await recent.end();
  assert.equal(engine.broker.counters.refusedAtPasswordQueue, 2);
  assert.equal(engine.broker.counters.refusedConnections, 2);
  assert.equal(engine.broker.counters.deniedConnect, 0);
  assert.deepEqual(reached, ['limits.password_queue', 'limits.password_queue']);
  gate.open();
  for (const { connack } of await Promise.all(waiting)) assert.equal(connack.returnCode, 0);
  const { connack } = await engine.connect(user('d'));
  assert.equal(connack.returnCode, 0);
  await engine.stop();
});

test('a device over CoAP that finds the queue full is told to come again', async () => {
  const { gate, options } = scene(1);
  const engine = await Engine.create(options);
  const waiting = ['a', 'b', 'c'].map((name) => engine.connect(user(name)));
  // The third waits once the broker has read its CONNECT.
  const full = await engine.connect(user('d'));
  assert.equal(full.connack.returnCode, 3);
  const identity = { id: 'device', username: 'd', remote: '192.0.2.1:5683', transport: 'coap' };
  const credentials = { anonymous: false, keepalive: 60, password: Buffer.from('right') };
  const refusal = await engine.broker.connectClient(identity, credentials);
  assert.ok('reasonCode' in refusal);
  assert.equal(refusal.reasonCode, 0x89);
  gate.open();
  await Promise.all(waiting);
  await engine.stop();
});

test('a client that was given up before its turn costs nothing', async () => {
  const { gate, options } = scene(10);
  const engine = await Engine.create(options);
  const send = (name: string): RawClient => {
    const client = engine.open(4);
    client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 0, clean: true, ...user(name) });
    return client;
  };
  const early = ['a', 'b', 'gone'].map(send);
  const read = async (connects: number): Promise<void> => {
    while (engine.broker.counters.connects < connects) await new Promise((resolve) => setImmediate(resolve));
  };
  await read(3);
  engine.pass(21);
  const last = engine.connect(user('c', 'wrong'));
  await read(4);
  engine.pass(20);
  await Promise.all(early.map((client) => client.end()));
  gate.open();
  assert.equal((await last).connack.returnCode, 4);
  assert.deepEqual(gate.users, ['a', 'b', 'c']);
  await engine.stop();
});

test('mqtt.connect_timeout: up to 30 s of waiting for its password do not count against a client', async () => {
  const { gate, options } = scene(10);
  const engine = await Engine.create(options);
  const silent = engine.open(4);
  const waiting = engine.connect(user('a'));
  while (engine.broker.counters.connects < 1) await new Promise((resolve) => setImmediate(resolve));
  engine.pass(11);
  await silent.end();
  engine.pass(28);
  assert.equal(engine.broker.counters.connectTimeouts, 1);
  gate.open();
  assert.equal((await waiting).connack.returnCode, 0);
  await engine.stop();
});
