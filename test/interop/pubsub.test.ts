/** draft-ietf-core-coap-pubsub-21 with libcoap's coap-client against the process, beside MQTT clients and the other face. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decode, encode, Tagged } from 'cborg';
import { Portico } from '../support/portico.js';
import { Observer, type Response, request } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';

const FORMAT = ['-t', '606'];
const DATE = 9_999_999_999;

function cbor(...entries: [number, unknown][]): Buffer {
  return Buffer.from(encode(new Map(entries)));
}

function mapOf(response: Response): Map<number, unknown> {
  assert.match(response.options, /Content-Format:(606|application\/core-pubsub\+cbor)/);
  return decode(response.payload, { useMaps: true, tags: Tagged.preserve(1) });
}

describe("the publish-subscribe face and libcoap's coap-client", { timeout: 120_000 }, () => {
  let portico: Portico;
  const uri = (path: string): string => `coap://127.0.0.1:${portico.ports.coap}${path}`;

  before(async () => {
    portico = await Portico.start();
  });
  after(() => portico.dispose());

  /** Creates a topic; returns the paths of its resources. */
  async function create(...more: [number, unknown][]): Promise<{ topic: string; data: string }> {
    const created = await request('post', uri('/pubsub'), FORMAT, cbor([2, 'core.ps.data'], ...more));
    assert.equal(created.code, '2.01');
    const [, collection, id] = /Location-Path:(\S+?), Location-Path:(\S+?),/.exec(created.options) ?? [];
    assert.equal(collection, 'pubsub');
    return { topic: `/pubsub/${id}`, data: String(mapOf(created).get(1)) };
  }

  test('discovery: /.well-known/core answers rt=core.ps, core.ps.coll, core.ps.conf and core.ps.data', async () => {
    const { topic, data } = await create([0, 'found'], [3, 0]);
    const links = async (query: string) => String((await request('get', uri(`/.well-known/core?${query}`))).payload);
    assert.match(await links('rt=core.ps'), /<\/pubsub>;rt="core\.ps core\.ps\.coll";ct=40/);
    assert.equal(await links('rt=core.ps.coll'), '</pubsub>;rt="core.ps core.ps.coll";ct=40');
    assert.equal(await links('rt=core.ps.conf'), `<${topic}>;rt="core.ps.conf";ct=606`);
    assert.match(await links('rt=core.ps.data'), new RegExp(`<${data}>;rt="core.ps.data";obs;ct=0`));
    assert.equal(await links(`href=${data}`), `<${data}>;rt="core.ps.data";obs;ct=0`);
    assert.equal((await request('delete', uri(topic))).code, '2.02');
    assert.equal(await links('rt=core.ps.conf'), '');
  });

  test('the life of a topic: create, FETCH, iPATCH, POST, publish, read, delete', async () => {
    const { topic, data } = await create([0, 'rooms/kitchen'], [3, 0], [4, 'temperature'], [5, new Tagged(1, DATE)]);
    const part = await request('fetch', uri(topic), ['-t', '60'], Buffer.from(encode([0, 3])));
    assert.equal(part.code, '2.05');
    assert.deepEqual(
      mapOf(part),
      new Map<number, unknown>([
        [0, 'rooms/kitchen'],
        [3, 0],
      ]),
    );
    const found = await request('fetch', uri('/pubsub'), FORMAT, cbor([4, 'temperature']));
    assert.equal(String(found.payload), `<${topic}>;rt="core.ps.conf";ct=606`);
    const patched = await request('ipatch', uri(topic), FORMAT, cbor([6, 5]));
    assert.equal(patched.code, '2.04');
    assert.deepEqual([mapOf(patched).get(5), mapOf(patched).get(6)], [new Tagged(1, DATE), 5]);
    const replaced = await request('post', uri(topic), FORMAT, cbor([3, 0]));
    assert.equal(replaced.code, '2.04');
    assert.deepEqual([...mapOf(replaced).keys()], [0, 1, 2, 3, 7]);

    assert.equal((await request('get', uri(data))).code, '4.04');
    assert.equal((await request('put', uri(data), ['-t', '50', '-e', '21'])).code, '4.15');
    assert.equal((await request('put', uri(data), ['-t', '0', '-e', '21'])).code, '2.01');
    assert.equal((await request('put', uri(data), ['-t', '0', '-e', '22'])).code, '2.04');
    assert.equal(String((await request('get', uri(data))).payload), '22');
    assert.equal((await request('delete', uri(data))).code, '2.02');
    assert.equal((await request('get', uri(data))).code, '4.04');
    assert.equal((await request('delete', uri(topic))).code, '2.02');
    assert.equal((await request('delete', uri(topic))).code, '4.04');
  });

  test('MQTT clients and both faces see the same values', async () => {
    const { topic, data } = await create([0, 'shared/value']);
    const mqtt = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-q', '1', '-t', 'shared/#']);
    assert.equal((await request('put', uri(data), ['-e', 'by pubsub'])).code, '2.01');
    assert.equal((await mqtt.next()).payload, 'by pubsub');
    assert.equal(String((await request('get', uri('/ps/shared/value'))).payload), 'by pubsub');
    const observer = await Observer.start(uri(data));
    assert.match(observer.first, /Observe:\d+.* 'by pubsub'$/);
    await publish(portico.ports.mqtt, 'mqttv311', ['-q', '1', '-r', '-t', 'shared/value', '-m', 'by MQTT']);
    assert.match(await observer.next(), /t:NON .*'by MQTT'$/);
    assert.equal((await request('put', uri('/ps/shared/value'), ['-e', 'by the other face'])).code, '2.04');
    assert.match(await observer.next(), /'by the other face'$/);
    assert.equal((await request('delete', uri(topic))).code, '2.02');
    assert.match(await observer.next(), / c:4\.04 /);
    assert.equal((await request('get', uri('/ps/shared/value'))).code, '4.04');
    await observer.end('SIGKILL');
    await mqtt.end();
  });

  for (const [name, end] of [
    ['an ordinary restart', () => portico.stop()],
    ['kill -9', () => portico.kill()],
  ] as const) {
    test(`topics, changes and data that were acknowledged survive ${name}; what was deleted does not come back`, async () => {
      const kept = await create([0, `kept over ${name}`], [3, 0], [8, Buffer.from('first')]);
      const gone = await create([0, `gone before ${name}`]);
      assert.equal((await request('ipatch', uri(kept.topic), FORMAT, cbor([6, 3]))).code, '2.04');
      assert.equal((await request('put', uri(kept.data), ['-t', '0', '-e', 'second'])).code, '2.04');
      assert.equal((await request('delete', uri(gone.topic))).code, '2.02');
      const last = await create([0, `last before ${name}`]);
      await end();
      await portico.restart();
      assert.equal(mapOf(await request('get', uri(kept.topic))).get(6), 3);
      assert.equal(String((await request('get', uri(kept.data))).payload), 'second');
      assert.equal((await request('get', uri(gone.topic))).code, '4.04');
      assert.equal(mapOf(await request('get', uri(last.topic))).get(0), `last before ${name}`);
      assert.equal((await request('put', uri(last.data), ['-e', 'x'])).code, '2.01');
    });
  }
});
