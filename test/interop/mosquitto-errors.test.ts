/**
 * Errors of the protocol under a mosquitto.conf: Portico answers with the reason code that Mosquitto 2.1 gives, or with the one
 * that the table of differences has words for. Debian's mosquitto, which is 2.0, plays the same.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DIFFERENCES } from '../../src/config/mosquitto/differences.js';
import { Peer } from '../support/beside/peer.js';
import { play } from '../support/beside/play.js';
import { type Broken, ERRORS } from './beside/errors.js';

const CONF = { conf: 'listener <main> 127.0.0.1\nallow_anonymous true\n' };

/** The last that the client hears. */
async function heard(peer: Peer, { opens, goesOn, hex, version }: Broken, overlooked: boolean): Promise<string> {
  // Whoever overlooks the bytes answers what comes behind them.
  const verb = goesOn === true || overlooked ? 'says' : 'raw';
  const steps = [opens === true ? 'open A' : 'come A', `${verb} A ${hex}`];
  const lines = await play(peer, { name: '', steps }, version);
  const told = (lines.at(-1) ?? '').replace(/^A sends \w+: /, '').replace(', closed', '');
  if (!overlooked) return told;
  assert.doesNotMatch(told, /closed|disconnect/);
  return 'overlooked';
}

describe('errors of the protocol under a mosquitto.conf', { timeout: 120_000 }, () => {
  let mosquitto: Peer;
  let portico: Peer;
  before(async () => {
    [mosquitto, portico] = await Promise.all([Peer.start('mosquitto', CONF), Peer.start('portico', CONF)]);
  });
  after(() => Promise.all([mosquitto?.stop(), portico?.stop()]));

  for (const broken of ERRORS) {
    const { name, version, mosquitto: theirs, before: older = theirs, portico: [ours, why] = [theirs] } = broken;
    const but = why === undefined ? 'as Mosquitto 2.1' : `where Mosquitto 2.1 has ${theirs}`;
    test(`MQTT ${version === 4 ? '3.1.1' : '5.0'}, ${name}: ${ours}, ${but}`, async () => {
      if (why !== undefined) assert.ok(Object.hasOwn(DIFFERENCES, why), why);
      assert.equal(await heard(portico, broken, false), ours, 'Portico');
      if (older === 'waits') return;
      assert.equal(await heard(mosquitto, broken, older === 'overlooked'), older, 'mosquitto 2.0');
    });
  }
});
