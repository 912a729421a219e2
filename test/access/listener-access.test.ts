/** What decides by each listener, while configurations come and go: shared files, sections that appear and vanish, closed listeners. */
import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuthenticationMethod } from '../../src/access/authentication-method.js';
import { Passwords } from '../../src/access/passwords.js';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import { type Config, configSchema, type ListenerConfig } from '../../src/config/schema.js';
import { readAccessFiles } from '../../src/server/access-files.js';
import { Backends } from '../../src/server/backends.js';
import { identifier } from '../../src/server/identification.js';
import { ListenerAccess } from '../../src/server/listener-access.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
const OPTIONS = { queue: 10, cache: 60 };
const PARTY = { id: 'c', remote: '127.0.0.1:1', username: null, transport: 'mqtt', version: 5 };

function put(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** A password file with one user, as Mosquitto writes it, but quick to check. */
function users(name: string, password: string): string {
  const salt = Buffer.from('saltsaltsalt');
  const hash = pbkdf2Sync(password, salt, 1, 64, 'sha512').toString('base64');
  return put(name, `ann:$7$1$${salt.toString('base64')}$${hash}\n`);
}

const config = (access: object, listeners: object[]): Config =>
  configSchema.parse({ access, listeners: listeners.map((more, i) => ({ type: 'mqtt', port: 1883 + i, ...more })) });

class Scene {
  readonly #first: Config;
  readonly access: ListenerAccess;
  readonly #usual: Passwords;

  private constructor(first: Config, access: ListenerAccess, usual: Passwords) {
    this.#first = first;
    this.access = access;
    this.#usual = usual;
  }

  static async of(first: Config): Promise<Scene> {
    const files = await readAccessFiles(first);
    const usual = new Passwords(files.usual.passwords, OPTIONS);
    return new Scene(first, new ListenerAccess(first.listeners, usual, files), usual);
  }

  /** @param gone places of listeners that are not in the other configuration */
  async reload(next: Config, gone: readonly number[] = []): Promise<void> {
    const left = [...next.listeners];
    const others = this.#first.listeners.map((_, i) => (gone.includes(i) ? undefined : left.shift()));
    const counterpartOf = (listener: ListenerConfig) => others[this.#first.listeners.indexOf(listener)];
    this.access.replace(await readAccessFiles(next), OPTIONS, counterpartOf);
  }

  at(i: number) {
    return this.access.of(this.#first.listeners[i]);
  }

  /** Whether ann comes in by a listener with a password. */
  async lets(i: number, password: string): Promise<unknown> {
    const identify = this.at(i).identify ?? identifier(this.#usual, new Backends());
    return identify('ann', Buffer.from(password), false, () => true, PARTY);
  }
}

test('each listener lets in the users of its own file; what one has found right the other knows if the file is the same', async () => {
  const [all, own, list] = [users('all', 'all'), users('own', 'own'), put('list', 'topic x\n')];
  const both = { access: { password_file: own, acl_file: list } };
  const scene = await Scene.of(config({ password_file: all }, [{}, both, both, { access: { password_file: all } }]));
  assert.deepEqual(
    await Promise.all([scene.lets(0, 'all'), scene.lets(0, 'own'), scene.lets(1, 'own'), scene.lets(1, 'all')]),
    [true, false, true, false],
  );
  // Not asked again: at once, and not as a promise.
  assert.equal(
    scene.at(2).identify?.('ann', Buffer.from('own'), false, () => true, PARTY),
    true,
  );
  assert.equal(
    scene.at(3).identify?.('ann', Buffer.from('all'), false, () => true, PARTY),
    true,
  );
  assert.ok(scene.at(1).acl !== null && scene.at(1).acl === scene.at(2).acl);
  assert.deepEqual([...scene.access.controls.keys()], ['1883', '1884', '1885', '1886']);
  assert.deepEqual(
    [0, 1].map((i) => scene.at(i).listener),
    ['', '1884'],
  );
});

test('nobody has a password where the section names no file: who may come without a name may come with one', async () => {
  const scene = await Scene.of(config({ password_file: users('p', 'p') }, [{ access: {} }]));
  const { identify, methods } = scene.at(0);
  for (const anonymous of [true, false]) {
    assert.equal(
      identify?.('ann', Buffer.from('p'), anonymous, () => true, PARTY),
      anonymous,
    );
  }
  assert.deepEqual([...(methods ?? [])], []);
});

test('a section that comes or goes with a reload, and files that change', async () => {
  const [all, own] = [users('all-2', 'all'), users('own-2', 'own')];
  const scene = await Scene.of(config({ password_file: all }, [{}]));
  const control = scene.at(0);
  assert.deepEqual([await scene.lets(0, 'all'), scene.access.controls.size, control.listener], [true, 0, '']);
  const section = { access: { password_file: own, scram_file: put('scram', await scramLine('ann')) } };
  await scene.reload(config({ password_file: all }, [section]));
  assert.deepEqual([await scene.lets(0, 'all'), await scene.lets(0, 'own'), control.listener], [false, true, '1883']);
  assert.deepEqual([...(control.methods?.keys() ?? [])], ['SCRAM-SHA-256']);
  const method = control.methods?.get('SCRAM-SHA-256');
  users('own-2', 'other');
  await scene.reload(config({ password_file: all }, [section]));
  assert.deepEqual([await scene.lets(0, 'own'), await scene.lets(0, 'other')], [false, true]);
  assert.equal(
    control.methods?.get('SCRAM-SHA-256'),
    method,
    'exchanges under way go on with the method that began them',
  );
  await scene.reload(config({ password_file: all }, [{}]));
  assert.deepEqual([await scene.lets(0, 'all'), await scene.lets(0, 'other'), control.listener], [true, false, '']);
  assert.equal(control.methods, null);
});

test('a method lets nobody stay whose listener has another section by now', async () => {
  const [one, other] = [put('scram-4', await scramLine('ann')), put('list-4', 'topic x\n')];
  const first = config({}, [{ access: { scram_file: one } }, {}]);
  const scene = await Scene.of(first);
  const keeps = (method: AuthenticationMethod | undefined): boolean[] =>
    first.listeners.map((listener) => method !== undefined && scene.access.keeps(method, listener));
  const usual = new ScramSha256(new Map());
  const own = scene.at(0).methods?.get('SCRAM-SHA-256');
  assert.deepEqual(
    [keeps(own), keeps(usual)],
    [
      [true, false],
      [false, true],
    ],
  );
  await scene.reload(config({}, [{ access: { acl_file: other } }, {}]));
  assert.deepEqual(
    [keeps(own), keeps(usual)],
    [
      [false, false],
      [false, true],
    ],
  );
  await scene.reload(config({}, [{}, {}]));
  assert.deepEqual(
    [keeps(own), keeps(usual)],
    [
      [false, false],
      [true, true],
    ],
  );
});

test('a listener that is not in the new configuration keeps what it has of its own until it closes', async () => {
  const [all, other, list] = [users('all-3', 'all'), users('other-3', 'other'), put('list-3', 'topic x\n')];
  // Its file is that of all, which becomes another one.
  const scene = await Scene.of(
    config({ password_file: all }, [{ access: { password_file: all, acl_file: list } }, {}]),
  );
  const { acl } = scene.at(0);
  await scene.reload(config({ password_file: other }, [{}]), [0]);
  assert.deepEqual([await scene.lets(0, 'all'), await scene.lets(0, 'other')], [true, false]);
  assert.deepEqual([await scene.lets(1, 'all'), await scene.lets(1, 'other')], [false, true]);
  assert.ok(acl !== null && scene.at(0).acl === acl);
});

async function scramLine(user: string): Promise<string> {
  const { iterations, salt, storedKey, serverKey } = await scramCredentials('right');
  const [one, two, three] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'));
  return `${user}:SCRAM-SHA-256$${iterations}:${one}$${two}:${three}\n`;
}
