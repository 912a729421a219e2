/** Certificates of servers that their CA has revoked (RFC 5280 5, 6.3): the DTLS client, with a server that shares no code with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RevocationList } from '../../../src/coap/dtls/revocation-list.js';
import { ServerCertificates } from '../../../src/coap/dtls-client/server-certificates.js';
import { CA, FROM, type ListWish, Made } from './certificates.js';
import { ECDSA_CCM_8 } from './client.js';
import { ClientBench } from './client-bench.js';

const DAY = 86_400_000;
const NOON = FROM + DAY;
const NAME = { host: 'device.example', kind: 'name' } as const;
const DEVICE = CA.issue({ names: ['device'], hosts: ['device.example'], usages: [1] });
const OTHER = CA.issue({ names: ['other'], hosts: ['device.example'], usages: [1] });

/** Why the client refuses a device with the given lists, as alert and words; undefined if it does not. */
function refusal(lists: readonly Buffer[], device = DEVICE, ca = CA, now = NOON): string | undefined {
  const revoked = lists.map((der) => new RevocationList(der));
  const servers = new ServerCertificates({ ca: [ca.x509], revoked, now: () => now });
  const bench = new ClientBench({ credential: () => ({ servers, name: NAME }) });
  const server = bench.server(1, { suite: ECDSA_CCM_8, certificate: device.credential });
  bench.send('first');
  bench.deliver();
  if (server.data.length > 0) {
    assert.deepEqual([server.data, bench.told, server.alerts], [['first'], [], []]);
    return undefined;
  }
  assert.equal(bench.dtls.counters.certificatesRefused, 1);
  return `${server.alerts[0][2]} ${bench.told[0].replace('unreachable 1: ', '')}`;
}

test('a certificate that its CA has revoked is refused with certificate_revoked; one that is not on the list is taken', () => {
  const list = CA.list([OTHER]);
  assert.equal(refusal([list]), undefined);
  assert.equal(refusal([list], OTHER), '44 certificate revoked "CN=other"');
  assert.equal(refusal([CA.list([])], OTHER), undefined);
  assert.equal(refusal([], OTHER), undefined);
});

test('any list of the CA counts, also one that is past its time', () => {
  const old = CA.list([OTHER], { until: FROM + 1000 });
  assert.equal(refusal([CA.list([]), old], OTHER), '44 certificate revoked "CN=other"');
  assert.equal(refusal([old, CA.list([])]), undefined);
});

test('RFC 5280 6.3.3: a list has to be of the CA, signed by it, and in force', () => {
  const namesake = new Made({ names: ['the CA'], ca: true });
  const other = new Made({ names: ['another CA'], ca: true });
  const none = '46 no list of revoked certificates of "CN=the CA"';
  const past = '46 past its time is the list of revoked certificates of "CN=the CA"';
  for (const [list, expected] of [
    [other.list([]), none],
    [namesake.list([]), none],
    [CA.list([], { keys: other.keys }), none],
    [CA.list([], { until: NOON - 1000 }), past],
    [CA.list([], { from: NOON + 1000 }), past],
    [CA.list([], { until: null }), undefined],
  ] as const) {
    assert.equal(refusal([list]), expected);
  }
});

test('each CA of a path needs its list; a CA in between that is revoked takes those below with it', () => {
  const between = CA.issue({ names: ['between'], ca: true });
  const device = between.issue({ names: ['deep'], hosts: ['device.example'], usages: [1] });
  assert.equal(refusal([CA.list([])], device), '46 no list of revoked certificates of "CN=between"');
  assert.equal(refusal([between.list([])], device), '46 no list of revoked certificates of "CN=the CA"');
  assert.equal(refusal([CA.list([]), between.list([])], device), undefined);
  assert.equal(refusal([CA.list([between]), between.list([])], device), '44 certificate revoked "CN=between"');
  assert.equal(refusal([CA.list([]), between.list([device])], device), '44 certificate revoked "CN=deep"');
});

test('a CA whose key usages are others than to sign lists has none', () => {
  const certSign = 0x04;
  const ca = new Made({ names: ['without lists'], ca: true, keyUsage: certSign });
  const device = ca.issue({ names: ['device'], hosts: ['device.example'], usages: [1] });
  assert.equal(refusal([ca.list([])], device, ca), '46 no list of revoked certificates of "CN=without lists"');
  const both = new Made({ names: ['with lists'], ca: true, keyUsage: certSign | 0x02 });
  const good = both.issue({ names: ['device'], hosts: ['device.example'], usages: [1] });
  assert.equal(refusal([both.list([])], good, both), undefined);
});

test('RFC 5280 5.2, 5.3: a list of changes, or of certificates of other CAs, or signed in an unknown way is not taken for one', () => {
  const deltaIndicator = '551d1b';
  const certificateIssuer = '551d1d';
  const sha1 = Buffer.from('300906072a8648ce3d0401', 'hex');
  for (const [wish, words] of [
    [{ critical: deltaIndicator }, /critical extension that is not known: 551d1b/],
    [{ entryCritical: certificateIssuer }, /critical extension that is not known: 551d1d/],
    [{ algorithm: sha1 }, /an algorithm that is not known/],
  ] as const satisfies readonly (readonly [ListWish, RegExp])[]) {
    assert.throws(() => new RevocationList(CA.list([OTHER], wish)), words);
  }
});

test('a list that is cut anywhere, or has bytes behind it, is none', () => {
  const list = CA.list([OTHER, DEVICE]);
  for (let length = 0; length < list.length; length++) {
    assert.throws(() => new RevocationList(list.subarray(0, length)), TypeError, `${length} bytes`);
  }
  assert.throws(() => new RevocationList(Buffer.concat([list, Buffer.from([0])])), TypeError);
  assert.throws(() => new RevocationList(DEVICE.der), TypeError);
});
