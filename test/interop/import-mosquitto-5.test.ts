/**
 * Version 5 of the format, which Mosquitto 1.6 wrote and no Debian release with packages of today has. The bytes are ours; that
 * they are such a file is shown by Debian's Mosquitto 2.0, which reads it too: its clients find there what those of Portico find.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import {
  client,
  clientMessage,
  configuration,
  head,
  message,
  retained,
  subscription,
} from '../support/mosquitto-db.js';
import { freePorts, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { Program, run } from './programs.js';
import { connectRaw } from './raw.js';

const folder = temporaryFolder();
const five = { protocolVersion: 5, properties: { sessionExpiryInterval: 1000 } } as const;
/** `mosq_md_out` that waits, and that waits for PUBACK. */
const [QUEUED, WAIT_FOR_PUBACK] = [11, 3];
/** Properties of a message for a client: Subscription Identifier 7. */
const IDENTIFIER_7 = Buffer.from([2, 11, 7]);

function contentType(text: string): Buffer {
  return Buffer.from([text.length + 3, 3, 0, text.length, ...Buffer.from(text)]);
}

/** Sessions of MQTT 3.1.1 and 5.0, one message in flight, those that wait and retained ones. */
function fileOfVersion5(): Buffer {
  const soon = Math.floor(Date.now() / 1000) + 5000;
  return Buffer.concat([
    head(5),
    configuration(),
    message({ id: 1, topic: 'kept/1', payload: 'one', qos: 1, retain: true, properties: contentType('text/plain') }),
    message({ id: 2, topic: 'q/1', payload: 'in flight', publisher: 'sensor' }),
    message({ id: 3, topic: 'q/2', payload: 'first', qos: 2, publisher: 'sensor', user: 'ann' }),
    message({ id: 4, topic: 'q/3', payload: 'second', expiresAt: soon }),
    client(5, 'old'),
    client(5, 'modern', 1000, soon),
    clientMessage({ id: 2, client: 'old', packetId: 9, state: WAIT_FOR_PUBACK, dup: true }),
    clientMessage({ id: 3, client: 'old', packetId: 10, qos: 1, state: QUEUED }),
    clientMessage({ id: 3, client: 'modern', packetId: 1, qos: 2, state: QUEUED, properties: IDENTIFIER_7 }),
    clientMessage({ id: 4, client: 'modern', packetId: 2, state: QUEUED }),
    retained(1),
    subscription('old', 'q/#', 1),
    subscription('modern', 'q/+', 2, 4 | 8, 7),
  ]);
}

/** What clients find at a broker that has the file, in lines. */
async function found(port: number): Promise<string[]> {
  const lines: string[] = [];
  const url = `mqtt://127.0.0.1:${port}`;
  const old = await connectRaw(port, { clientId: 'old', clean: false });
  lines.push(`old ${old.connack.sessionPresent}`);
  for (let i = 0; i < 2; i++) {
    const { topic, payload, qos, messageId = 0, dup } = await old.expect('publish');
    const sent = dup ? ` again as ${messageId}` : '';
    lines.push(`old ${topic} ${payload} ${qos}${sent}`);
    old.send({ cmd: 'puback', messageId });
  }
  const modern = await JsClient.connect(url, { clientId: 'modern', clean: false, ...five });
  lines.push(`modern ${modern.sessionPresent}`);
  const other = await JsClient.connect(url, { clientId: 'other', protocolVersion: 5 });
  for (let i = 0; i < 2; i++) {
    const { topic, payload, properties, packet } = await modern.publications.next('what waited');
    const { messageExpiryInterval: left = 0, subscriptionIdentifier = 'none' } = properties;
    const expiry = left === 0 ? 'never' : left > 4000 && left <= 5000 ? 'right' : left;
    lines.push(`modern ${topic} ${payload} ${packet.qos} expires ${expiry}, identifier ${subscriptionIdentifier}`);
  }
  await modern.publish('q/own', 'for others alone', 1);
  await other.publish('q/live', 'live', 2, true);
  const live = await modern.publications.next('a live message');
  lines.push(`modern ${live.topic} ${live.packet.qos} ${live.packet.retain} ${live.properties.subscriptionIdentifier}`);
  for (const topic of ['q/own', 'q/live']) {
    const { topic: name, messageId = 0 } = await old.expect('publish');
    assert.equal(name, topic);
    lines.push(`old ${name}`);
    old.send({ cmd: 'puback', messageId });
  }
  await other.subscribe('kept/#', 1);
  const kept = await other.publications.next('the retained message');
  lines.push(`${kept.topic} ${kept.payload} ${kept.packet.retain} ${kept.properties.contentType}`);
  old.cut();
  for (const one of [modern, other]) await one.end();
  return lines;
}

describe('a mosquitto.db of version 5', { timeout: 60_000 }, () => {
  let file: string;

  before(() => {
    file = join(folder, 'five.db');
    writeFileSync(file, fileOfVersion5());
  });

  test('is the same to Debian’s Mosquitto and to Portico', async () => {
    const place = join(folder, 'mosquitto');
    mkdirSync(place);
    writeFileSync(join(place, 'mosquitto.db'), readFileSync(file));
    const { mqtt } = await freePorts();
    const lines = [`listener ${mqtt} 127.0.0.1`, 'allow_anonymous true', 'persistence true', 'user root'];
    const conf = join(place, 'mosquitto.conf');
    writeFileSync(conf, `${lines.join('\n')}\npersistence_location ${place}/\nlog_dest stdout\n`);
    const mosquitto = await Program.start('/usr/sbin/mosquitto', ['-c', conf]);
    await mosquitto.lines.take((line) => line.endsWith(' running'), 'the start of Mosquitto');
    const theirs = await found(mqtt);
    await mosquitto.end();
    assert.equal(readFileSync(join(place, 'mosquitto.db')).readUInt32BE(19), 6, 'it has read it, and writes version 6');

    const data = join(folder, 'data');
    const { code, stderr } = await run(process.execPath, [porticoMain, 'import', 'mosquitto-db', file, '--data', data]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /not taken|lost/);
    const portico = await Portico.start({ data_dir: data });
    try {
      assert.deepEqual(await found(portico.ports.mqtt), theirs);
    } finally {
      await portico.dispose();
    }
    assert.deepEqual(theirs.slice(0, 6), [
      'old true',
      'old q/1 in flight 1 again as 9',
      'old q/2 first 1',
      'modern true',
      // MQTT.js tells of QoS 2 when PUBREL has come.
      'modern q/3 second 1 expires right, identifier none',
      'modern q/2 first 2 expires never, identifier 7',
    ]);
  });
});
