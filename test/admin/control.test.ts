/** The control socket: who may use it, what it replaces, and what it answers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlServer, type Route } from '../../src/admin/control.js';
import { askBroker } from '../../src/admin/control-client.js';
import { PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

class Words {
  readonly warnings: string[] = [];
  info(): void {}
  warn(sentence: string): void {
    this.warnings.push(sentence);
  }
}

const HELLO: Route = {
  method: 'GET',
  path: '/hello',
  async handle(_request, response) {
    response.end('hello');
  },
};

const BROKEN: Route = {
  method: 'GET',
  path: '/broken',
  handle: () => Promise.reject(new Error('it broke')),
};

async function serve(directory: string, routes: readonly Route[] = [HELLO], log = new Words()): Promise<ControlServer> {
  const server = new ControlServer(directory, routes, log);
  await server.open();
  return server;
}

async function text(answer: IncomingMessage | null): Promise<string | null> {
  if (answer === null) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const hello = async (directory: string): Promise<string | null> => text(await askBroker(directory, 'GET', '/hello'));

const failsWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof PorticoError && error.code === code, String(error));
  assert.match(error.message, words);
  return true;
};

test('the socket is for its user alone, and gone when the broker ends', async () => {
  const directory = join(temporaryFolder(), 'made', 'for', 'it');
  const umask = process.umask(0);
  try {
    const server = await serve(directory);
    const { mode } = statSync(join(directory, 'control.sock'));
    assert.equal(mode & 0o777, 0o600);
    assert.equal(process.umask(), 0);
    assert.equal(await hello(directory), 'hello');
    await server.close();
  } finally {
    process.umask(umask);
  }
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(await hello(directory), null);
});

test('without a broker nobody answers: no directory, no socket', async () => {
  const directory = temporaryFolder();
  assert.equal(await hello(directory), null);
  assert.equal(await hello(join(directory, 'none')), null);
  const long = join(directory, 'x'.repeat(120));
  assert.equal(await hello(long), null);
});

test('a path longer than a socket address has room for', async () => {
  const directory = join(temporaryFolder(), 'd'.repeat(100), 'e'.repeat(100));
  const server = await serve(directory);
  assert.ok(lstatSync(join(directory, 'control.sock')).isSocket());
  assert.equal(await hello(directory), 'hello');
  await server.close();
  assert.deepEqual(readdirSync(directory), []);
});

test('a socket that a killed process has left behind is replaced', async () => {
  const directory = temporaryFolder();
  const path = join(directory, 'control.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  assert.equal(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL');
  assert.ok(lstatSync(path).isSocket());
  assert.equal(await hello(directory), null);
  const server = await serve(directory);
  assert.equal(await hello(directory), 'hello');
  await server.close();
});

test("another broker's socket stays that broker's", async () => {
  const directory = temporaryFolder();
  const server = await serve(directory);
  await assert.rejects(
    serve(directory, []),
    failsWith('PORTICO_LISTEN', /control\.sock: another broker answers there/),
  );
  assert.equal(await hello(directory), 'hello');
  await server.close();
});

test('a file of that name is not the broker’s to delete', async () => {
  const directory = temporaryFolder();
  const file = join(directory, 'control.sock');
  writeFileSync(file, 'mine');
  const server = new ControlServer(directory, [HELLO], new Words());
  await assert.rejects(server.open(), failsWith('PORTICO_LISTEN', /there is a file of that name/));
  await server.close();
  assert.equal(readFileSync(file, 'utf8'), 'mine');
});

test('a data directory that cannot be made is told in words', async () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  await assert.rejects(serve(join(file, 'data')), failsWith('PORTICO_LISTEN', /^cannot open the control socket /));
});

test('what is not there, not taken or fails is answered in words', async () => {
  const directory = temporaryFolder();
  const log = new Words();
  const server = await serve(directory, [HELLO, BROKEN], log);
  const says = (words: RegExp) => failsWith('PORTICO_CONTROL', words);
  await assert.rejects(askBroker(directory, 'GET', '/nothing'), says(/^the broker says: there is no \/nothing$/));
  await assert.rejects(askBroker(directory, 'POST', '/hello'), says(/^the broker says: \/hello does not take POST$/));
  await assert.rejects(askBroker(directory, 'GET', '/broken'), says(/^the broker says: it broke$/));
  assert.deepEqual(log.warnings, ['GET /broken failed: it broke']);
  await server.close();
});

test('closing breaks off what is being answered', async () => {
  const directory = temporaryFolder();
  const endless: Route = {
    method: 'GET',
    path: '/hello',
    handle: (_request, response) => {
      response.write('begun');
      return new Promise((resolve) => response.once('close', resolve));
    },
  };
  const server = await serve(directory, [endless]);
  const answer = await askBroker(directory, 'GET', '/hello');
  await server.close();
  await assert.rejects(text(answer), /aborted/);
});

test('a directory that others may use keeps its mode', async () => {
  const directory = join(temporaryFolder(), 'shared');
  mkdirSync(directory, { mode: 0o750 });
  const server = await serve(directory);
  assert.equal(statSync(directory).mode & 0o777, 0o750);
  await server.close();
});
