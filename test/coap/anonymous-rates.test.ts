/** The rates of devices that do not say who they are: a name or a port of their own gets them no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import { AddressRates, MOST_ADDRESSES } from '../../src/session/address-rates.js';
import { DEFAULT_OPTIONS } from '../../src/session/default-options.js';
import { SILENT } from '../../src/session/journal.js';
import { type Device, Face } from '../support/coap-face.js';
import { limitsOf } from '../support/limits.js';
import { number, OPT } from './harness.js';

const TWO = { session: { messagesPerSecond: 2 } };

async function codes(device: Device, ...uris: string[]): Promise<string[]> {
  const seen = [];
  for (const uri of uris) seen.push((await device.ask('post', uri, { payload: 'x' })).code);
  return seen;
}

test('an anonymous device that changes its clientid in each request gets no more messages per second for it', async () => {
  const face = await Face.create({}, TWO);
  const limits = limitsOf(face.engine);
  const device = face.device();
  const uris = ['/ps/a?c=1', '/ps/a?c=2', '/ps/a?c=3', '/ps/a?clientid=4'];
  assert.deepEqual(await codes(device, ...uris), ['2.04', '2.04', '4.29', '4.29']);
  assert.equal(face.engine.broker.counters.throttledMessages, 2);
  assert.deepEqual(limits, ['limits.messages_per_second'], 'one line in a minute');
  face.pass(1);
  assert.deepEqual(await codes(device, '/ps/a?c=5'), ['2.04']);
  await face.stop();
});

test('anonymous devices count by their address, whatever their port, name or kind of connection', async () => {
  const face = await Face.create({}, TWO);
  const first = face.device();
  const token = String((await first.ask('post', '/mqtt/connection?c=own')).payload);
  assert.deepEqual(await codes(first, '/ps/a', `/ps/a?t=${token}`), ['2.04', '2.04']);
  assert.deepEqual(await codes(first.moved(), '/ps/a', `/ps/a?t=${token}`), ['4.29', '4.29']);
  assert.deepEqual(await codes(face.device({}, false), '/ps/a'), ['4.29'], 'over DTLS');
  assert.deepEqual(await codes(face.device(undefined, true), '/ps/a'), ['4.29'], 'over TCP');
  assert.deepEqual(await codes(face.device(undefined, false, '192.0.2.2'), '/ps/a'), ['2.04'], 'of another address');
  await face.stop();
});

test('an IPv6 address counts by its /64', async () => {
  const face = await Face.create({}, TWO);
  const at = (address: string): Device => face.device(undefined, false, address);
  assert.deepEqual(await codes(at('2001:db8::1'), '/ps/a'), ['2.04']);
  assert.deepEqual(await codes(at('2001:db8::2:3'), '/ps/a', '/ps/a'), ['2.04', '4.29']);
  assert.deepEqual(await codes(at('2001:db8:0:1::1'), '/ps/a'), ['2.04']);
  await face.stop();
});

test('a device with an identity has rates of its own, beside others at its address', async () => {
  const face = await Face.create({}, TWO);
  assert.deepEqual(await codes(face.device(), '/ps/a', '/ps/a', '/ps/a'), ['2.04', '2.04', '4.29']);
  for (const identity of ['one', 'two']) {
    assert.deepEqual(await codes(face.device({ identity }), '/ps/a', '/ps/a', '/ps/a'), ['2.04', '2.04', '4.29']);
  }
  await face.stop();
});

test('limits.bytes_per_second: bytes under one name are paid for by the next; Max-Age says when', async () => {
  const face = await Face.create({}, { session: { bytesPerSecond: 100 } });
  const device = face.device();
  assert.equal((await device.ask('post', '/ps/a?c=1', { payload: Buffer.alloc(350) })).code, '2.04');
  const refused = await device.ask('post', '/ps/a?c=2', { payload: 'x' });
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 3]);
  face.pass(3);
  assert.deepEqual(await codes(device, '/ps/a?c=3'), ['2.04']);
  await face.stop();
});

test('addresses that have nothing used up are forgotten for new ones', () => {
  const rates = new AddressRates({ ...DEFAULT_OPTIONS, messagesPerSecond: 10 }, new Counters(), SILENT);
  for (let i = 0; i < 1000; i++) rates.of(`192.0.2.${i}`, 0)?.take(1);
  assert.equal(rates.size, 1000);
  for (let i = 0; i < 1000; i++) rates.of(`198.51.100.${i}`, 1000)?.take(1);
  assert.equal(rates.size, 1000, 'two go for each that comes');
});

test('more addresses than are remembered: the rate of the one that was used longest ago begins anew, counted and told', () => {
  const counters = new Counters();
  const told: string[] = [];
  const journal = { ...SILENT, limit: (_party: unknown, option: string) => void told.push(option) };
  const rates = new AddressRates({ ...DEFAULT_OPTIONS, bytesPerSecond: 10 }, counters, journal);
  for (let i = 0; i <= MOST_ADDRESSES; i++) rates.of(String(i), 0)?.take(1000);
  assert.equal(rates.size, MOST_ADDRESSES);
  assert.equal(counters.forgottenRates, 1);
  assert.deepEqual(told, ['limits.bytes_per_second']);
});
