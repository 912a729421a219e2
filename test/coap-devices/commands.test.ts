/** Messages that command CoAP devices: a broker in memory, the plugin, and devices on loopback. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { Code } from '../../src/coap/codes.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { PorticoError } from '../../src/errors.js';
import { command, device, engine, heard, limits, listener, next, plugin, uri } from './commanded.js';

test('a message becomes a request, and the response is published on the response topic', async () => {
  await command([
    {
      filter: 'heater/+/set',
      uri: `${uri}/heater?room=1`,
      content_format: 'json',
      response_topic: 'heater/answers',
    },
  ]);
  device.answer = (_request, exchange) =>
    exchange.respond({ code: Code.Content, contentFormat: 50, payload: Buffer.from('{"on":true}') });
  const client = await listener('heater/answers');
  client.publish('heater/1/set', '{"on":1}');
  const reply = await next(client);
  assert.deepEqual(heard, ['CON 3 /heater?room=1 50 {"on":1}']);
  assert.equal(reply.topic, 'heater/answers');
  assert.equal(reply.payload, '{"on":true}');
  assert.equal(reply.properties?.contentType, 'application/json');
  assert.deepEqual({ ...reply.properties?.userProperties }, { 'coap-code': '2.05' });
});

test('the Response Topic and Correlation Data of MQTT 5.0 come first', async () => {
  await command([{ filter: 'x', uri: `${uri}/x`, method: 'POST', response_topic: 'not/here' }]);
  const client = await listener('mine', 'not/here');
  client.send({
    cmd: 'publish',
    topic: 'x',
    payload: 'go',
    qos: 0,
    retain: false,
    dup: false,
    properties: { responseTopic: 'mine', correlationData: Buffer.from('7'), contentType: 'application/cbor' },
  });
  const reply = await next(client);
  assert.deepEqual(heard, ['CON 2 /x? 60 go']);
  assert.equal(reply.topic, 'mine');
  assert.equal(reply.properties?.correlationData?.toString(), '7');
  assert.deepEqual({ ...reply.properties?.userProperties }, { 'coap-code': '2.04' });
});

test('GET is sent without payload, NON if wanted, and an error of the device is a response', async () => {
  await command([
    { filter: 'ask', uri: `${uri}/a`, method: 'GET', confirmable: false, response_topic: 'told', response: 'json' },
  ]);
  device.answer = (_request, exchange) => exchange.respond({ code: Code.NotFound, payload: Buffer.from('no "a"') });
  const client = await listener('told');
  client.publish('ask', 'whatever');
  const reply = await next(client);
  assert.deepEqual(heard, ['NON 1 /a? - ']);
  assert.deepEqual(JSON.parse(reply.payload), { code: '4.04', payload: 'no "a"' });
  device.answer = (_request, exchange) =>
    exchange.respond({ code: Code.Content, contentFormat: 60, payload: Buffer.of(0xa0, 0xff) });
  client.publish('ask', '');
  assert.deepEqual(JSON.parse((await next(client)).payload), {
    code: '2.05',
    content_format: 60,
    payload_base64: 'oP8=',
  });
});

test('RFC 8132: FETCH, PATCH and iPATCH carry the payload with its Content-Format', async () => {
  await command(
    (['FETCH', 'PATCH', 'iPATCH'] as const).map((method) => ({
      filter: method,
      uri: `${uri}/config`,
      method,
      content_format: 52,
      response_topic: 'done',
    })),
  );
  const client = await listener('done');
  for (const method of ['FETCH', 'PATCH', 'iPATCH']) {
    client.publish(method, '{"on":1}');
    assert.deepEqual({ ...(await next(client)).properties?.userProperties }, { 'coap-code': '2.04' });
  }
  assert.deepEqual(
    heard,
    [5, 6, 7].map((code) => `CON ${code} /config? 52 {"on":1}`),
  );
});

test('RFC 7252 5.10.4: `accept` asks for a Content-Format by name or number; without it there is no Accept', async () => {
  const accepted: (number | undefined)[] = [];
  device.answer = ({ accept }, exchange) => {
    accepted.push(accept);
    exchange.respond({ code: Code.Content });
  };
  await command([
    { filter: 'name', uri, method: 'GET', accept: 'cbor', response_topic: 'done' },
    { filter: 'number', uri, method: 'FETCH', accept: 110, response_topic: 'done' },
    { filter: 'none', uri, method: 'GET', response_topic: 'done' },
  ]);
  const client = await listener('done');
  for (const topic of ['name', 'number', 'none']) {
    client.publish(topic, '');
    await next(client);
  }
  assert.deepEqual(accepted, [60, 110, undefined]);
});

test('a device that has not what is accepted, or does not take the Content-Format, is told as 4.06 or 4.15 with its words', async () => {
  await command([{ filter: 'x', uri, method: 'iPATCH', accept: 'json', response_topic: 'done' }]);
  const client = await listener('done');
  for (const [code, digits] of [
    [Code.NotAcceptable, '4.06'],
    [Code.UnsupportedContentFormat, '4.15'],
  ] as const) {
    device.answer = (_request, exchange) => exchange.respond({ code, payload: Buffer.from('only CBOR') });
    client.publish('x', '{}');
    const { payload, properties } = await next(client);
    assert.deepEqual([payload, { ...properties?.userProperties }], ['only CBOR', { 'coap-code': digits }]);
  }
});

test('failures are published: no response in time, no acknowledgement, a Reset', async () => {
  const silent = createSocket('udp4');
  silent.bind(0, '127.0.0.1');
  await once(silent, 'listening');
  const resetting = createSocket('udp4');
  resetting.on('message', (bytes, { port, address }) =>
    resetting.send(Buffer.from([0x70, 0, bytes[2], bytes[3]]), port, address),
  );
  resetting.bind(0, '127.0.0.1');
  await once(resetting, 'listening');
  const nowhere = `coap://127.0.0.1:${silent.address().port}/x`;
  const times = { timeout: 0.1, response_topic: 'failures', response: 'json' };
  try {
    await command(
      [
        { filter: 'slow', uri: nowhere, ...times },
        { filter: 'dead', uri: nowhere, ...times, timeout: 60, retries: 0 },
        { filter: 'reset', uri: `coap://127.0.0.1:${resetting.address().port}/x`, ...times, timeout: 60 },
      ],
      { ack_timeout: 0.1, ack_random_factor: 1 },
    );
    const client = await listener('failures');
    for (const [topic, failure] of [
      ['slow', 'timeout'],
      ['dead', 'unacknowledged'],
      ['reset', 'reset'],
    ]) {
      client.publish(topic, 'x');
      const reply = await next(client);
      assert.equal(JSON.parse(reply.payload).failure, failure);
      assert.deepEqual({ ...reply.properties?.userProperties }, { 'coap-failure': failure });
    }
    const { timeouts, unacknowledged, resets, inFlight } = plugin?.counters() ?? {};
    assert.deepEqual([timeouts, unacknowledged, resets, inFlight], [1, 1, 1, 0]);
  } finally {
    silent.close();
    resetting.close();
  }
});

test('limits: requests to one device and in all; what is beyond is counted, logged and answered', async () => {
  const waiting: CoapExchange[] = [];
  device.answer = (_request, exchange) => waiting.push(exchange);
  const other = uri.replace('127.0.0.1', '127.0.0.2');
  await command(
    [
      { filter: 'one', uri, response_topic: 'failures' },
      { filter: 'two', uri: other },
    ],
    { commands_per_device: 2, commands_in_flight: 3 },
  );
  const limit = (option: string) => ({ 'coap-failure': 'limit', 'coap-detail': `coap.${option}` });
  const client = await listener('failures');
  for (let count = 0; count < 3; count++) client.publish('one', '');
  assert.deepEqual({ ...(await next(client)).properties?.userProperties }, limit('commands_per_device'));
  client.publish('two', '');
  client.publish('one', '');
  assert.deepEqual({ ...(await next(client)).properties?.userProperties }, limit('commands_in_flight'));
  const { refusedInFlight, refusedPerDevice, inFlight } = plugin?.counters() ?? {};
  assert.deepEqual([refusedInFlight, refusedPerDevice, inFlight], [1, 1, 3]);
  assert.equal(limits.length, 2);
  assert.match(limits[0], /^coap\.commands_per_device a message on one for 127\.0\.0\.1:\d+ was not sent$/);
  assert.match(limits[1], /^coap\.commands_in_flight /);
});

test('what the plugin publishes is no command itself', async () => {
  await command([{ filter: 'loop/#', uri: `${uri}/x`, response_topic: 'loop/answer' }]);
  const client = await listener('loop/answer', 'loop/end');
  client.publish('loop/start', '');
  assert.equal((await next(client)).topic, 'loop/answer');
  client.publish('loop/end', '');
  assert.equal((await next(client)).topic, 'loop/end');
  assert.equal((await next(client)).topic, 'loop/answer');
  assert.equal(heard.length, 2);
});

test('a device is found by its name, which the request then says in Uri-Host', async () => {
  let host: string | undefined;
  device.answer = (request, exchange) => {
    host = request.uriHost;
    exchange.respond({ code: Code.Changed });
  };
  await command([{ filter: 'x', uri: uri.replace('127.0.0.1', 'localhost'), response_topic: 'y' }]);
  const client = await listener('y');
  client.publish('x', '');
  assert.deepEqual({ ...(await next(client)).properties?.userProperties }, { 'coap-code': '2.04' });
  assert.equal(host, 'localhost');
});

test('templates of path, query and payload make a request of topic and payload', async () => {
  await command([
    {
      filter: 'sensor/+',
      uri: `${uri}/rooms/{{ levels[1] }}?from={{ topic }}`,
      content_format: 'json',
      template: '{"temp":{{ payload | number }},"unit":"C"}',
      response_topic: 'done',
    },
  ]);
  const client = await listener('done');
  client.publish('sensor/temp', '25.3');
  await next(client);
  assert.deepEqual(heard, ['CON 3 /rooms/temp?from=sensor/temp 50 {"temp":25.3,"unit":"C"}']);
});

test('a template says nothing of the Content Type of the message', async () => {
  await command([{ filter: 'x', uri: `${uri}/x`, template: '{{ content_type }}', response_topic: 'done' }]);
  const client = await listener('done');
  const properties = { contentType: 'application/cbor' };
  client.send({ cmd: 'publish', topic: 'x', payload: '', qos: 0, retain: false, dup: false, properties });
  await next(client);
  assert.deepEqual(heard, ['CON 3 /x? - application/cbor']);
});

test('a message that a template cannot take is not sent: published as failure, counted, logged, and the next one goes', async () => {
  await command([
    { filter: 'x', uri: `${uri}/{{ json.id }}`, template: '{{ json.v }}', response_topic: 'done', response: 'json' },
  ]);
  const client = await listener('done');
  const sentence = 'undefined variable: json.v (line 1, column 4)';
  client.publish('x', '{"id":"a"}');
  const reply = await next(client);
  assert.deepEqual(JSON.parse(reply.payload), { failure: 'template', detail: sentence });
  assert.deepEqual({ ...reply.properties?.userProperties }, { 'coap-failure': 'template' });
  client.publish('x', '{"id":"a","v":1}');
  assert.equal(JSON.parse((await next(client)).payload).code, '2.04');
  assert.deepEqual(heard, ['CON 3 /a? - 1']);
  const { templateFailures, inFlight } = plugin?.counters() ?? {};
  assert.deepEqual([templateFailures, inFlight], [1, 0]);
  assert.equal(limits.length, 1);
  assert.match(
    limits[0],
    /^coap\.commands a message on x for 127\.0\.0\.1:\d+ was not sent: undefined variable: json\.v/,
  );
});

test('a URI or filter that cannot be used stops the start, in words', async () => {
  const configuration = (pattern: RegExp) => (error: unknown) =>
    error instanceof PorticoError && error.code === 'PORTICO_CONFIGURATION' && pattern.test(error.message);
  await assert.rejects(command([{ filter: 'x', uri: 'coap://h/#f' }]), configuration(/coap:\/\/h\/#f: a fragment/));
  await assert.rejects(command([{ filter: 'x/#/y', uri }]), configuration(/x\/#\/y is no topic filter/));
  await assert.rejects(command([{ filter: '$share/g/x', uri }]), configuration(/\$share\/g\/x is no topic filter/));
  const get = { filter: 'x', uri, method: 'GET', template: 'x' };
  await assert.rejects(command([get]), configuration(/coap\.commands\.0\.template: GET is sent without payload/));
});

test('a command needs no rule: its client is asked about the message and the Response Topic, nobody about response_topic', async () => {
  const rules = 'user ann\ntopic write x\ntopic read mine\nuser w\ntopic #\n';
  engine.broker.environment.access.acl = parseMosquittoAcl(Buffer.from(rules), 'FILE');
  await command([{ filter: '+', uri: `${uri}/x`, response_topic: 'answers/all' }]);
  const witness = await engine.connect({ protocolVersion: 5, clientId: 'w', username: 'w' });
  await witness.subscribe('answers/all', 0);
  await witness.subscribe('mine', 0);
  const ann = await engine.connect({ protocolVersion: 5, clientId: 'ann', username: 'ann' });
  const tell = (topic: string, properties: object): void => {
    ann.send({ cmd: 'publish', topic, payload: 'go', qos: 0, retain: false, dup: false, properties });
  };
  tell('y', {});
  tell('x', {});
  assert.equal((await next(witness)).topic, 'answers/all');
  // It may not publish there.
  tell('x', { responseTopic: 'mine' });
  assert.equal((await next(witness)).topic, 'answers/all');
  assert.deepEqual(heard, ['CON 3 /x? - go', 'CON 3 /x? - go']);
});
