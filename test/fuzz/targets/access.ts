/** Files of users, SCRAM messages and SASLprep. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { PasswordFile } from '../../../src/access/password-file.js';
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
