/**
 * kill -9 while QoS 2 publications wait between PUBREC and PUBREL, and while a subscriber takes little: the publisher
 * goes on from what it was told, and each message arrives, once if it is of QoS 2.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectRaw, type RawClient } from '../interop/raw.js';
import { mulberry32, type Random } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed, killSoon } from './chance.js';
import { Device, Progress, type Publication } from './devices.js';

const EACH_ROUND = 300;
const WINDOW = 100;

/** Publishes without end, but sends only some of the PUBRELs that are due. */
async function publishCarelessly(
  client: RawClient,
  progress: Progress,
  publications: readonly Publication[],
  choose: Random,
): Promise<void> {
  for (const { packetId, ...publication } of publications) {
    client.send({ cmd: 'publish', ...publication, messageId: packetId, dup: false });
  }
  try {
    for (;;) {
      const answer = progress.take(await client.next());
      if (answer !== null && choose(2) === 0) client.send(answer);
    }
  } catch {
    // The broker has died.
  }
}

/** Takes what comes, but answers only some of it, until the connection ends. */
async function takeLittle(client: RawClient, device: Device, choose: Random): Promise<void> {
  try {
    for (;;) {
      const answer = device.take(await client.next());
      if (answer !== null && choose(4) === 0) client.send(answer);
    }
  } catch {
    // The broker has died.
  }
}

test('kill -9 between PUBREC and PUBREL, with a subscriber that answers little: QoS 2 arrives once, QoS 1 arrives', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const portico = await Portico.start({
    sys: { interval: 0 },
    log: { level: 'warn', format: 'json' },
    mqtt: { max_inflight: 20 },
    limits: { queue_memory: 2000 },
  });
  const enter = (clientId: string): Promise<RawClient> => connectRaw(portico.ports.mqtt, { clientId, clean: false });
  try {
    const away = await enter('away');
    await away.subscribe('q', 2);
    away.cut();
    const slow = new Device();
    const publications: Publication[] = [];
    const progress = new Progress();
    let subscriber = await enter('slow');
    await subscriber.subscribe('q', 2);
    let publisher = await enter('publisher');
    for (let round = crashRounds(5); round > 0; round--) {
      const first = publications.length + 1;
      const more = Array.from({ length: EACH_ROUND }, (_, index): Publication => {
        const packetId = first + index;
        return { packetId, topic: 'q', payload: `${packetId}`, qos: choose(4) === 0 ? 1 : 2, retain: false };
      });
      publications.push(...more);
      const ends = [publishCarelessly(publisher, progress, more, choose), takeLittle(subscriber, slow, choose)];
      const goal = progress.count + choose(EACH_ROUND / 3);
      while (progress.count < goal) await new Promise(setImmediate);
      await killSoon(portico, choose);
      await Promise.all(ends);
      subscriber = await enter('slow');
      publisher = await enter('publisher');
      // What was published without an answer is published again, what had PUBREC is released.
      const serving = takeLittle(subscriber, slow, choose);
      await progress.publish(publisher, publications, WINDOW);
      subscriber.cut();
      await serving;
      subscriber = await enter('slow');
    }
    const late = new Device();
    publisher.send({
      cmd: 'publish',
      topic: 'q',
      payload: 'end',
      qos: 1,
      retain: false,
      dup: false,
      messageId: 60_000,
    });
    const again = await enter('away');
    while (!late.others.includes('q end')) await late.until(again, 'q');
    while (!slow.others.includes('q end')) await slow.until(subscriber, 'q');
    for (const [who, device] of Object.entries({ slow, late })) {
      for (const { packetId, qos } of publications) {
        const count = device.counts.get(packetId) ?? 0;
        assert.ok(qos === 2 ? count === 1 : count >= 1, `${who}: message ${packetId}, QoS ${qos}, ${count} times`);
      }
    }
    t.diagnostic(`${publications.length} messages`);
  } finally {
    await portico.dispose();
  }
});
