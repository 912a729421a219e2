/** MQTT 5.0 with MQTT.js: what CONNECT and CONNACK agree on, how long sessions live, when wills are published. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IClientOptions } from 'mqtt';
import { Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { SysWatch } from './sys.js';

describe('MQTT.js with MQTT 5.0: connections and sessions', { timeout: 60_000, concurrency: true }, () => {
  let portico: Portico;
  let sys: SysWatch;

  before(async () => {
    portico = await Portico.start({
      mqtt: { keepalive_max: 60, session_expiry_max: 3600, receive_maximum: 10, max_packet_size: 65_536 },
    });
    sys = await SysWatch.start(portico.ports.mqtt);
  });
  after(() => portico.dispose());

  const connect = (clientId: string, options: IClientOptions = {}): Promise<JsClient> =>
    JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId, protocolVersion: 5, ...options });

  test('a client without identifier is told the one it got [MQTT-3.1.3-7], and can come back with it', async () => {
    const nameless = await connect('', { properties: { sessionExpiryInterval: 100 } });
    const assigned = nameless.granted.assignedClientIdentifier;
    assert.ok(assigned !== undefined && assigned !== '');
    await nameless.subscribe('js5/assigned', 1);
    await nameless.end();
    const named = await connect(assigned, { clean: false });
    assert.equal(named.granted.assignedClientIdentifier, undefined);
    assert.equal(named.sessionPresent, true);
    await named.end();
  });

  for (const [asked, granted] of [
    [0, 60],
    [600, 60],
    [60, undefined],
    [30, undefined],
  ] as const) {
    const words = granted === undefined ? 'is kept' : `becomes ${granted}, and CONNACK says so`;
    test(`a keep alive of ${asked} seconds ${words} [MQTT-3.2.2-21]`, async () => {
      const client = await connect(`js5-keepalive-${asked}`, { keepalive: asked });
      assert.equal(client.granted.serverKeepAlive, granted);
      await client.end();
    });
  }

  for (const [asked, granted] of [
    [10_000, 3600],
    [0xffffffff, 3600],
    [3600, undefined],
    [100, undefined],
  ] as const) {
    const words = granted === undefined ? 'is kept' : `becomes ${granted}, and CONNACK says so`;
    test(`a Session Expiry Interval of ${asked} seconds ${words} (3.2.2.3.2)`, async () => {
      const client = await connect(`js5-expiry-${asked}`, { properties: { sessionExpiryInterval: asked } });
      assert.equal(client.granted.sessionExpiryInterval, granted);
      await client.end();
    });
  }

  test('CONNACK tells the limits of the broker, and nothing that is the default', async () => {
    const client = await connect('js5-limits');
    assert.equal(client.granted.receiveMaximum, 10);
    assert.equal(client.granted.maximumPacketSize, 65_536);
    for (const name of ['maximumQoS', 'assignedClientIdentifier', 'serverReference', 'authenticationMethod'] as const) {
      assert.equal(client.granted[name], undefined, name);
    }
    // Absent means available [MQTT 3.2.2.3.5 to 3.2.2.3.13].
    for (const name of [
      'retainAvailable',
      'wildcardSubscriptionAvailable',
      'subscriptionIdentifiersAvailable',
    ] as const) {
      assert.notEqual(client.granted[name], false, name);
    }
    await client.end();
  });

  test('a packet beyond Maximum Packet Size of the broker is answered with DISCONNECT 0x95', async () => {
    const client = await connect('js5-too-large');
    client.raw.publish('js5/too-large', Buffer.alloc(65_536));
    const packet = await client.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
    assert.ok(packet.cmd === 'disconnect' && packet.reasonCode === 0x95, 'packet too large');
    await client.closed;
  });

  test('a message beyond Maximum Packet Size of the client is left out, and does not hold up the next [MQTT-3.1.2-25]', async () => {
    const small = await connect('js5-small', { properties: { maximumPacketSize: 100 } });
    await small.subscribe('js5/small', 2);
    const other = await connect('js5-small-other');
    for (const qos of [0, 1, 2] as const) await other.publish('js5/small', Buffer.alloc(100), qos);
    for (const qos of [0, 1, 2] as const) await other.publish('js5/small', `fits ${qos}`, qos);
    const got = new Set(await small.payloads(3));
    assert.deepEqual(got, new Set(['fits 0', 'fits 1', 'fits 2']));
    await other.end();
    await small.end();
  });

  test('with a Receive Maximum of 1 everything arrives, in order of each QoS [MQTT-3.3.4-9]', async () => {
    const narrow = await connect('js5-narrow', { properties: { receiveMaximum: 1 } });
    await narrow.subscribe('js5/narrow/+', 2);
    const other = await connect('js5-narrow-other');
    const sent = Array.from({ length: 50 }, (_, i) => String(i));
    for (const payload of sent) {
      await other.publish('js5/narrow/1', payload, 1);
      await other.publish('js5/narrow/2', payload, 2);
    }
    const got = new Map<string, string[]>();
    for (let i = 0; i < 2 * sent.length; i++) {
      const { topic, payload } = await narrow.next();
      got.set(topic, [...(got.get(topic) ?? []), payload.toString()]);
    }
    assert.deepEqual(got.get('js5/narrow/1'), sent);
    assert.deepEqual(got.get('js5/narrow/2'), sent);
    await other.end();
    await narrow.end();
  });

  test('a client that is refused is told why by its reason code', async () => {
    await assert.rejects(
      connect('js5-method', { properties: { authenticationMethod: 'none-that-exists' } }),
      (error: { code?: number }) => error.code === 0x8c,
    );
    const will = { topic: '$SYS/broker/version', payload: Buffer.from('x'), qos: 0, retain: false } as const;
    await assert.rejects(connect('js5-sys-will', { will }), (error: { code?: number }) => error.code === 0x87);
  });

  test('a session lives as long as CONNECT says, and DISCONNECT can change it (3.14.2.2.2)', async () => {
    const leave = async (name: string, interval: number, atLast?: number): Promise<void> => {
      const client = await connect(name, { properties: { sessionExpiryInterval: interval } });
      await client.subscribe(`js5/lives/${name}`, 1);
      await client.raw.endAsync(false, atLast === undefined ? {} : { properties: { sessionExpiryInterval: atLast } });
    };
    const isKept = async (name: string): Promise<boolean> => {
      const client = await connect(name, { clean: false });
      await client.end();
      return client.sessionPresent;
    };
    await leave('js5-lives-not', 0);
    await leave('js5-lives-long', 100);
    await leave('js5-lives-short', 1);
    await leave('js5-lives-longer', 1, 100);
    await leave('js5-lives-shorter', 100, 1);
    await leave('js5-lives-no-longer', 100, 0);
    assert.equal(await isKept('js5-lives-not'), false);
    assert.equal(await isKept('js5-lives-no-longer'), false);
    await sys.passed(2);
    assert.equal(await isKept('js5-lives-long'), true);
    assert.equal(await isKept('js5-lives-longer'), true);
    assert.equal(await isKept('js5-lives-short'), false);
    assert.equal(await isKept('js5-lives-shorter'), false);
  });

  test('a session that was to end cannot be kept by DISCONNECT: 0x82 [MQTT-3.14.2-2]', async () => {
    const client = await connect('js5-kept-too-late');
    client.raw.end(false, { properties: { sessionExpiryInterval: 100 } });
    const packet = await client.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
    assert.ok(packet.cmd === 'disconnect' && packet.reasonCode === 0x82, 'protocol error');
  });

  test('Clean Start discards the session, and what waited in it [MQTT-3.1.2-4]', async () => {
    const kept = { properties: { sessionExpiryInterval: 100 } };
    const first = await connect('js5-clean', kept);
    await first.subscribe('js5/clean', 1);
    await first.end();
    const other = await connect('js5-clean-other');
    await other.publish('js5/clean', 'waits', 1);
    const second = await connect('js5-clean', { ...kept, clean: true });
    assert.equal(second.sessionPresent, false);
    await second.subscribe('js5/clean-marker', 1);
    await other.publish('js5/clean', 'nobody is subscribed', 1);
    await other.publish('js5/clean-marker', 'marker', 1);
    assert.equal((await second.next()).payload.toString(), 'marker');
    await other.end();
    await second.end();
  });

  test('a will carries the properties that its client gave it', async () => {
    const watcher = await connect('js5-will-watcher');
    await watcher.subscribeWith('js5/will/properties', { qos: 2, identifier: 9 });
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 100,
      contentType: 'text/plain',
      responseTopic: 'js5/will/answers',
      correlationData: Buffer.from([0, 255]),
      userProperties: { room: ['kitchen', 'hall'], floor: '1' },
    };
    const will = { topic: 'js5/will/properties', payload: Buffer.from('gone'), qos: 2, retain: false } as const;
    await (await connect('js5-will-dying', { will: { ...will, properties } })).cut();
    const got = await watcher.publications.next();
    const { messageExpiryInterval = 0, ...others } = got.properties;
    assert.ok(messageExpiryInterval > 90 && messageExpiryInterval <= 100, String(messageExpiryInterval));
    const { messageExpiryInterval: _, ...expected } = { ...properties, subscriptionIdentifier: 9 };
    assert.deepEqual(JSON.parse(JSON.stringify(others)), JSON.parse(JSON.stringify(expected)));
    assert.deepEqual([got.payload, got.packet.qos], ['gone', 2]);
    await watcher.end();
  });

  test('a will waits for its Will Delay Interval, unless its session ends or its client comes back [MQTT-3.1.3-9]', async () => {
    const watcher = await connect('js5-delay-watcher');
    await watcher.subscribe('js5/delay/#', 1);
    const options = (name: string, willDelayInterval: number, sessionExpiryInterval: number): IClientOptions => ({
      clean: false,
      properties: { sessionExpiryInterval },
      will: {
        topic: `js5/delay/${name}`,
        payload: Buffer.from(name),
        qos: 1,
        retain: false,
        properties: { willDelayInterval },
      },
    });
    const die = async (name: string, delay: number, expiry: number): Promise<void> =>
      (await connect(`js5-delay-${name}`, options(name, delay, expiry))).cut();
    await die('no-session', 1000, 0);
    await die('back-in-time', 1000, 100);
    await die('clean-start', 1000, 100);
    const back = await connect('js5-delay-back-in-time', { clean: false, properties: { sessionExpiryInterval: 100 } });
    assert.equal(back.sessionPresent, true);
    await die('session-ended', 1000, 3);
    await die('delayed', 3, 100);
    await watcher.publish('js5/delay/marker', 'marker', 1);
    assert.deepEqual(await watcher.payloads(2), ['no-session', 'marker'], 'the others wait');
    // The former session ends when the client starts anew, and its will is due then.
    const anew = await connect('js5-delay-clean-start', { clean: true });
    assert.equal((await watcher.next('js5/delay/clean-start')).payload.toString(), 'clean-start');
    assert.deepEqual(new Set(await watcher.payloads(2)), new Set(['delayed', 'session-ended']));
    // At the end of the session a will that still waited would be due.
    await back.raw.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
    await (await connect('js5-delay-back-in-time')).end();
    await watcher.publish('js5/delay/marker', 'end', 1);
    assert.deepEqual(await watcher.payloads(1), ['end'], 'the client that came back in time has no will published');
    for (const client of [anew, watcher]) await client.end();
  });

  test('DISCONNECT 0x04 publishes the will, and 0x00 does not [MQTT-3.14.4-3]', async () => {
    const watcher = await connect('js5-leaving-watcher');
    await watcher.subscribe('js5/leaving', 1);
    for (const reasonCode of [0x00, 0x04]) {
      const will = { topic: 'js5/leaving', payload: Buffer.from(String(reasonCode)), qos: 1, retain: false } as const;
      await (await connect('js5-leaving', { will })).raw.endAsync(false, { reasonCode });
    }
    assert.deepEqual(await watcher.payloads(1), ['4']);
    await watcher.end();
  });

  test('clients are told that the broker ends: DISCONNECT 0x8B', async (t) => {
    const other = await Portico.start();
    t.after(() => other.dispose());
    const client = await JsClient.connect(`mqtt://127.0.0.1:${other.ports.mqtt}`, { protocolVersion: 5 });
    await Promise.all([
      other.stop(),
      client.packets.take((packet) => packet.cmd === 'disconnect' && packet.reasonCode === 0x8b, 'DISCONNECT 0x8B'),
    ]);
  });
});
