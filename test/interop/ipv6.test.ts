/** Clients that others wrote, over IPv6. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createWebSocketStream, WebSocket } from 'ws';
import { Portico } from '../support/portico.js';
import { logged } from './coap-transports.js';
import { Program, run } from './programs.js';
import { connectPacket, RawClient } from './raw.js';

describe('IPv6', { timeout: 60_000 }, () => {
  let portico: Portico;

  before(async () => {
    portico = await Portico.start(({ mqtt, websocket, coap }) => ({
      allow_anonymous: true,
      listeners: [
        { type: 'mqtt', host: '::', port: mqtt },
        { type: 'websocket', host: '::1', port: websocket },
        { type: 'websocket', host: '127.0.0.1', port: websocket },
        { type: 'coap', host: '::1', port: coap },
        { type: 'coap', host: '127.0.0.1', port: coap },
      ],
    }));
  });
  after(() => portico.dispose());

  test('mosquitto_pub, a WebSocket and coap-client reach the same topics over ::1', async () => {
    const { mqtt, websocket, coap } = portico.ports;
    // MQTT.js makes no URL with an IPv6 address.
    const socket = new WebSocket(`ws://[::1]:${websocket}/mqtt`, 'mqtt');
    const reader = new RawClient(createWebSocketStream(socket), 4);
    reader.send(connectPacket({ clientId: 'reader' }));
    assert.equal((await reader.expect('connack')).returnCode, 0);
    await reader.subscribe('six/#', 0);
    const next = async (): Promise<string> => {
      const { topic, payload } = await reader.expect('publish');
      return `${topic} ${payload}`;
    };
    const { code, stderr } = await run('mosquitto_pub', [
      ...['-h', '::1', '-p', String(mqtt), '-i', 'six', '-q', '1', '-t', 'six/mqtt', '-m', 'a'],
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(await next(), 'six/mqtt a');
    const put = await run('coap-client-notls', ['-m', 'put', '-e', 'b', `coap://[::1]:${coap}/ps/six/coap`]);
    assert.equal(put.code, 0, put.stderr);
    assert.equal(await next(), 'six/coap b');
    reader.cut();
    const { remote } = await logged(portico, ({ msg }) => msg.startsWith('client "six" connected from '));
    assert.match(String(remote), /^\[::1\]:\d+$/);
  });

  test('a listener on :: is there for IPv4, too, and the log has its clients by their IPv4 address', async () => {
    const address = ['-h', '127.0.0.1', '-p', String(portico.ports.mqtt)];
    const four = await Program.start('mosquitto_sub', [...address, '-i', 'four', '-t', 'six/four', '-d', '-C', '1']);
    const { remote } = await logged(portico, ({ msg }) => msg.startsWith('client "four" connected from '));
    assert.match(String(remote), /^127\.0\.0\.1:\d+$/);
    await four.end();
  });
});
