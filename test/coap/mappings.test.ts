/** `coap.mappings`: resources with paths of their own, and conversion between JSON and CBOR. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import type { MappingOptions } from '../../src/plugins/coap-topics/options.js';
import { load } from '../config/configurations.js';
import { Face } from '../support/coap-face.js';
import { type Decoded, number, OPT } from './harness.js';

/** The mappings of a configuration. */
function mappings(...lines: string[]): readonly MappingOptions[] {
  return load(`coap:\n  mappings:\n${lines.map((line) => `    - ${line}\n`).join('')}`).config.coap.mappings;
}

const DEVICES = '{path: "/s/{device}/{metric}", topic: "devices/{device}/{metric}"}';

function format(answer: Decoded): number | undefined {
  return number(answer, OPT.contentFormat);
}

test('a mapped path is another resource of a topic: written, read and observed', async () => {
  const face = await Face.create({ mappings: mappings(DEVICES) });
  const device = face.device();
  assert.equal((await device.ask('put', '/s/d1/temperature', { payload: '21' })).code, '2.01');
  assert.equal(String((await device.ask('get', '/ps/devices/d1/temperature')).payload), '21');
  const first = await device.ask('get', '/s/d1/temperature', { token: '0c', options: [[OPT.observe, 0]] });
  assert.equal(String(first.payload), '21');
  await face.device().ask('put', '/ps/devices/d1/temperature?q=0', { payload: '22' });
  assert.equal(String((await device.next()).payload), '22');
  assert.equal((await device.ask('get', '/s/d1')).code, '4.04', 'too few levels');
  assert.equal((await device.ask('get', '/s/d1/a/b')).code, '4.04', 'too many');
  await face.stop();
});

test('names may stand in another order; a level with a wildcard or "/" is 4.00', async () => {
  const face = await Face.create({
    mappings: mappings('{path: "/{metric}/of/{device}", topic: "d/{device}/{metric}"}'),
  });
  const device = face.device();
  assert.equal((await device.ask('put', '/temperature/of/d1', { payload: 'x' })).code, '2.01');
  assert.equal(String((await device.ask('get', '/ps/d/d1/temperature')).payload), 'x');
  assert.equal((await device.ask('put', '/temperature/of/+', { payload: 'x' })).code, '4.00');
  const slash = { code: '0.03', path: ['temperature', 'of', 'a/b'], payload: 'x' };
  device.send(slash);
  assert.equal((await device.next()).code, '4.00');
  await face.stop();
});

test('methods, qos, retain and content_format of a mapping hold for requests that say none', async () => {
  const face = await Face.create({
    mappings: mappings(
      '{path: "/log/{d}", topic: "log/{d}", methods: [POST], qos: 2, retain: true, content_format: 0}',
      '{path: /value, topic: log/a, methods: [GET], content_format: 0}',
    ),
  });
  const device = face.device();
  for (const method of ['get', 'delete'] as const) assert.equal((await device.ask(method, '/log/a')).code, '4.05');
  assert.equal((await device.ask('post', '/log/a', { payload: 'x' })).code, '2.04');
  const kept = face.engine.broker.router.retained.get('log/a');
  assert.deepEqual([kept?.qos, kept?.retain], [2, true]);
  assert.equal(format(await device.ask('get', '/ps/log/a')), 0);
  assert.equal((await device.ask('post', '/log/b?q=0&r=0', { payload: 'x' })).code, '2.04');
  assert.equal(face.engine.broker.router.retained.get('log/b'), null, 'what the request says comes first');
  await device.ask('put', '/ps/log/a', { payload: 'without format' });
  assert.equal(format(await device.ask('get', '/value')), 0);
  await face.stop();
});

test('cbor-to-json: the device speaks CBOR, the topic has JSON, in both directions', async () => {
  const face = await Face.create({
    mappings: mappings('{path: "/c/{d}", topic: "json/{d}", convert: cbor-to-json}'),
  });
  const device = face.device();
  const value = { t: 21.5, on: true, list: [1, 'ü', null], bytes: new Uint8Array([255, 0]) };
  const cbor = Buffer.from(encodeCbor(value));
  assert.equal((await device.ask('put', '/c/1', { payload: cbor })).code, '2.01');
  const plain = await device.ask('get', '/ps/json/1');
  assert.deepEqual([format(plain), JSON.parse(String(plain.payload))], [50, { ...value, bytes: '_wA' }]);
  await device.ask('put', '/ps/json/2', { payload: '{"a":[1,2]}' });
  const got = await device.ask('get', '/c/2');
  assert.deepEqual([format(got), decodeCbor(got.payload)], [60, { a: [1, 2] }]);
  assert.equal((await device.ask('get', '/c/2', { options: [[OPT.accept, 50]] })).code, '4.06');
  await device.ask('get', '/c/2', { token: '0d', options: [[OPT.observe, 0]] });
  await face.device().ask('post', '/ps/json/2?q=0', { payload: '7' });
  assert.equal(decodeCbor((await device.next()).payload), 7);
  const [etag] = got.options.filter(([option]) => option === OPT.etag).map(([, bytes]) => bytes);
  const other = face.device();
  assert.equal((await other.ask('get', '/c/2', { options: [[OPT.etag, etag]] })).code, '2.03', 'of what it got');
  assert.equal((await other.ask('put', '/c/2', { payload: cbor, options: [[OPT.ifMatch, etag]] })).code, '2.04');
  assert.equal((await other.ask('put', '/c/2', { payload: cbor, options: [[OPT.ifMatch, etag]] })).code, '4.12');
  await face.stop();
});

test('json-to-cbor: the device speaks JSON, the topic has CBOR', async () => {
  const face = await Face.create({
    mappings: mappings('{path: "/j/{d}", topic: "cbor/{d}", convert: json-to-cbor}'),
  });
  const device = face.device();
  assert.equal(
    (await device.ask('put', '/j/1', { payload: '{"a":1}', options: [[OPT.contentFormat, 50]] })).code,
    '2.01',
  );
  const plain = await device.ask('get', '/ps/cbor/1');
  assert.deepEqual([format(plain), decodeCbor(plain.payload)], [60, { a: 1 }]);
  const got = await device.ask('get', '/j/1');
  assert.deepEqual([format(got), String(got.payload)], [50, '{"a":1}']);
  assert.equal((await device.ask('put', '/j/1', {})).code, '2.04', 'an empty payload clears');
  assert.equal((await device.ask('get', '/j/1')).code, '4.04');
  await face.stop();
});

test('what cannot be converted: 4.15 for another Content-Format, 4.00 for a bad payload, 4.13 for a large one, logged', async () => {
  const face = await Face.create({
    mappings: mappings('{path: "/c/{d}", topic: "json/{d}", convert: cbor-to-json}'),
  });
  const device = face.device();
  const put = async (payload: Buffer | string, ...options: [number, number][]): Promise<string> =>
    (await device.ask('put', '/c/1', { payload, options })).code;
  const refused = await device.ask('put', '/c/1', { payload: 'x', options: [[OPT.contentFormat, 0]] });
  assert.deepEqual(
    [refused.code, String(refused.payload)],
    ['4.15', 'it cannot be converted: Content-Format 0 is not 60'],
  );
  assert.equal(await put(Buffer.from([0xff])), '4.00');
  assert.equal(await put(Buffer.alloc(60_000, 0x81)), '4.00', 'nested too deep');
  assert.equal(await put(Buffer.from([0x1b, 255, 255, 255, 255, 255, 255, 255, 255])), '4.00', 'no number of JSON');
  assert.equal(await put(Buffer.alloc(65_537)), '4.13');
  await device.ask('put', '/ps/json/1', { payload: 'no JSON' });
  const { code, payload } = await device.ask('get', '/c/1');
  assert.deepEqual([code, String(payload)], ['4.06', 'the value cannot be converted']);
  assert.equal(face.engine.broker.counters.coapConversionFailures, 6);
  assert.deepEqual(face.limits, new Array(6).fill('coap.mappings'));
  await face.stop();
});

test('a mapping whose levels all have names leaves the broker its own resources', async () => {
  const face = await Face.create({ mappings: mappings('{path: "/{d}/{m}", topic: "devices/{d}/{m}"}') });
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/a', { payload: '1' })).code, '2.01');
  assert.equal(face.engine.broker.router.retained.get('a')?.payload.toString(), '1');
  assert.match(String((await device.ask('get', '/.well-known/core')).payload), /<\/ps\/a>/);
  assert.equal((await device.ask('get', '/ps/+')).code, '2.05');
  assert.equal((await device.ask('put', '/x/y', { payload: '2' })).code, '2.01');
  assert.equal(face.engine.broker.router.retained.get('devices/x/y')?.payload.toString(), '2');
  assert.equal((await device.ask('get', '/x')).code, '4.04', 'of another length');
  await face.stop();
});

test('a value that cannot be converted does not end an observation', async () => {
  const face = await Face.create({
    mappings: mappings('{path: "/c/{d}", topic: "json/{d}", convert: cbor-to-json}'),
  });
  const [device, publisher] = [face.device(), face.device()];
  await publisher.ask('put', '/ps/json/1', { payload: '1' });
  await device.ask('get', '/c/1', { token: '0e', options: [[OPT.observe, 0]] });
  await publisher.ask('put', '/ps/json/1?q=0', { payload: 'no JSON' });
  await publisher.ask('put', '/ps/json/1?q=0', { payload: '2' });
  assert.equal(decodeCbor((await device.next()).payload), 2);
  await face.stop();
});

test('/.well-known/core lists mapped resources: those of retained topics, and those without names always', async () => {
  const face = await Face.create({
    mappings: mappings(DEVICES, '{path: /status, topic: status/all, convert: cbor-to-json}'),
  });
  const device = face.device();
  await device.ask('put', '/s/d1/t', { payload: 'x' });
  const core = String((await device.ask('get', '/.well-known/core')).payload);
  assert.match(core, /<\/status>;rt="core\.ps\.data";obs;ct=60/);
  assert.match(core, /<\/s\/d1\/t>;rt="core\.ps\.data";obs/);
  assert.match(core, /<\/ps\/devices\/d1\/t>/);
  await face.stop();
});

for (const [line, words] of [
  ['{path: s/x, topic: x}', /coap\.mappings\.0\.path is "s\/x"; it must be a path such as/],
  ['{path: "/s/{a}/{a}", topic: "x/{a}"}', /coap\.mappings\.0\.path/],
  ['{path: /.well-known/x, topic: x}', /coap\.mappings\.0\.path/],
  ['{path: /mqtt/connection, topic: x}', /coap\.mappings\.0\.path/],
  ['{path: "/s/{a}", topic: x}', /coap\.mappings\.0\.topic is "x"; it must be a topic .* with the names of the path/],
  ['{path: /s, topic: "x/{b}"}', /coap\.mappings\.0\.topic/],
  ['{path: /s, topic: "x/+"}', /coap\.mappings\.0\.topic/],
  ['{path: /s, topic: x, methods: [FETCH]}', /coap\.mappings\.0\.methods\.0 is "FETCH"/],
  ['{path: /s, topic: x, convert: yaml}', /coap\.mappings\.0\.convert is "yaml"; it must be one of none/],
  [
    '{path: /s, topic: x, tpoic: y}',
    /coap\.mappings\.0\.tpoic is not an option; did you mean coap\.mappings\.0\.topic/,
  ],
  ['{path: /s}', /coap\.mappings\.0\.topic is missing/],
  ['{path: /s, topic: x, convert: json-to-cbor, content_format: 0}', /coap\.mappings\.0\.content_format/],
] as const) {
  test(`the mapping ${line} is refused at the start, with its line`, () => {
    assert.throws(
      () => mappings(line),
      (error: Error) => {
        assert.match(error.message, /\.yaml:3: /);
        assert.match(error.message, words);
        return true;
      },
    );
  });
}
