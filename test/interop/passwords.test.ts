import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Portico, temporaryFolder } from '../support/portico.js';
import { request, topicUri } from './libcoap.js';
import { MQTT_VERSIONS, tryPublish } from './mosquitto.js';
import { run } from './programs.js';
import { connectPacket, openRaw } from './raw.js';

describe('a password file of mosquitto_passwd', { timeout: 60_000 }, () => {
  let portico: Portico;

  before(async () => {
    const file = join(temporaryFolder(), 'passwords');
    writeFileSync(file, '');
    for (const [user, password] of [
      ['alice', 'correct horse'],
      ['bob', 'пароль:with:colons'],
    ]) {
      const { code, stderr } = await run('mosquitto_passwd', ['-b', file, user, password]);
      assert.equal(code, 0, stderr);
    }
    portico = await Portico.start({ access: { password_file: file } });
  });
  after(() => portico.dispose());

  const arguments_ = (...who: string[]): string[] => ['-q', '1', '-t', 'passwords', '-m', 'x', ...who];

  for (const version of MQTT_VERSIONS) {
    test(`-V ${version}: users with their passwords may connect, others may not`, async () => {
      const { mqtt } = portico.ports;
      for (const who of [
        ['-u', 'alice', '-P', 'correct horse'],
        ['-u', 'bob', '-P', 'пароль:with:colons'],
      ]) {
        const { code, stderr } = await tryPublish(mqtt, version, arguments_(...who));
        assert.equal(code, 0, stderr);
      }
      for (const who of [
        [],
        ['-u', 'alice'],
        ['-u', 'alice', '-P', 'wrong'],
        ['-u', 'alice', '-P', ''],
        ['-u', 'bob', '-P', 'correct horse'],
        ['-u', 'mallory', '-P', 'correct horse'],
      ]) {
        const { code, stderr } = await tryPublish(mqtt, version, arguments_(...who));
        assert.notEqual(code, 0, who.join(' '));
        assert.match(stderr, /not authori[sz]ed|bad user ?name or password/i, who.join(' '));
      }
    });
  }

  test('CONNACK says which it was: return code 4 for a wrong password, 5 without user name', async () => {
    for (const [fields, returnCode] of [
      [{ username: 'alice', password: Buffer.from('wrong') }, 4],
      [{ username: 'mallory', password: Buffer.from('x') }, 4],
      [{}, 5],
    ] as const) {
      const client = await openRaw(portico.ports.mqtt);
      client.send(connectPacket({ clientId: 'who', ...fields }));
      assert.equal((await client.expect('connack')).returnCode, returnCode);
      await client.closed;
    }
  });

  test('a device without credentials is refused with 4.01', async () => {
    for (const method of ['get', 'put', 'post', 'delete']) {
      const args = method === 'put' || method === 'post' ? ['-e', 'x'] : [];
      assert.equal((await request(method, topicUri(portico.ports.coap, 'passwords'), args)).code, '4.01', method);
    }
  });
});
