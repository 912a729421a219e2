/** Known answers of the key derivation and the ciphers, and the replay window against a model of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AEAD } from '../../../src/coap/dtls/aead.js';
import { CIPHER_SUITES, Protection } from '../../../src/coap/dtls/cipher.js';
import { COOKIE_PERIOD, Cookies } from '../../../src/coap/dtls/cookie.js';
import { ownCopy } from '../../../src/coap/dtls/fields.js';
import { NODE_AEAD } from '../../../src/coap/dtls/node-aead.js';
import { premasterSecret, prf } from '../../../src/coap/dtls/prf.js';
import { ReplayWindow } from '../../../src/coap/dtls/replay.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { FakeClock } from '../harness.js';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const [CCM_8, CCM, GCM] = CIPHER_SUITES;

test('the PRF of TLS 1.2 with SHA-256: the known answer', () => {
  const output = prf(
    hex('9bbe436ba940f017b17652849a71db35'),
    'test label',
    hex('a0ba9f936cda311827a6f796ffd5198c'),
    100,
  );
  assert.deepEqual(
    output,
    hex(`e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17
         abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66`),
  );
});

test('RFC 4279 2: the premaster secret of plain PSK', () => {
  assert.deepEqual(premasterSecret(hex('aabbcc')), hex('0003 000000 0003 aabbcc'));
});

const VECTORS = [
  {
    name: 'SP 800-38C example 3: AES-128-CCM with a tag of 8 bytes',
    suite: CCM_8,
    key: hex('404142434445464748494a4b4c4d4e4f'),
    nonce: hex('101112131415161718191a1b'),
    additional: hex('000102030405060708090a0b0c0d0e0f10111213'),
    plaintext: hex('202122232425262728292a2b2c2d2e2f3031323334353637'),
    sealed: hex('e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951'),
  },
  {
    name: 'GCM test case 4: AES-128-GCM',
    suite: GCM,
    key: hex('feffe9928665731c6d6a8f9467308308'),
    nonce: hex('cafebabefacedbaddecaf888'),
    additional: hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
    plaintext: hex(`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`),
    sealed: hex(`42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                 21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091 5bc94fbc3221a5db94fae95ae7121a47`),
  },
];

test('what protects a record in one call was built', () => {
  assert.notEqual(AEAD, NODE_AEAD, 'npm run build says why it was not');
});

for (const aead of [AEAD, NODE_AEAD]) {
  const by = aead === NODE_AEAD ? 'by node:crypto' : 'in one call';
  for (const { name, suite, key, nonce, additional, plaintext, sealed } of VECTORS) {
    test(`${name}, ${by}`, () => {
      const protection = new Protection(suite, key, nonce.subarray(0, 4), aead);
      const explicit = nonce.subarray(4);
      const output = Buffer.alloc(200, 0x55);
      const end = protection.seal(plaintext, explicit, additional, output, 3);
      assert.deepEqual(output.subarray(3, end), Buffer.concat([explicit, sealed]));
      assert.equal(end - 3, plaintext.length + protection.expansion);
      assert.deepEqual(protection.open(output.subarray(3, end), additional), plaintext);
      protection.destroy();
      assert.equal(protection.open(output.subarray(3, end), additional), undefined);
    });
  }

  for (const suite of [CCM_8, CCM, GCM]) {
    test(`${suite.name}, ${by}: no bit can be changed, not even around an empty plaintext`, () => {
      const protection = new Protection(suite, Buffer.alloc(16, 7), Buffer.alloc(4, 9), aead);
      for (const length of [0, 1, 40]) {
        const output = Buffer.alloc(100);
        const additional = Buffer.alloc(13, 3);
        const plaintext = Buffer.alloc(length, 5);
        const sealed = output.subarray(0, protection.seal(plaintext, Buffer.alloc(8, 1), additional, output, 0));
        assert.deepEqual(protection.open(sealed, additional), plaintext);
        for (let bit = 0; bit < sealed.length * 8; bit++) {
          const forged = Buffer.from(sealed);
          forged[bit >> 3] ^= 1 << (bit & 7);
          assert.equal(protection.open(forged, additional), undefined, `bit ${bit} of ${length} bytes`);
        }
        assert.equal(protection.open(sealed, Buffer.alloc(13, 4)), undefined);
        for (let cut = 0; cut < sealed.length; cut++) {
          assert.equal(protection.open(sealed.subarray(0, cut), additional), undefined);
        }
      }
    });
  }
}

test('what is sealed in one call is what node:crypto seals, whatever its length', () => {
  const random = new Random(1);
  for (const suite of [CCM_8, CCM, GCM]) {
    const [key, salt] = [random.bytes(16), random.bytes(4)];
    const [one, other] = [new Protection(suite, key, salt), new Protection(suite, key, salt, NODE_AEAD)];
    for (const length of [0, 1, 15, 16, 17, 80, 1_000, 16_384]) {
      const [explicit, additional] = [random.bytes(8), random.bytes(13 + random.below(20))];
      const plaintext = Buffer.alloc(length, random.bytes(7));
      const [first, second] = [Buffer.alloc(17_000), Buffer.alloc(17_000)];
      const end = one.seal(plaintext, explicit, additional, first, 5);
      assert.equal(other.seal(plaintext, explicit, additional, second, 5), end);
      assert.ok(first.equals(second));
      assert.deepEqual(other.open(first.subarray(5, end), additional), plaintext);
      assert.deepEqual(one.open(first.subarray(5, end), additional), plaintext);
    }
  }
});

test('lengths that cannot be are refused, and nothing is written beyond', () => {
  assert.notEqual(AEAD, NODE_AEAD);
  const [key, nonce, some] = [Buffer.alloc(16), Buffer.alloc(12), Buffer.alloc(20)];
  const { seal, open } = AEAD;
  for (const call of [
    () => seal(0, key.subarray(1), nonce, some, some, Buffer.alloc(40), 8),
    () => seal(0, key, nonce.subarray(1), some, some, Buffer.alloc(40), 8),
    () => seal(0, key, nonce, some, some, Buffer.alloc(27), 8),
    () => seal(0, key, nonce, some, some, Buffer.alloc(40), 17),
    () => seal(0, key, nonce, some, some, Buffer.alloc(40), 7),
    () => seal(2, key, nonce, some, some, Buffer.alloc(40), 8),
    () => open(0, key, nonce, some, some.subarray(0, 7), Buffer.alloc(40), 8),
    () => open(1, key, nonce, some, some, Buffer.alloc(11), 8),
    () => open(-1, key, nonce, some, some, Buffer.alloc(40), 8),
  ]) {
    assert.throws(call, { code: 'EINVAL' });
  }
});

for (const seed of seeds(3)) {
  test(`RFC 6347 4.1.2.6: the replay window does as a set of all numbers does (SEED=${seed})`, () => {
    const random = new Random(seed);
    const window = new ReplayWindow();
    const seen = new Set<number>();
    let highest = -1;
    let base = 0;
    for (let step = 0; step < 20_000; step++) {
      if (random.oneIn(500)) base += random.below(2 ** 31);
      base += random.oneIn(40) ? random.below(70) : random.below(3);
      const sequence = Math.max(0, base - random.below(80));
      const isNew = sequence > highest - 64 && !seen.has(sequence);
      assert.equal(window.isNew(sequence), isNew, `${sequence} after ${highest}`);
      // A record may turn out to be a forgery: nothing is noted then.
      if (!isNew || random.oneIn(4)) continue;
      assert.equal(window.accept(sequence), sequence > highest);
      seen.add(sequence);
      highest = Math.max(highest, sequence);
    }
  });
}

test('RFC 6347 4.2.1: a cookie is bound to address, port, version, random and session, and is good for one to two periods', () => {
  const clock = new FakeClock();
  const cookies = new Cookies(clock);
  const source = { address: '192.0.2.1', port: 5, family: 'IPv4' } as const;
  const hello = { version: 0xfefd, random: Buffer.alloc(32, 1), sessionId: Buffer.alloc(0) };
  const cookie = cookies.make(source, hello);
  const isGood = (from: typeof source | { address: string; port: number; family: 'IPv4' } = source): boolean =>
    cookies.verify(cookie, from, hello);
  assert.ok(isGood());
  assert.ok(!isGood({ ...source, port: 6 }));
  assert.ok(!isGood({ ...source, address: '192.0.2.2' }));
  assert.ok(!cookies.verify(cookie, source, { ...hello, random: Buffer.alloc(32, 2) }));
  assert.ok(!cookies.verify(cookie, source, { ...hello, sessionId: Buffer.alloc(1) }));
  assert.ok(!cookies.verify(cookie, source, { ...hello, version: 0xfeff }));
  assert.ok(!cookies.verify(cookie.subarray(1), source, hello));
  clock.advance(COOKIE_PERIOD);
  assert.ok(isGood());
  clock.advance(COOKIE_PERIOD);
  assert.ok(!isGood());
  const late = cookies.make(source, hello);
  clock.advance(5 * COOKIE_PERIOD);
  assert.ok(!cookies.verify(late, source, hello), 'after a long silence too');
});

test('what an association keeps is a copy of its own, not of the pool', () => {
  const bytes = Buffer.from('sixteen of a key');
  const copy = ownCopy(bytes);
  assert.deepEqual(copy, bytes);
  assert.equal(copy.buffer.byteLength, bytes.length);
});
