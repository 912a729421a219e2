/** Files of users, SCRAM messages and SASLprep. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { PasswordFile } from '../../../src/access/password-file.js';
import { readPskFile } from '../../../src/access/psk-file.js';
import { readPublicKeyFile } from '../../../src/access/public-key-file.js';
import { saslprep } from '../../../src/access/saslprep.js';
import { ScramSha256, scramCredentials } from '../../../src/access/scram.js';
import { readScramFile, scramLine } from '../../../src/access/scram-file.js';
import { parseClientFinal, parseClientFirst } from '../../../src/access/scram-message.js';
import { PorticoError } from '../../../src/errors.js';
import { scratchFile } from '../scratch.js';
import { Feed, input, type Target } from '../target.js';

const FILE = scratchFile('users');

/** A file is read, or refused with a line for each fault that shows nothing of a secret. */
async function read(bytes: Buffer, load: () => Promise<number>): Promise<string> {
  writeFileSync(FILE, bytes);
  const lines = bytes.toString('utf8').split('\n');
  try {
    const users = await load();
    assert.ok(users <= lines.length);
    return `read ${Math.min(users, 3)}`;
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_SECURITY_FILE', error as Error);
    for (const line of lines) {
      const secret = line.slice(line.indexOf(':') + 1).trimEnd();
      const shown = line.includes(':') && withoutNames(error.message).includes(secret);
      assert.ok(secret.length < 24 || SENTENCES.includes(secret) || !shown, `${secret} is shown`);
    }
    return error.message
      .replaceAll(/^.*:\d+: /gm, '')
      .replaceAll(/user .* is/gs, 'user is')
      .slice(0, 60);
  }
}

/** What sentences say of themselves; a short secret may be a part of any of them by chance. */
const SENTENCES =
  'name:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey user:hash $7$iterations$salt$hash $scrypt$ln=..,r=..,p=..$salt$hash';

/** A sentence may name a user; one that is named as another's secret is looks no harm. */
function withoutNames(message: string): string {
  return message.replaceAll(/user .* is already on line/gs, '').replaceAll(FILE, '');
}

const hash = (length: number): string => Buffer.alloc(length, 7).toString('base64');
const SCRYPT = `$scrypt$ln=15,r=8,p=1$${hash(12)}$${hash(24)}`;

export const passwordFile: Target = {
  name: 'password-file',
  scope: ['/src/access/'],
  longest: 1000,
  words: [
    ':',
    '$',
    '$6$',
    '$7$',
    '$scrypt$',
    'ln=15,r=8,p=1',
    'ln=',
    ',r=',
    ',p=',
    '\n',
    '\r\n',
    '#',
    '=',
    '101',
    '1000000',
    hash(64),
    hash(12),
  ],
  seeds: () => [
    Buffer.from(`# users\nann:$7$101$${hash(12)}$${hash(64)}\n\nbob:$6$${hash(12)}$${hash(64)}\n`),
    Buffer.from(`ann:${SCRYPT}\nbob:${SCRYPT.replace('15', '21')}\n`),
    Buffer.from(`ann:plain\n:x\nann:$7$0$a$b\nann:$6$${hash(12)}$${hash(64)}\nann:$6$${hash(12)}$${hash(64)}`),
  ],
  run: (bytes) => read(bytes, async () => (await PasswordFile.load(FILE)).size),
};

const PREPARED = scramLine('user', {
  iterations: 4096,
  salt: Buffer.alloc(16, 1),
  storedKey: Buffer.alloc(32, 2),
  serverKey: Buffer.alloc(32, 3),
});

export const scramFile: Target = {
  name: 'scram-file',
  scope: ['/src/access/'],
  longest: 1000,
  words: [':', '$', 'SCRAM-SHA-256', '\n', '#', '4096', '10000000', hash(32), hash(16), '\u00ad', '\u0627', '\u2168'],
  seeds: () => [
    Buffer.from(`${PREPARED}\n# more\n${PREPARED.replace('user', 'IX')}\n`),
    Buffer.from(`${PREPARED}\n${PREPARED}\nx:SCRAM-SHA-256$1:a$b:c\n`),
  ],
  run: (bytes) =>
    read(bytes, async () => {
      const users = await readScramFile(FILE);
      for (const [name, credentials] of users) {
        assert.equal(saslprep(name), name, 'names are prepared');
        assert.match(scramLine(name, credentials), /:SCRAM-SHA-256\$\d+:/);
      }
      return users.size;
    }),
};

export const pskFile: Target = {
  name: 'psk-file',
  scope: ['/src/access/'],
  longest: 1500,
  words: [':', '\n', '\r\n', '#', '\ufeff', '\0', 'c0ffee', 'C0FFEE', '0', '\xff', 'ab'.repeat(256), 'meter-7:'],
  seeds: () => [
    Buffer.from('# keys\nmeter-7:c0ffee\n\nmeter 8:00ff\r\n'),
    Buffer.from('\ufeffmeter-7:c0ffee\nmeter-7:00\n:00\nx:\ny:0\nz:xyz\n'),
    Buffer.from([0x61, 0xff, 0x3a, 0x30, 0x30, 0x0a, 0x61, 0, 0x3a, 0x30, 0x30]),
  ],
  run: (bytes) =>
    read(bytes, async () => {
      const keys = await readPskFile(FILE);
      for (const [identity, key] of keys) {
        assert.ok(identity !== '' && !/[\n\0]/.test(identity) && identity.isWellFormed());
        assert.ok(key.length > 0 && key.length <= 256);
      }
      return keys.size;
    }),
};

const [KEY, OTHER_KEY] = [0, 1].map(() =>
  generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    .publicKey.export({ type: 'spki', format: 'der' })
    .toString('base64'),
);

export const publicKeyFile: Target = {
  name: 'public-key-file',
  scope: ['/src/access/', '/src/coap/dtls/raw-public-key', '/src/coap/dtls/der'],
  longest: 600,
  words: [':', '\n', '\r\n', '#', '=', 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE', KEY, OTHER_KEY, '\0', 'meter-7:'],
  seeds: () => [
    Buffer.from(`# keys\nmeter-7:${KEY}\n\nmeter-8:${OTHER_KEY}\r\n`),
    Buffer.from(`a:${KEY}\nb:${KEY}\na:${OTHER_KEY}\n:x\nc:\nd:AAAA\n`),
  ],
  run: (bytes) =>
    read(bytes, async () => {
      const users = await readPublicKeyFile(FILE);
      for (const [key, user] of users) {
        assert.ok(user !== '' && Buffer.byteLength(user) <= 128 && !/\p{Cc}/u.test(user));
        const der = Buffer.from(key, 'base64');
        assert.equal(createPublicKey({ key: der, format: 'der', type: 'spki' }).asymmetricKeyType, 'ec');
      }
      return users.size;
    }),
};

const credentials = await scramCredentials('pencil', 4096, Buffer.alloc(16, 4));

/** Whatever is in messages that nobody made with the password, nobody is let in. */
function runScram(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const kind = feed.byte();
  const length = feed.byte();
  const first = Buffer.from(feed.take(length));
  const final = Buffer.from(feed.rest());
  const parsed = parseClientFirst(first);
  if (typeof parsed !== 'string') {
    assert.equal(`${parsed.gs2Header}${parsed.bare}`, first.toString('utf8'), 'the two parts are the whole');
    assert.ok(parsed.username.length > 0 && parsed.nonce.length > 0);
  }
  const last = parseClientFinal(final);
  if (typeof last !== 'string') assert.match(final.toString('utf8').slice(last.withoutProof.length), /^,p=/);
  const method = new ScramSha256(new Map([['user', credentials]]), () => 'server');
  const exchange = method.begin();
  const steps = [...(kind & 1 ? [null] : []), first, final, ...(kind & 2 ? [final] : [])];
  const outcomes: string[] = [];
  for (const data of steps) {
    const step = exchange.step(data);
    assert.ok(!(step instanceof Promise));
    outcomes.push(step.outcome === 'failure' ? step.reason : step.outcome);
    assert.notEqual(step.outcome, 'success', 'a proof that nobody could make');
    if (step.outcome !== 'continue') break;
  }
  return outcomes.join();
}

const FIRST = 'n,,n=user,r=client';
const FINAL = `c=biws,r=clientserver,p=${hash(32)}`;

export const scramMessages: Target = {
  name: 'scram-messages',
  scope: ['/src/access/'],
  longest: 400,
  words: [
    'n,,',
    'y,,',
    'p=tls-unique,,',
    'a=user,',
    'n=',
    'r=',
    'c=',
    'p=',
    'm=x,',
    ',',
    '=2C',
    '=3D',
    '=',
    'biws',
    'clientserver',
    '\0',
    hash(32),
  ],
  seeds: () =>
    [
      [FIRST, FINAL],
      ['y,a=user,n=user,r=client,x=y', `c=eSxhPXVzZXIs,r=clientserver,x=y,p=${hash(32)}`],
      ['n,,n=us=2Cer,r=client', `${FINAL},z=1`],
    ].map(([first, final], kind) => input(kind, first.length, first, final)),
  run: runScram,
};

export const saslprepTarget: Target = {
  name: 'saslprep',
  scope: ['/src/access/saslprep'],
  longest: 100,
  words: [
    '\u00a0',
    '\u00ad',
    '\u200b',
    '\u2168',
    '\u0627',
    '\u0031',
    '\u{e0001}',
    '\ufb1d',
    '\ufdfa',
    '\u037a',
    '\u1680',
    '\ud7ff',
    '\u{1d173}',
  ],
  seeds: () =>
    ['I\u00adX', 'user', 'USER', '\u00aa', '\u2168', '\u0007', '\u06271', '\u0627\u0031\u0628'].map((text) =>
      Buffer.from(text),
    ),
  run: (bytes) => {
    const text = bytes.toString('utf8');
    const prepared = saslprep(text);
    if (prepared === null) return 'none';
    assert.ok(prepared.length > 0 && prepared.isWellFormed());
    assert.equal(prepared.normalize('NFKC'), prepared);
    assert.equal(saslprep(prepared), prepared, 'what is prepared stays as it is');
    return prepared === text ? 'same' : 'changed';
  },
};
