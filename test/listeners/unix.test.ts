/** MQTT over a Unix socket: its file, who may use it, and clients of others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { UnixListener } from '../../src/listeners/unix.js';
import { Program, run } from '../interop/programs.js';
import { connectPacket, RawClient } from '../interop/raw.js';
import { spawnChild, temporaryFolder } from '../support/portico.js';
import { Served } from './served.js';

const socketPath = (): string => join(temporaryFolder(), 'mqtt.sock');
const listenerAt = (path: string, mode = 0o660, group?: string): UnixListener =>
  new UnixListener({ path, mode, group }, (socket) => socket.destroy());

/** A socket file that its program has left behind. */
async function leaveBehind(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('listening'))`;
  const child = spawnChild(process.execPath, ['-e', script]);
  if (child.stdout !== null) await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.ok(existsSync(path));
}

test('mosquitto_pub and mosquitto_sub speak to a Unix socket', async () => {
  const path = socketPath();
  await Served.start([{ type: 'unix', path }]);
  const subscriber = await Program.start('mosquitto_sub', ['--unix', path, '-d', '-q', '1', '-t', 'unix/#', '-v']);
  await subscriber.lines.take((line) => line.startsWith('Subscribed (mid:'), 'SUBACK');
  const { code, stderr } = await run('mosquitto_pub', ['--unix', path, '-q', '1', '-t', 'unix/a', '-m', 'hello']);
  assert.equal(code, 0, stderr);
  assert.equal(await subscriber.lines.take((line) => line.startsWith('unix/a '), 'the message'), 'unix/a hello');
  await subscriber.end();
});

test('its clients count for no address, and the log says how they came', async () => {
  const path = socketPath();
  const served = await Served.start([{ type: 'unix', path }], { limits: { connections_per_address: 1 } });
  for (const clientId of ['a', 'b', 'c']) {
    const client = new RawClient(connect({ path }), 4);
    client.send(connectPacket({ clientId }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    const line = await served.line((one) => one.transport === 'unix', 'a connection');
    assert.equal(line.remote, 'local');
  }
});

test('the file has its mode whatever the umask, and is removed at the end', async () => {
  const umask = process.umask(0);
  try {
    for (const mode of [0o600, 0o660, 0o666]) {
      const path = socketPath();
      const listener = listenerAt(path, mode);
      await listener.listen();
      assert.equal(statSync(path).mode & 0o777, mode);
      assert.equal(process.umask(), 0, 'the umask of the process is as it was');
      await listener.close();
      assert.equal(existsSync(path), false);
    }
  } finally {
    process.umask(umask);
  }
});

test('the file belongs to the group of the option, by name or number', async () => {
  const gid = process.getegid?.() ?? 0;
  const path = socketPath();
  const listener = listenerAt(path, 0o660, String(gid));
  await listener.listen();
  assert.equal(statSync(path).gid, gid);
  await listener.close();
  await assert.rejects(listenerAt(path, 0o660, 'no such group').listen(), {
    code: 'PORTICO_LISTEN',
    message: `cannot listen for MQTT on ${path}: there is no group "no such group" in /etc/group; its number works, too`,
  });
  assert.equal(existsSync(path), false);
});

test('the socket of a broker that was killed is replaced', async () => {
  const path = socketPath();
  await leaveBehind(path);
  const listener = listenerAt(path);
  await listener.listen();
  const client = connect({ path });
  await once(client, 'connect');
  client.destroy();
  await listener.close();
});

test('a socket that a program listens on stops the start, and stays', async () => {
  const path = socketPath();
  const other = createServer().listen(path);
  await once(other, 'listening');
  await assert.rejects(listenerAt(path).listen(), {
    code: 'PORTICO_LISTEN',
    message: `cannot listen for MQTT on ${path}: another program listens on this socket`,
  });
  assert.ok(existsSync(path));
  other.close();
});

test('what is no socket stays, and stops the start', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'file');
  writeFileSync(file, 'something');
  const link = join(folder, 'link');
  symlinkSync(file, link);
  for (const path of [file, link, folder]) {
    await assert.rejects(listenerAt(path).listen(), /there is a file of that name that is no socket/);
    assert.ok(existsSync(path));
  }
  await assert.rejects(listenerAt(join(folder, 'none', 'mqtt.sock')).listen(), /or its folder is not there$/);
});
