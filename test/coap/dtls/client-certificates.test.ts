/** Which certificates of clients are good (RFC 5280 6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCertificateFields } from '../../../src/coap/dtls/certificate-fields.js';
import { ClientCertificates } from '../../../src/coap/dtls/client-certificates.js';
import { Refusal } from '../../../src/coap/dtls/refusal.js';
import { RevocationList } from '../../../src/coap/dtls/revocation-list.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { CA, Made, type Wish } from './certificates.js';
import { asking, DEVICE, NOON, refused, SUITES, sessionOf } from './certified.js';
import type { DtlsBench } from './client.js';

const OTHER_CA = new Made({ names: ['another CA'], ca: true });
/** The same name, another key. */
const FALSE_CA = new Made({ names: ['the CA'], ca: true });
const MIDDLE = CA.issue({ names: ['middle'], ca: true });

test('a chain with CAs in between, and with the CA itself', () => {
  const low = MIDDLE.issue({ names: ['low'], ca: true, pathLength: 0 });
  const device = low.issue({ names: ['deep device'] });
  for (const chain of [device.chain, [...device.chain, CA.der]]) {
    const server = asking();
    server.check(server.client(1, { suites: SUITES, credential: { ...device.credential, chain } }).connect());
    assert.equal(sessionOf(server).identity, 'deep device');
  }
});

const changed = Buffer.from(DEVICE.der);
changed[changed.indexOf('device')] ^= 1;

for (const [title, device, alert, words] of [
  ['of another CA', OTHER_CA.issue(), 48, 'unknown CA "CN=another CA"'],
  ['that signs itself', new Made({ names: ['device'] }), 48, 'unknown CA "CN=device"'],
  ['of a CA that only has the right name', FALSE_CA.issue(), 42, 'bad signature of a certificate'],
  ['that was changed', undefined, 42, 'bad signature of a certificate'],
  ['that has expired', CA.issue({ to: NOON - 1000 }), 45, 'certificate expired "CN=device"'],
  ['of tomorrow', CA.issue({ from: NOON + 1000 }), 45, 'certificate not valid yet "CN=device"'],
  ['for servers only', CA.issue({ usages: [1] }), 43, 'certificate not for clients "CN=device"'],
  ['that may not sign', CA.issue({ keyUsage: 0x08 }), 43, 'certificate not for signatures "CN=device"'],
  [
    'with a critical extension that is unknown',
    CA.issue({ critical: '2a03' }),
    43,
    /^unknown critical extension 2a03 /,
  ],
  ['of another curve', CA.issue({ curve: 'secp384r1' }), 43, /^certificate of another kind of key/],
  ['without a common name', CA.issue({ names: [] }), 42, /^no common name that could be an identity/],
  ['with two common names', CA.issue({ names: ['a', 'b'] }), 42, /^no common name/],
  ['with an empty common name', CA.issue({ names: [''] }), 42, /^no common name/],
  ['with a NUL in its common name', CA.issue({ names: ['admin\0.device'] }), 42, /^no common name/],
  ['with a long common name', CA.issue({ names: ['x'.repeat(129)] }), 42, /^no common name/],
  ['below one that is no CA', DEVICE.issue({ names: ['child'] }), 42, /^not a CA "CN=device"/],
  [
    'below a CA whose certificate has expired',
    CA.issue({ names: ['old'], ca: true, to: NOON - 1000 }).issue(),
    45,
    'certificate expired "CN=old"',
  ],
  [
    'too deep below a CA',
    CA.issue({ names: ['top'], ca: true, pathLength: 0 })
      .issue({ names: ['low'], ca: true })
      .issue(),
    42,
    'path too long for "CN=top"',
  ],
  ['below a CA that may not certify', CA.issue({ ca: true, keyUsage: 0x80 }).issue(), 48, 'unknown CA "CN=device"'],
  [
    'below a CA for servers',
    CA.issue({ names: ['ca'], ca: true, usages: [1] }).issue(),
    43,
    /^certificate not for clients/,
  ],
  [
    'below CAs without end',
    MIDDLE.issue({ ca: true }).issue({ ca: true }).issue({ ca: true }).issue(),
    42,
    'chain too long',
  ],
] as [string, Made | undefined, number, string | RegExp][]) {
  test(`RFC 5280 6: a certificate ${title} is refused`, () => {
    const { chain, der, keys } = device ?? { chain: [changed], der: changed, keys: DEVICE.keys };
    const server = asking();
    const credential = { chain: chain.length === 0 ? [der] : chain, key: keys.privateKey };
    const result = refused(server, { credential });
    assert.equal(result.alert, alert, result.words);
    if (typeof words === 'string') assert.equal(result.words, words);
    else assert.match(result.words, words);
    assert.equal(server.dtls.counters.certificatesRefused, 1);
    assert.equal(server.dtls.counters.handshakesUnauthentic, 1);
  });
}

test('usages that are fine: for clients, for signatures', () => {
  const server = asking();
  const wishes: Wish[] = [{ usages: [1, 2] }, { keyUsage: 0x80 }, { keyUsage: 0xc0, usages: [2], to: NOON }];
  for (const wish of wishes) {
    server.check(server.client(1, { suites: SUITES, credential: CA.issue(wish).credential }).connect());
  }
});

test('a chain with a gap, and one with a stranger in between, lead to no CA', () => {
  const device = MIDDLE.issue();
  for (const chain of [[device.der], [device.der, OTHER_CA.der], [device.der, DEVICE.der, MIDDLE.der]]) {
    assert.equal(refused(asking(), { credential: { ...device.credential, chain } }).alert, 48);
  }
});

test('RFC 5280 6.3: with lists of revoked certificates, one on a list is refused, and so is one whose CA has no list in force', () => {
  const lost = CA.issue({ names: ['lost'] });
  const listed = (list: Buffer, required = true): DtlsBench => {
    const revoked = [new RevocationList(list)];
    return asking(required, { clientCertificates: { ca: [CA.x509], revoked, required, now: () => NOON } });
  };
  const list = CA.list([lost]);
  const server = listed(list);
  server.check(server.client(1, { suites: SUITES, credential: DEVICE.credential }).connect());
  assert.equal(sessionOf(server).identity, 'device');
  for (const [from, device, alert, words] of [
    [listed(list), lost, 44, 'certificate revoked "CN=lost"'],
    [listed(list, false), lost, 44, 'certificate revoked "CN=lost"'],
    [
      listed(CA.list([], { until: NOON - 1000 })),
      DEVICE,
      46,
      'past its time is the list of revoked certificates of "CN=the CA"',
    ],
    [listed(OTHER_CA.list([])), DEVICE, 46, 'no list of revoked certificates of "CN=the CA"'],
    [listed(list), MIDDLE.issue(), 46, 'no list of revoked certificates of "CN=middle"'],
  ] as const) {
    assert.deepEqual(refused(from, { credential: device.credential }), { alert, words });
    assert.equal(from.dtls.counters.certificatesRefused, 1);
  }
});

for (const seed of seeds(3)) {
  test(`a certificate with any byte changed, missing or added is refused, and nothing throws (SEED=${seed})`, () => {
    const random = new Random(seed);
    const clients = new ClientCertificates({ ca: [CA.x509], required: true, now: () => NOON });
    const { der } = CA.issue({ usages: [2], keyUsage: 0x80, padding: 3 });
    assert.ok('identity' in clients.verify([der]));
    const seen = new Set<number>();
    for (let time = 0; time < 1_000; time++) {
      const at = random.below(der.length);
      const left = der.subarray(at + random.below(3));
      const bytes = Buffer.concat([der.subarray(0, at), Buffer.from([random.below(256)]), left]);
      if (bytes.equals(der)) continue;
      readCertificateFields(bytes);
      const result = clients.verify([bytes]);
      assert.ok(result instanceof Refusal, `${at}: ${bytes.toString('hex')}`);
      seen.add(result.alert);
    }
    // bad_certificate and unknown_ca: nothing else is looked at before the signature.
    assert.deepEqual([...seen].sort(), [42, 48]);
  });
}
