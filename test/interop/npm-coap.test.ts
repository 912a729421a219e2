import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { CoapObserver, exchange, topicPath } from './npm-coap.js';

describe('npm coap as client', { timeout: 60_000 }, () => {
  let portico: Portico;
  let port: number;
  let js: JsClient;

  before(async () => {
    portico = await Portico.start();
    port = portico.ports.coap;
    js = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'beside-npm-coap' });
    await js.subscribe('npm/#', 1);
  });
  after(() => portico.dispose());

  for (const confirmable of [true, false]) {
    const name = confirmable ? 'confirmable' : 'non-confirmable';

    test(`${name} PUT, GET, POST and DELETE`, async () => {
      const path = topicPath(`npm/${name}/value`);
      assert.equal((await exchange(port, 'GET', path, { confirmable })).code, '4.04');
      assert.equal((await exchange(port, 'PUT', path, { confirmable, payload: 'first' })).code, '2.01');
      assert.equal((await js.next()).payload.toString(), 'first');
      assert.equal((await exchange(port, 'PUT', path, { confirmable, payload: 'second' })).code, '2.04');
      assert.equal((await js.next()).payload.toString(), 'second');
      const read = await exchange(port, 'GET', path, { confirmable });
      assert.deepEqual([read.code, read.payload.toString()], ['2.05', 'second']);
      assert.equal((await exchange(port, 'POST', path, { confirmable, payload: 'event' })).code, '2.04');
      assert.equal((await js.next()).payload.toString(), 'event');
      assert.equal(
        (await exchange(port, 'GET', path, { confirmable })).payload.toString(),
        'second',
        'POST keeps nothing',
      );
      assert.equal((await exchange(port, 'DELETE', path, { confirmable })).code, '2.02');
      assert.equal((await js.next()).payload.length, 0);
      assert.equal((await exchange(port, 'GET', path, { confirmable })).code, '4.04');
    });

    test(`a ${name} observer is notified of each message and cancels with Observe 1`, async () => {
      const topic = `npm/${name}/observed`;
      await js.publish(topic, 'zero', 1, true);
      const observer = await CoapObserver.start(port, topicPath(topic), confirmable);
      assert.equal(await observer.values.next(), 'zero');
      await js.publish(topic, 'one', 1, true);
      assert.equal(await observer.values.next(), 'one');
      assert.equal((await exchange(port, 'PUT', topicPath(topic), { payload: 'two' })).code, '2.04');
      assert.equal(await observer.values.next(), 'two');
      assert.equal((await exchange(port, 'POST', topicPath(topic), { payload: 'three' })).code, '2.04');
      assert.equal(await observer.values.next(), 'three');
      await observer.end();
      for (const payload of ['zero', 'one', 'two', 'three'])
        assert.equal((await js.next(topic)).payload.toString(), payload);
    });
  }

  test('bodies in blocks travel both ways', async () => {
    const body = randomBytes(20_000);
    const path = topicPath('npm/blocks');
    // The package sends blocks if it is given a Block1 option, which is the size exponent: 6 for 1024 bytes.
    const options = { Block1: Buffer.of(6) };
    assert.equal((await exchange(port, 'PUT', path, { payload: body, options })).code, '2.01');
    assert.ok((await js.next('npm/blocks')).payload.equals(body));
    const got = await exchange(port, 'GET', path);
    assert.equal(got.code, '2.05');
    assert.ok(got.payload.equals(body), `${got.payload.length} bytes that differ`);
  });

  test('Content-Format is kept with the value and becomes Content Type for MQTT 5.0, and back', async () => {
    const path = topicPath('npm/format');
    const url = `mqtt://127.0.0.1:${portico.ports.mqtt}`;
    const js5 = await JsClient.connect(url, { clientId: 'npm-format', protocolVersion: 5 });
    await js5.subscribe('npm/format', 1);
    const published = js5.nextPublish();
    const options = { 'Content-Format': 'application/json' };
    assert.equal((await exchange(port, 'PUT', path, { payload: '{}', options })).code, '2.01');
    assert.equal((await published).properties?.contentType, 'application/json');
    assert.equal((await exchange(port, 'GET', path)).headers['Content-Format'], 'application/json');

    await js5.raw.publishAsync('npm/format', '<x/>', {
      qos: 1,
      retain: true,
      properties: { contentType: 'application/xml' },
    });
    assert.equal((await exchange(port, 'GET', path)).headers['Content-Format'], 'application/xml');
    await js5.end();
  });

  test('Max-Age is what is left of the Message Expiry Interval; a query sets expiry, QoS and retain', async () => {
    const path = topicPath('npm/expiry');
    const url = `mqtt://127.0.0.1:${portico.ports.mqtt}`;
    const js5 = await JsClient.connect(url, { clientId: 'npm-expiry', protocolVersion: 5 });
    await js5.subscribe('npm/expiry', 2);
    const options = { qos: 1, retain: true, properties: { messageExpiryInterval: 100 } } as const;
    await js5.raw.publishAsync('npm/expiry', 'x', options);
    await js5.next();
    const maxAge = Number((await exchange(port, 'GET', path)).headers['Max-Age']);
    assert.ok(maxAge > 90 && maxAge <= 100, `Max-Age ${maxAge}`);

    const published = js5.nextPublish();
    assert.equal(
      (await exchange(port, 'POST', path, { query: 'expiry=50&qos=2&retain=true', payload: 'y' })).code,
      '2.04',
    );
    const { qos, properties } = await published;
    const expiry = properties?.messageExpiryInterval ?? 0;
    assert.ok(qos === 2 && expiry > 40 && expiry <= 50, `QoS ${qos}, Message Expiry Interval ${expiry}`);
    assert.equal((await exchange(port, 'GET', path)).payload.toString(), 'y', 'retained');
    assert.equal((await exchange(port, 'PUT', path, { query: 'qos=3', payload: 'z' })).code.slice(0, 1), '4');
    await js5.end();
  });

  test('after a burst, an observer has the last state (RFC 7641 1.3)', async () => {
    const topic = 'npm/burst';
    await js.publish(topic, 'start', 1, true);
    const observer = await CoapObserver.start(port, topicPath(topic));
    await Promise.all(Array.from({ length: 300 }, (_, i) => js.publish(topic, `state ${i}`, 1, true)));
    await observer.values.take((value) => value === 'state 299', 'the last state');
    await observer.end();
  });

  test('a "/" within a segment is refused with 4.00', async () => {
    // The package splits only what `pathname` gives it; an option value is sent as it is.
    for (const method of ['GET', 'PUT', 'POST', 'DELETE'] as const) {
      const options = { 'Uri-Path': ['ps', 'a/b'].map((segment) => Buffer.from(segment)) };
      const payload = method === 'PUT' || method === 'POST' ? { payload: 'x' } : {};
      assert.equal((await exchange(port, method, '', { options, ...payload })).code, '4.00', method);
    }
  });

  test('/.well-known/core is served and filtered', async () => {
    const all = await exchange(port, 'GET', '/.well-known/core');
    assert.deepEqual([all.code, all.headers['Content-Format']], ['2.05', 'application/link-format']);
    assert.match(all.payload.toString(), /<\/ps\/?>/);
    const none = await exchange(port, 'GET', '/.well-known/core', { query: 'rt=no-such-type' });
    assert.doesNotMatch(none.payload.toString(), /<\/ps/);
  });
});
