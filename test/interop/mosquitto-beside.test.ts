/**
 * Debian's mosquitto beside Portico: the same mosquitto.conf, the same script of clients, the outcome compared line by line.
 * What differs on purpose is in the table of differences, and both sides of it are proved.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DIFFERENCES } from '../../src/config/mosquitto/differences.js';
import { Peer } from '../support/beside/peer.js';
import { play } from '../support/beside/play.js';
import { type Group, ofVersion, only, type Scenario } from '../support/beside/scenario.js';
import { connecting } from './beside/connecting.js';
import { ERRORS } from './beside/errors.js';
import { installations } from './beside/installations.js';
import { listening, mounting } from './beside/listening.js';
import { perListener } from './beside/per-listener.js';
import { publishing } from './beside/publishing.js';
import { reloading } from './beside/reloading.js';
import { sessions } from './beside/sessions.js';

const GROUPS: readonly Group[] = [
  ...installations,
  ...connecting,
  ...publishing,
  ...sessions,
  ...listening,
  mounting,
  ...reloading,
  ...perListener,
];
const SCENARIOS = GROUPS.flatMap(({ scenarios }) => scenarios);

type Pair = readonly [mosquitto: Peer, portico: Peer];
const end = (peers: readonly Peer[]): Promise<unknown> => Promise.all(peers.map((peer) => peer.stop()));

async function pair(files: Group): Promise<Pair> {
  const started = await Promise.allSettled([Peer.start('mosquitto', files), Peer.start('portico', files)]);
  const [mosquitto, portico] = started;
  if (mosquitto.status === 'fulfilled' && portico.status === 'fulfilled') return [mosquitto.value, portico.value];
  for (const one of started) if (one.status === 'fulfilled') await one.value.stop();
  throw started.find((one) => one.status === 'rejected')?.reason;
}

function compare({ meant }: Scenario, version: number, theirs: readonly string[], ours: readonly string[]): void {
  if (meant === undefined) {
    assert.deepEqual(ours, theirs, `MQTT ${version}`);
    return;
  }
  assert.deepEqual(only(theirs, ours), ofVersion(meant.mosquitto, version), `mosquitto, MQTT ${version}`);
  assert.deepEqual(only(ours, theirs), ofVersion(meant.portico, version), `Portico, MQTT ${version}`);
}

for (const group of GROUPS) {
  describe(`mosquitto and Portico: ${group.title}`, { timeout: 120_000 }, () => {
    let peers: Pair;
    before(async () => {
      peers = await pair(group);
    });
    after(() => end(peers ?? []));

    for (const scenario of group.scenarios) {
      const { name, versions = [4, 5], meant, after: changed } = scenario;
      const but = meant === undefined ? '' : `, but for "${meant.why}" of the differences`;
      test(`${name}${but}`, async () => {
        for (const [i, version] of versions.entries()) {
          if (i > 0 && changed !== undefined) await Promise.all(peers.map((peer) => peer.reset()));
          const [mosquitto, portico] = peers;
          const [theirs, ours] = await Promise.all([
            play(mosquitto, scenario, version),
            play(portico, scenario, version),
          ]);
          assert.ok(theirs.length > 0);
          compare(scenario, version, theirs, ours);
        }
      });
    }
  });
}

test('at least 60 scenarios are compared, each under its own name', () => {
  assert.ok(SCENARIOS.length >= 60, String(SCENARIOS.length));
  assert.equal(new Set(SCENARIOS.map(({ name }) => name)).size, SCENARIOS.length);
});

test('each difference of the table is shown by a scenario or an error, and each that is shown is in the table', () => {
  const broken = ERRORS.flatMap(({ portico }) => (portico === undefined ? [] : [portico[1]]));
  const shown = new Set([...broken, ...SCENARIOS.flatMap(({ meant }) => meant?.why.split(' ') ?? [])]);
  assert.deepEqual([...shown].toSorted(), Object.keys(DIFFERENCES).toSorted());
});
