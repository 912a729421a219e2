/**
 * Flushes of the real store that do not end, or fail, under the running broker: publishers are told or wait, everything that
 * needs no store goes on, and nothing acknowledged is lost when the broker is killed afterwards.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FlushFault } from '../support/flush-fault.js';
import { Portico } from '../support/portico.js';
import { exchange, IN_FLIGHT, KEPT, open, Publisher, takeAll, Watch } from './publishers.js';

/** Milliseconds between two attempts, and two looks at the log. */
const LOOK = 50;
/** Longer than any test, in microseconds. */
const ENDLESS = 600_000_000;

for (const [what, sync, fault, words] of [
  ['do not end', 'always', `delay_enter=${ENDLESS}`, /the store has not answered for 5 s, acknowledgements wait/],
  ['fail', 'always', 'error=EIO', /the store failed, acknowledgements wait: .*input\/output error/i],
  ['fail', 'interval', 'error=EIO', /the store failed, acknowledgements wait: .*input\/output error/i],
] as const) {
  test(`flushes that ${what}, store.sync ${sync}: 0x97 or no acknowledgement, QoS 0 goes on; kill -9 afterwards costs nothing acknowledged`, {
    timeout: 120_000,
  }, async () => {
    const portico = await Portico.start({ store: { sync, sync_interval: 100 } });
    const { mqtt } = portico.ports;
    try {
      const absent = await open(mqtt, { clientId: 'absent', ...KEPT });
      await absent.subscribe('data/#', 2);
      absent.send({ cmd: 'disconnect', reasonCode: 0 });
      await absent.end();
      const live = await open(mqtt, { clientId: 'live' });
      await live.subscribe('live', 0);
      const watch = new Watch();
      const publishers = ([4, 5] as const).flatMap((version) =>
        ([1, 2] as const).map((qos) => new Publisher(version, qos, watch)),
      );
      const told = publishers.filter(({ version }) => version === 5);

      const disk = await FlushFault.begin(portico.pid, fault);
      for (const publisher of publishers) await publisher.start(mqtt);
      // What comes before the broker knows is taken, and waits.
      while (told.some(({ refused }) => refused.length === 0)) {
        for (const publisher of told) publisher.publish(1);
        await exchange(live, live, 1);
        await delay(LOOK);
      }
      assert.match(portico.log, words);
      assert.equal(portico.log.includes('a timed sync failed: '), sync === 'interval');
      const more = told.map(({ refused }) => refused.length + 50);
      for (const publisher of publishers) publisher.publish(50);
      await watch.until(() => told.every(({ refused }, i) => refused.length >= more[i]));
      await exchange(live, live, 100);
      if (sync === 'always') {
        for (const { name, acknowledged } of publishers) assert.deepEqual(acknowledged, [], name);
      }

      const before = publishers.map(({ acknowledged }) => acknowledged.length + 50);
      await disk.end();
      while (!portico.log.includes('the store works again')) {
        await exchange(live, live, 1);
        await delay(LOOK);
      }
      for (const publisher of told) publisher.publish(IN_FLIGHT);
      await watch.until(() => publishers.every(({ acknowledged }, i) => acknowledged.length >= before[i]));
      for (const publisher of publishers) publisher.stopped = true;
      await watch.until(() => publishers.every(({ inFlight }) => inFlight.size === 0));
      await portico.kill();
      await portico.restart();
      const from = await open(mqtt, { clientId: 'from' });
      from.publish('data/last', '', { qos: 1, messageId: 1 });
      await from.expect('puback');
      const taken = await takeAll(await open(mqtt, { clientId: 'absent', ...KEPT }));
      for (const { name, acknowledged, refused } of publishers) {
        const found = taken.filter(({ topic }) => topic === `data/${name}`).map(({ payload }) => `${payload}`.trim());
        assert.deepEqual(found, acknowledged, name);
        assert.ok(!refused.some((payload) => found.includes(payload)), `${name}: something refused was delivered`);
      }
    } finally {
      await portico.dispose();
    }
  });
}
