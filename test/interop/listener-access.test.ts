/** Listeners with users, rules and keys of their own, as Mosquitto's clients, SIGHUP and a restart find them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts, listenersAt, Portico, type Ports, temporaryFolder } from '../support/portico.js';
import { Changing } from './changing.js';
import { type Finished, run } from './programs.js';
import { connectPacket, openRaw, type RawClient } from './raw.js';

const HOST = '127.0.0.1';
const [KEY, OTHER] = ['c0ffeec0ffee', 'decaf0decaf0'];
/** Answers of mosquitto_pub to MQTT 5.0 reason codes: 0x86 and 0x87. */
const [BAD, DENIED] = [134, 135];

describe('listeners with access of their own', { timeout: 120_000 }, () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  let scene: Changing;
  /** Of all, of the factory, of keys in the hall, of keys in the yard. */
  let ports: number[];
  const listeners = (more: object = {}): object[] => {
    return listenersOn(scene?.portico.ports ?? { mqtt: 0, websocket: 0, coap: 0 }, more);
  };

  function listenersOn(own: Ports, more: object = {}): object[] {
    const keyed = { type: 'mqtts', host: HOST, psk_hint: 'portico', max_tls_version: 'tlsv1.2' };
    return [
      ...listenersAt(own),
      {
        type: 'mqtt',
        host: HOST,
        port: ports[1],
        access: { password_file: at('factory'), acl_file: at('factory-acl') },
        ...more,
      },
      { ...keyed, port: ports[2], access: { psk_file: at('hall'), acl_file: at('hall-acl') } },
      { ...keyed, port: ports[3], access: { psk_file: at('yard') } },
    ];
  }

  before(async () => {
    const [one, two] = [await freePorts(), await freePorts()];
    writeFileSync(at('users'), '');
    writeFileSync(at('factory'), '');
    await run('mosquitto_passwd', ['-b', at('users'), 'ann', 'usual']);
    await run('mosquitto_passwd', ['-b', at('factory'), 'ann', 'factory']);
    writeFileSync(at('acl'), 'user ann\ntopic readwrite a/#\ntopic read f/#\ntopic read $SYS/#\n');
    writeFileSync(at('factory-acl'), 'user ann\ntopic readwrite f/#\n');
    writeFileSync(at('hall'), `meter:${KEY}\n`);
    writeFileSync(at('yard'), `meter:${OTHER}\n`);
    writeFileSync(at('hall-acl'), 'user meter\ntopic write f/hall\n');
    ports = [0, one.mqtt, one.websocket, two.mqtt];
    scene = await Changing.of(
      await Portico.start((own) => ({
        listeners: listenersOn(own),
        access: { password_file: at('users'), acl_file: at('acl') },
      })),
    );
    ports[0] = scene.portico.ports.mqtt;
  });
  after(() => scene?.portico.dispose());

  const publish = (port: number, topic: string, ...words: string[]): Promise<Finished> =>
    run('mosquitto_pub', [
      '-V',
      '5',
      '-h',
      HOST,
      '-p',
      String(ports[port]),
      '-q',
      '1',
      '-t',
      topic,
      '-m',
      topic,
      ...words,
    ]);
  const as = (password: string): string[] => ['-u', 'ann', '-P', password];
  const keyed = (key: string): string[] => ['--psk-identity', 'meter', '--psk', key, '--tls-version', 'tlsv1.2'];
  /** What is retained, as ann reads it by the listener of all. */
  async function retained(filter: string): Promise<string[]> {
    const client = await come(0, 'usual', 'reader');
    client.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: filter, qos: 0 }] });
    client.send({ cmd: 'pingreq' });
    const found: string[] = [];
    for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
      if (packet.cmd === 'publish') found.push(packet.topic);
    }
    client.cut();
    await client.closed;
    return found.toSorted();
  }

  async function come(port: number, password: string, clientId = `c-${password}`): Promise<RawClient> {
    const client = await openRaw(ports[port], 5);
    client.send(connectPacket({ clientId, protocolVersion: 5, username: 'ann', password: Buffer.from(password) }));
    assert.equal((await client.expect('connack')).reasonCode, 0);
    return client;
  }

  test('mosquitto_pub is let in by the password file of its listener, and held to its list', async () => {
    assert.equal((await publish(0, 'a/1', ...as('usual'))).code, 0);
    assert.equal((await publish(0, 'a/1', ...as('factory'))).code, BAD);
    assert.equal((await publish(1, 'f/1', ...as('factory'))).code, 0);
    assert.equal((await publish(1, 'f/1', ...as('usual'))).code, BAD);
    assert.equal((await publish(1, 'f/1')).code, DENIED);
    assert.match((await publish(1, 'a/1', ...as('factory'))).stderr, /Not authorized/);
  });

  test('mosquitto_pub is let in by the key of its listener, and by that of no other', async () => {
    assert.equal((await publish(2, 'f/hall', ...keyed(KEY))).code, 0);
    assert.notEqual((await publish(2, 'f/hall', ...keyed(OTHER))).code, 0);
    assert.match((await publish(2, 'f/other', ...keyed(KEY))).stderr, /Not authorized/);
    assert.equal((await publish(3, 'any/thing', ...keyed(OTHER))).code, 0);
    assert.notEqual((await publish(3, 'any/thing', ...keyed(KEY))).code, 0);
  });

  test('retained messages stand on the list of their listener, after a reload and after a restart', async () => {
    await publish(1, 'f/kept', '-r', ...as('factory'));
    await publish(1, 'f/taken', '-r', ...as('factory'));
    await publish(2, 'f/hall', '-r', ...keyed(KEY));
    assert.deepEqual(await retained('f/#'), ['f/hall', 'f/kept', 'f/taken']);
    writeFileSync(at('factory-acl'), 'user ann\ntopic readwrite f/kept\n');
    const lines = await scene.reload();
    const changed = `reload: listeners.3.access.acl_file: what is in ${at('factory-acl')} has changed: at once`;
    assert.ok(lines.includes(changed), lines.join('\n'));
    assert.deepEqual(await retained('f/#'), ['f/hall', 'f/kept']);
    await scene.portico.stop();
    writeFileSync(at('hall-acl'), 'user meter\ntopic write f/nothing\n');
    await scene.portico.restart();
    assert.deepEqual(await retained('f/#'), ['f/kept']);
  });

  test('a reload sends away who is another user by the file of its listener, and nobody else', async () => {
    const { portico } = scene;
    const [usual, factory] = [await come(0, 'usual'), await come(1, 'factory')];
    await run('mosquitto_passwd', ['-b', at('factory'), 'ann', 'new']);
    const lines = await scene.reload();
    assert.ok(lines.includes('reload: clients that may not connect any more, and were sent away: 1'), lines.join('\n'));
    assert.equal((await factory.expect('disconnect')).reasonCode, 0x87);
    assert.equal((await publish(1, 'f/kept', ...as('factory'))).code, BAD);
    assert.equal((await publish(1, 'f/kept', ...as('new'))).code, 0);
    // The section goes, and with it what was its own: the users of all are asked for.
    const again = await come(1, 'new');
    scene.write({ listeners: listeners({ access: undefined }) });
    const gone = await scene.reload();
    assert.ok(
      gone.some((line) => /^reload: listeners\.3\.access has changed .*: at once$/.test(line)),
      gone.join('\n'),
    );
    assert.equal((await again.expect('disconnect')).reasonCode, 0x87);
    assert.equal((await publish(1, 'a/1', ...as('usual'))).code, 0);
    assert.match((await publish(1, 'f/1', ...as('usual'))).stderr, /Not authorized/);
    usual.send({ cmd: 'pingreq' });
    await usual.expect('pingresp');
    scene.write({ listeners: listeners() });
    await scene.reload();
    assert.equal((await publish(1, 'f/kept', ...as('new'))).code, 0);
    assert.equal(portico.logLines.filter(({ level }) => level >= 50).length, 0);
  });

  test('a fault in a file of a listener leaves everything as it was', async () => {
    writeFileSync(at('factory-acl'), 'topik x\n');
    const lines = await scene.reload();
    assert.ok(
      lines.some((line) => line.includes(`${at('factory-acl')}:1: the line begins with none of`)),
      lines.join('\n'),
    );
    assert.equal(lines.at(-1), 'reload: nothing was changed; what was in force before still is');
    assert.equal((await publish(1, 'f/kept', ...as('new'))).code, 0);
  });
});
