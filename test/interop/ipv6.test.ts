/** Clients that others wrote, over IPv6. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { logged } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { Program, run } from './programs.js';

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

  test('mosquitto_pub, MQTT.js over WebSocket and coap-client reach the same topics over ::1', async () => {
    const { mqtt, websocket, coap } = portico.ports;
    const reader = await JsClient.connect(`ws://[::1]:${websocket}/mqtt`, { clientId: 'reader' });
    await reader.subscribe('six/#', 1);
    const { code, stderr } = await run('mosquitto_pub', [
      ...['-h', '::1', '-p', String(mqtt), '-i', 'six', '-q', '1', '-t', 'six/mqtt', '-m', 'a'],
    ]);
    assert.equal(code, 0, stderr);
    assert.equal((await reader.next('six/mqtt')).payload.toString(), 'a');
    const put = await run('coap-client-notls', ['-m', 'put', '-e', 'b', `coap://[::1]:${coap}/ps/six/coap`]);
    assert.equal(put.code, 0, put.stderr);
    assert.equal((await reader.next('six/coap')).payload.toString(), 'b');
    await reader.end();
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
