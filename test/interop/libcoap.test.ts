import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { Observer, request, topicUri } from './libcoap.js';
import { JsClient } from './mqttjs.js';

describe("libcoap's coap-client", { timeout: 150_000 }, () => {
  let portico: Portico;
  let js: JsClient;
  const uri = (path: string): string => topicUri(portico.ports.coap, path);

  before(async () => {
    portico = await Portico.start();
    js = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'beside-libcoap' });
    await js.subscribe('libcoap/#', 1);
  });
  after(() => portico.dispose());

  for (const [name, args, type] of [
    ['confirmable', [], 'ACK'],
    ['non-confirmable', ['-N'], 'NON'],
  ] as const) {
    test(`${name} PUT publishes retained: 2.01 if it created the topic, then 2.04; GET reads; DELETE clears`, async () => {
      const topic = `libcoap/${name}/value`;
      const missing = await request('get', uri(topic), args);
      assert.deepEqual([missing.type, missing.code], [type, '4.04']);

      const created = await request('put', uri(topic), [...args, '-e', 'first']);
      assert.deepEqual([created.type, created.code], [type, '2.01']);
      const published = await js.next(topic);
      assert.equal(published.payload.toString(), 'first');
      assert.equal(published.qos, name === 'confirmable' ? 1 : 0, 'QoS 1 for a confirmable request, 0 for the other');

      const changed = await request('put', uri(topic), [...args, '-e', 'second']);
      assert.deepEqual([changed.type, changed.code], [type, '2.04']);
      assert.equal((await js.next(topic)).payload.toString(), 'second');

      const read = await request('get', uri(topic), args);
      assert.deepEqual([read.type, read.code, read.payload.toString()], [type, '2.05', 'second']);

      const cleared = await request('delete', uri(topic), args);
      assert.deepEqual([cleared.type, cleared.code], [type, '2.02']);
      assert.equal((await js.next(topic)).payload.length, 0, 'subscribers see the empty message that clears');
      assert.equal((await request('get', uri(topic), args)).code, '4.04');
    });

    test(`${name} POST publishes without keeping: 2.04`, async () => {
      const topic = `libcoap/${name}/event`;
      const posted = await request('post', uri(topic), [...args, '-e', 'event']);
      assert.deepEqual([posted.type, posted.code], [type, '2.04']);
      assert.equal((await js.next(topic)).payload.toString(), 'event');
      assert.equal((await request('get', uri(topic), args)).code, '4.04');
    });
  }

  test('Content-Format is kept with the value', async () => {
    const topic = 'libcoap/format';
    assert.equal((await request('put', uri(topic), ['-t', '50', '-e', '{"on":true}'])).code, '2.01');
    const json = await request('get', uri(topic));
    assert.match(json.options, /Content-Format:application\/json/);
    assert.equal((await request('put', uri(topic), ['-t', '60', '-e', 'x'])).code, '2.04');
    assert.match((await request('get', uri(topic))).options, /Content-Format:application\/cbor/);
    assert.equal((await request('put', uri(topic), ['-e', 'x'])).code, '2.04');
    assert.doesNotMatch(
      (await request('get', uri(topic))).options,
      /Content-Format/,
      'none was given with the last value',
    );
  });

  for (const size of [16, 32, 64, 128, 256, 512, 1024]) {
    test(`a body in blocks of ${size} bytes is put, delivered as one message, and read back`, async () => {
      const topic = `libcoap/blocks/${size}`;
      // Neither a multiple of a block nor more messages than a test has time for.
      const body = randomBytes(Math.min(size * 20, 10_000) + 7);
      const put = await request('put', uri(topic), ['-b', String(size)], body);
      assert.equal(put.code, '2.01');
      assert.equal(put.messages, Math.ceil(body.length / size), 'one answer for each block');
      const message = await js.next(topic);
      assert.ok(message.payload.equals(body), `${message.payload.length} bytes that differ`);
      const got = await request('get', uri(topic), ['-b', String(size)]);
      assert.equal(got.code, '2.05');
      assert.ok(got.payload.equals(body), `${got.payload.length} bytes that differ`);
      assert.equal(
        got.messages,
        Math.ceil(body.length / size),
        'the broker sends blocks of the size that was asked for',
      );
    });
  }

  test('1 MB travels from CoAP to MQTT and back', async () => {
    const body = randomBytes(1_000_000);
    assert.equal((await request('put', uri('libcoap/large'), ['-b', '1024'], body)).code, '2.01');
    assert.ok((await js.next('libcoap/large')).payload.equals(body));
    const other = randomBytes(1_000_000);
    await js.publish('libcoap/large', other, 1, true);
    const got = await request('get', uri('libcoap/large'));
    assert.equal(got.code, '2.05');
    assert.ok(got.payload.equals(other), `${got.payload.length} bytes that differ`);
  });

  test('100 kB from MQTT are read in blocks that the broker chooses', async () => {
    const body = randomBytes(100_000);
    await js.publish('libcoap/from-mqtt', body, 1, true);
    const got = await request('get', uri('libcoap/from-mqtt'));
    assert.equal(got.code, '2.05');
    assert.ok(got.payload.equals(body), `${got.payload.length} bytes that differ`);
  });

  test('a body beyond coap.max_payload is refused with 4.13', async () => {
    const { code } = await request('put', uri('libcoap/too-large'), ['-b', '1024'], Buffer.alloc(1024 * 1024 + 1, 'x'));
    assert.equal(code, '4.13');
    assert.equal((await request('get', uri('libcoap/too-large'))).code, '4.04');
  });

  test('requests and answers survive lost datagrams', async () => {
    const topic = 'libcoap/losses';
    const body = randomBytes(300);
    // -l drops the datagrams with these numbers, of those that coap-client sends.
    const put = await request('put', uri(topic), ['-b', '64', '-l', '1,4'], body);
    assert.equal(put.code, '2.01');
    assert.ok((await js.next(topic)).payload.equals(body));
    const posted = await request('post', uri(`${topic}/event`), ['-l', '1', '-e', 'once']);
    assert.equal(posted.code, '2.04');
    assert.equal((await js.next(`${topic}/event`)).payload.toString(), 'once');
    await js.publish(`${topic}/marker`, 'marker', 1);
    await js.next(`${topic}/marker`);
    const others = js.drain().filter((message) => message.topic.startsWith(topic));
    assert.deepEqual(others, [], 'nothing was published twice');
  });

  for (const [name, args] of [
    ['confirmable', []],
    ['non-confirmable', ['-N']],
  ] as const) {
    test(`a ${name} observer (-s) is notified of what MQTT and CoAP publish, and cancels`, async () => {
      const topic = `libcoap/observed/${name}`;
      await js.publish(topic, 'zero', 1, true);
      const observer = await Observer.start(uri(topic), args);
      assert.match(observer.first, /c:2\.05 .*Observe:\d+.*:: 'zero'/);
      await js.publish(topic, 'one', 1, true);
      assert.match(await observer.next(), /c:2\.05 .*Observe:\d+.*:: 'one'/);
      await js.publish(topic, 'two', 0, false);
      assert.match(await observer.next(), /:: 'two'/, 'also a message that is not retained');
      assert.equal((await request('put', uri(topic), ['-e', 'three'])).code, '2.04');
      assert.match(await observer.next(), /:: 'three'/);
      await observer.end();
    });
  }

  test('a topic without value is observed too: 2.05 without payload, then notifications', async () => {
    const topic = 'libcoap/observed/nothing-yet';
    const observer = await Observer.start(uri(topic));
    assert.match(observer.first, /c:2\.05 .*Observe:\d+.*\]$/);
    await js.publish(topic, 'now', 1, false);
    assert.match(await observer.next(), /:: 'now'$/);
    await observer.end();
  });

  for (const [how, clear] of [
    ['DELETE', (topic: string) => request('delete', uri(topic))],
    ['an empty retained message', (topic: string) => js.publish(topic, '', 1, true)],
  ] as const) {
    test(`an observer is told by 4.04 that ${how} cleared the value (RFC 7641 4.2)`, async () => {
      const topic = 'libcoap/observed/cleared';
      await js.publish(topic, 'value', 1, true);
      const observer = await Observer.start(uri(topic));
      await clear(topic);
      const last = await observer.next();
      assert.match(last, / c:4\.04 /);
      assert.doesNotMatch(last, /Observe/);
      await observer.end();
    });
  }

  test('an observer gets a notification larger than a block whole', async () => {
    const topic = 'libcoap/observed/large';
    await js.publish(topic, 'small', 1, true);
    const observer = await Observer.start(uri(topic), ['-b', '64']);
    const body = `${'abcdefghij'.repeat(30)}end`;
    await js.publish(topic, body, 1, true);
    // coap-client fetches the other blocks with GET (RFC 7959 3.4).
    let seen = '';
    while (!seen.endsWith('end')) seen += /:: '(.*)'$/.exec(await observer.next())?.[1] ?? '';
    assert.equal(seen, body);
    await observer.end();
  });

  test('a durable observation has what was published while its device was gone, in order', async () => {
    const topic = 'libcoap/durable';
    const durable = uri(`${topic}?session=meter&clientid=device`);
    const former = await Observer.start(durable, ['-A', '50']);
    await js.publish(topic, 'one', 1, false);
    assert.match(await former.next(), /"payload":"one"/);
    await former.end('SIGKILL');
    for (const payload of ['two', 'three', 'four']) await js.publish(topic, payload, 1, false);
    const observer = await Observer.start(durable, ['-A', '50']);
    assert.match(observer.first, /c:2\.05 .*Observe:\d+.*:: '\[\]'$/);
    let next = await observer.next();
    // coap-client was ended before its acknowledgement had left, perhaps.
    if (next.includes('"payload":"one"')) next = await observer.next();
    for (const payload of ['two', 'three', 'four']) {
      assert.match(next, new RegExp(`"payload":"${payload}"`));
      if (payload !== 'four') next = await observer.next();
    }
    await observer.end();
  });

  test('/.well-known/core names the resource of topics', async () => {
    const core = await request('get', `coap://127.0.0.1:${portico.ports.coap}/.well-known/core`);
    assert.equal(core.code, '2.05');
    assert.match(core.options, /Content-Format:application\/link-format/);
    assert.match(core.payload.toString(), /<\/ps\/?>/);
  });

  for (const path of ['a%2Fb', 'a%2F', '%2F', 'a/b%2Fc/d']) {
    for (const method of ['get', 'put', 'post', 'delete']) {
      test(`${method.toUpperCase()} of /ps/${path}, with a "/" within a segment, is refused with 4.00`, async () => {
        const args = method === 'put' || method === 'post' ? ['-e', 'x'] : [];
        assert.equal((await request(method, uri(path), args)).code, '4.00');
      });
    }
  }

  test('a path with a wildcard is a filter: it can be read and observed, and nothing is published on it: 4.00', async () => {
    await js.publish('libcoap/filter/1/c', 'one', 1, true);
    const got = await request('get', uri('libcoap/filter/%2B/c'), ['-A', '50']);
    assert.equal(got.code, '2.05');
    assert.deepEqual(JSON.parse(got.payload.toString()), [
      { topic: 'libcoap/filter/1/c', qos: 1, retain: true, payload: 'one' },
    ]);
    const observer = await Observer.start(uri('libcoap/filter/%23'), ['-A', '50']);
    await js.publish('libcoap/filter/2/d', 'two', 1, false);
    assert.match(await observer.next(), /Observe:\d+.*"topic":"libcoap\/filter\/2\/d".*"payload":"two"/);
    await observer.end();
    for (const path of ['libcoap/%2B', 'libcoap/%23', '%23']) {
      assert.equal((await request('put', uri(path), ['-e', 'x'])).code, '4.00', path);
    }
  });

  test('a connection is made, used and ended (mqtt/connection)', async () => {
    const connection = `coap://127.0.0.1:${portico.ports.coap}/mqtt/connection`;
    const made = await request('post', `${connection}?clientid=coap-device`);
    assert.equal(made.code, '2.01');
    const query = `?clientid=coap-device&token=${made.payload}`;
    assert.equal((await request('put', `${connection}${query}`)).code, '2.04');
    assert.equal((await request('post', `${uri('libcoap/connected')}${query}`, ['-e', 'x'])).code, '2.04');
    assert.equal((await js.next('libcoap/connected')).payload.toString(), 'x');
    assert.equal((await request('delete', `${connection}${query}`)).code, '2.02');
    assert.equal((await request('put', `${connection}${query}`)).code, '4.01');
  });

  test('$SYS can be read, and written by nobody', async () => {
    const version = await request('get', uri('$SYS/broker/version'));
    assert.equal(version.code, '2.05');
    assert.match(version.payload.toString(), /^portico version /);
    assert.equal((await request('put', uri('$SYS/broker/version'), ['-e', 'mine'])).code, '4.03');
    assert.equal((await request('delete', uri('$SYS/broker/version'))).code, '4.03');
    assert.equal((await request('get', uri('$SYS/broker/version'))).payload.toString(), version.payload.toString());
  });

  test('a path beside the topics is 4.04, and another method 4.05', async () => {
    const base = `coap://127.0.0.1:${portico.ports.coap}`;
    assert.equal((await request('get', `${base}/elsewhere`)).code, '4.04');
    assert.equal((await request('put', `${base}/elsewhere`, ['-e', 'x'])).code, '4.04');
    assert.equal((await request('ipatch', uri('libcoap/method'), ['-e', 'x'])).code, '4.05');
  });

  test('percent-encoded UTF-8 and spaces are characters of the topic', async () => {
    assert.equal((await request('put', uri('libcoap/K%C3%BCche/2%20Grad'), ['-e', 'x'])).code, '2.01');
    assert.equal((await js.next('libcoap/Küche/2 Grad')).payload.toString(), 'x');
  });
});
