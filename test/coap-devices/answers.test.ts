/** Where the answers of commanded devices go, and what templates make of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type IPublishPacket } from 'mqtt-packet';
import { Code } from '../../src/coap/codes.js';
import { PorticoError } from '../../src/errors.js';
import { Output } from '../../src/wire/output.js';
import { encodePropertyList } from '../../src/wire/properties.js';
import type { RawClient } from '../support/engine.js';
import { command, device, engine, heard, limits, listener, next, plugin, uri } from './commanded.js';

let client: RawClient;

/** A command that asks for its answer. */
function asking(responseTopic: string, topic = 'x'): IPublishPacket {
  return { cmd: 'publish', topic, payload: '', qos: 0, retain: false, dup: false, properties: { responseTopic } };
}

async function topicOfAnswer(): Promise<string> {
  return (await next(client)).topic;
}

test('an answer goes to a Response Topic only if its publisher may publish there, else to response_topic', async () => {
  await command([{ filter: 'x', uri, response_topic: 'usual' }]);
  client = await listener('mine', 'theirs', 'usual');
  engine.broker.authorizePublish = (by, { topic }, done) =>
    done(by?.id === 'listener' && topic === 'theirs' ? new Error('not yours') : null);
  client.send(asking('theirs'));
  assert.equal(await topicOfAnswer(), 'usual');
  assert.equal(engine.broker.counters.deniedPublish, 1);
  client.send(asking('mine'));
  assert.equal(await topicOfAnswer(), 'mine');
  client.send(asking('$SYS/broker/uptime'));
  assert.equal(await topicOfAnswer(), 'usual');
  assert.equal(engine.broker.counters.deniedPublish, 2);
});

test('without response_topic an answer that may not go where it is asked for goes nowhere', async () => {
  await command([{ filter: 'x', uri }]);
  client = await listener('mine', 'theirs');
  engine.broker.authorizePublish = (by, { topic }, done) =>
    done(by !== null && topic === 'theirs' ? new Error('not yours') : null);
  client.send(asking('theirs'));
  client.send(asking('mine'));
  assert.equal(await topicOfAnswer(), 'mine');
  assert.equal(heard.length, 2);
});

test('the rights are those of the client that published, also when it leaves at once', async () => {
  await command([{ filter: 'x', uri, response_topic: 'usual' }]);
  client = await listener('mine', 'theirs', 'usual');
  const asked: string[] = [];
  engine.broker.authorizePublish = (by, { topic }, done) => {
    if (by !== null) asked.push(`${by.id} ${topic}`);
    done(topic === 'theirs' && by?.id === 'brief' ? new Error('not yours') : null);
  };
  for (const [responseTopic, expected] of [
    ['theirs', 'usual'],
    ['mine', 'mine'],
  ]) {
    const brief = await engine.connect({ protocolVersion: 5, clientId: 'brief' });
    const packets = [asking(responseTopic), { cmd: 'disconnect' } as const];
    brief.sendBytes(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 }))));
    assert.equal(await topicOfAnswer(), expected);
  }
  assert.deepEqual(asked, ['brief x', 'brief theirs', 'brief x', 'brief mine']);
});

test('a will has no rights to a Response Topic where not everybody has them', async () => {
  await command([{ filter: 'x', uri, response_topic: 'usual' }]);
  client = await listener('mine', 'usual');
  const dies = async (): Promise<void> => {
    const properties = { responseTopic: 'mine' };
    const will = { topic: 'x', payload: Buffer.alloc(0), qos: 0, retain: false, properties } as const;
    await engine.cut(await engine.connect({ protocolVersion: 5, clientId: 'mortal', will }));
  };
  await dies();
  assert.equal(await topicOfAnswer(), 'mine');
  engine.broker.authorizePublish = (_by, _packet, done) => done(null);
  await dies();
  assert.equal(await topicOfAnswer(), 'usual');
});

test('the program that the broker runs in may have an answer published anywhere', async () => {
  await command([{ filter: 'x', uri }]);
  client = await listener('mine');
  engine.broker.authorizePublish = (by, _packet, done) => done(by === null ? null : new Error('not yours'));
  engine.broker.publish({ topic: 'x', properties: { responseTopic: 'mine' } });
  assert.equal(await topicOfAnswer(), 'mine');
});

test('a client inside the process has its own rights: the hook knows it by the identifier in the packet', async () => {
  await command([{ filter: 'x', uri, response_topic: 'usual' }]);
  client = await listener('mine', 'theirs', 'usual');
  engine.broker.authorizePublish = (_by, packet, done) =>
    done(Reflect.get(packet, 'clientId') === 'bridge' && packet.topic === 'theirs' ? new Error('not yours') : null);
  const bridge = engine.broker.openClient({ id: 'bridge', remote: 'internal', transport: 'internal' });
  for (const [responseTopic, expected] of [
    ['theirs', 'usual'],
    ['mine', 'mine'],
  ]) {
    const out = new Output();
    encodePropertyList(out, { responseTopic }, 'publish');
    bridge.publish('x', Buffer.alloc(0), { properties: Buffer.from(out.bytes()) }, null);
    assert.equal(await topicOfAnswer(), expected);
  }
});

test('while authorizePublish has not answered, the request goes out and its answer waits; other answers do not', async () => {
  await command([{ filter: 'x', uri, response_topic: 'usual' }]);
  client = await listener('mine', 'usual');
  const allow = new Promise<() => void>((resolve) => {
    engine.broker.authorizePublish = (by, { topic }, done) => {
      if (by !== null && topic === 'mine') resolve(() => done(null));
      else done(null);
    };
  });
  client.send(asking('mine'));
  client.publish('x', 'second');
  assert.equal(await topicOfAnswer(), 'usual');
  assert.equal(heard.length, 2);
  (await allow)();
  assert.equal(await topicOfAnswer(), 'mine');
});

test('a hook that fails refuses; one that changes the topic says where the answer goes', async () => {
  await command([{ filter: 'home/x', uri, response_topic: 'usual' }]);
  client = await listener('home/mine', 'usual');
  engine.broker.authorizePublish = (by, packet, done) => {
    if (packet.topic === 'theirs') throw new Error('no such table');
    if (by !== null) packet.topic = `home/${packet.topic}`;
    done(null);
  };
  client.send(asking('mine'));
  assert.equal(await topicOfAnswer(), 'home/mine');
  client.send(asking('theirs'));
  assert.equal(await topicOfAnswer(), 'usual');
});

test('response_template makes what is published of a response: JSON with response json, else text', async () => {
  const common = { uri, method: 'GET', response_topic: 'told' };
  await command([
    {
      ...common,
      filter: 'ask/json',
      response: 'json',
      response_template: '{"what":"{{ levels[1] }}","is":{{ json.v }},"code":"{{ code }}"}',
    },
    {
      ...common,
      filter: 'ask/text',
      response_template: '{{ topic }}: {{ payload }}{% if code != "2.05" %}!{% endif %}',
    },
  ]);
  device.answer = (_request, exchange) =>
    exchange.respond({ code: Code.Content, contentFormat: 50, payload: Buffer.from('{"v":[1]}') });
  client = await listener('told');
  client.publish('ask/json', '');
  const json = await next(client);
  assert.equal(json.payload, '{"what":"json","is":[1],"code":"2.05"}');
  assert.equal(json.properties?.contentType, 'application/json');
  client.publish('ask/text', '');
  const text = await next(client);
  assert.equal(text.payload, 'ask/text: {"v":[1]}');
  assert.equal(text.properties?.contentType, undefined);
  assert.deepEqual({ ...text.properties?.userProperties }, { 'coap-code': '2.05' });
  device.answer = (_request, exchange) => exchange.respond({ code: Code.NotFound, payload: Buffer.from('gone') });
  client.publish('ask/text', '');
  assert.equal((await next(client)).payload, 'ask/text: gone!');
});

test('a response that its template cannot take is the failure template with its code, counted and logged', async () => {
  const common = { uri, response_topic: 'told', response_template: '{{ json.v }}' };
  await command([
    { ...common, filter: 'raw' },
    { ...common, filter: 'json', response: 'json' },
  ]);
  device.answer = (_request, exchange) => exchange.respond({ code: Code.NotFound, payload: Buffer.from('{}') });
  client = await listener('told');
  client.publish('raw', '');
  const raw = await next(client);
  assert.equal(raw.payload, '');
  const detail = 'undefined variable: json.v (line 1, column 4)';
  const said = { 'coap-code': '4.04', 'coap-failure': 'template', 'coap-detail': detail };
  assert.deepEqual({ ...raw.properties?.userProperties }, said);
  client.publish('json', '');
  assert.deepEqual(JSON.parse((await next(client)).payload), { failure: 'template', detail, code: '4.04' });
  const { responseTemplateFailures, templateFailures } = plugin?.counters() ?? {};
  assert.deepEqual([responseTemplateFailures, templateFailures], [2, 0]);
  assert.match(
    limits[0],
    /^coap\.commands a response of 127\.0\.0\.1:\d+ to a message on raw: undefined variable: json\.v/,
  );
});

test('failures are published without response_template; one that is no template stops the start', async () => {
  const entry = { filter: 'x', uri, response_topic: 'told', response: 'json' };
  await command([{ ...entry, timeout: 0.1, response_template: '{{ payload }}' }]);
  device.answer = () => {};
  client = await listener('told');
  client.publish('x', '');
  assert.equal(JSON.parse((await next(client)).payload).failure, 'timeout');
  await assert.rejects(
    command([{ ...entry, response_template: '{{ client }}' }]),
    (error) =>
      error instanceof PorticoError &&
      /^coap\.commands\.0\.response_template, line 1, column 4: there is no variable client/.test(error.message),
  );
});
