/** Many clients that log in at one moment with passwords that take their time, as after a restart: bench/logins.ts in small. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mosquittoHash, scryptHash } from '../../src/access/password-hash.js';
import { Portico, temporaryFolder } from '../support/portico.js';
import { logged } from './coap-transports.js';
import { connectRaw, type RawClient } from './raw.js';

const CLIENTS = 1_000;
const USERS = 20;

describe('a storm of logins', { timeout: 120_000 }, () => {
  let portico: Portico;

  before(async () => {
    const file = join(temporaryFolder(), 'passwords');
    const hashed = Array.from({ length: USERS }, async (_, i) => {
      const password = Buffer.from(`password ${i}`);
      return `user ${i}:${await (i % 2 === 0 ? scryptHash(password) : mosquittoHash(password))}\n`;
    });
    writeFileSync(file, (await Promise.all(hashed)).join(''), { mode: 0o600 });
    portico = await Portico.start({ access: { password_file: file }, log: { level: 'warn', format: 'json' } });
  });
  after(() => portico.dispose());

  const logIn = (i: number, password = `password ${i % USERS}`) =>
    connectRaw(portico.ports.mqtt, {
      clientId: `client ${i}`,
      username: `user ${i % USERS}`,
      password: Buffer.from(password),
    });

  /** Logs all of them in at once; the first one is there already and is served meanwhile. */
  async function storm(): Promise<void> {
    const first = await logIn(0);
    const others = Promise.all(Array.from({ length: CLIENTS - 1 }, (_, i) => logIn(i + 1)));
    for (let i = 0; i < 20; i++) {
      first.send({ cmd: 'pingreq' });
      await first.expect('pingresp');
    }
    const clients: (RawClient & { connack: { returnCode?: number } })[] = [first, ...(await others)];
    assert.deepEqual(
      clients.filter(({ connack }) => connack.returnCode !== 0),
      [],
    );
    for (const client of clients) client.cut();
    await Promise.all(clients.map(({ closed }) => closed));
  }

  test(`${CLIENTS} clients that come at once are all let in, twice, and a client that is there is served meanwhile`, async () => {
    await storm();
    await storm();
  });

  test('after it a wrong password is a wrong one, and no line of the log has any password', async () => {
    assert.equal((await logIn(1, 'password 2')).connack.returnCode, 4);
    await logged(portico, ({ msg }) => msg.startsWith('login failed: '));
    assert.doesNotMatch(portico.log, /password \d/);
  });
});
