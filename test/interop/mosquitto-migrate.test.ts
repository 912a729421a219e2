/**
 * A mosquitto.conf and what `portico migrate` makes of it: Portico is started with the one and with the other, plays the same
 * scripts, and the clients see the same, line by line.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Peer } from '../support/beside/peer.js';
import { play } from '../support/beside/play.js';
import { connecting } from './beside/connecting.js';
import { installations } from './beside/installations.js';
import { listening, mounting } from './beside/listening.js';
import { perListener } from './beside/per-listener.js';
import { publishing } from './beside/publishing.js';
import { sessions } from './beside/sessions.js';

/** Those in which the file says more than that anyone may connect. */
const PLAIN = new Set(['anyone may connect', 'messages', 'wills', 'sessions', 'no persistence']);
const ALL = [...installations, ...connecting, ...publishing, ...sessions, ...listening, mounting, ...perListener];
/** Without those that change their files. */
const GROUPS = ALL.filter(({ title, scenarios }) => !PLAIN.has(title) && scenarios.every(({ after: files }) => !files));

for (const group of GROUPS) {
  describe(`portico migrate: ${group.title}`, { timeout: 120_000 }, () => {
    let peers: readonly Peer[] = [];
    before(async () => {
      const started = await Promise.allSettled([Peer.start('portico', group), Peer.start('migrated', group)]);
      peers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      for (const one of started) if (one.status === 'rejected') throw one.reason;
    });
    after(() => Promise.all(peers.map((peer) => peer.stop())));

    for (const scenario of group.scenarios) {
      test(`both files do the same: ${scenario.name}`, async () => {
        for (const version of scenario.versions ?? [4, 5]) {
          const [theirs, ours] = await Promise.all(peers.map((peer) => play(peer, scenario, version)));
          assert.ok(theirs.length > 0);
          assert.deepEqual(ours, theirs, `MQTT ${version}`);
        }
      });
    }
  });
}

test('at least 12 configurations are compared', () => assert.ok(GROUPS.length >= 12));
