/**
 * A storm of clients that log in: `node dist/bench/logins.js [CLIENTS] [USERS]`. The real broker with a password file, and
 * clients that connect all at once over TCP; then they are all cut off, and come again. Prints how long it took from the first
 * SYN until each of them had its CONNACK, and what they got.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mosquittoHash, scryptHash } from '../src/access/password-hash.js';
import { NODE_FLAGS } from '../src/node-flags.js';

const [clients = 10_000, users = 100] = process.argv.slice(2).map(Number);
const main = fileURLToPath(new URL('../src/main.js', import.meta.url));

function connectPacket(client: string, user: string, password: string): Buffer {
  const field = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  };
  const body = Buffer.concat([field('MQTT'), Buffer.from([4, 0xc2, 0, 0]), ...[client, user, password].map(field)]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

/** One client: when it had its CONNACK, and the return code; -1 if the connection ended without one. */
function logIn(port: number, i: number, sockets: Socket[]): Promise<{ at: number; code: number }> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(connectPacket(`client ${i}`, `user ${i % users}`, `password ${i % users}`));
    socket.once('data', (bytes) => resolve({ at: performance.now(), code: bytes[3] ?? -1 }));
    socket.on('error', () => {});
    socket.once('close', () => resolve({ at: performance.now(), code: -1 }));
  });
}

async function storm(port: number, pid: number, name: string): Promise<void> {
  const sockets: Socket[] = [];
  const [start, cpu] = [performance.now(), cpuOf(pid)];
  const ends = await Promise.all(Array.from({ length: clients }, (_, i) => logIn(port, i, sockets)));
  const seconds = ((cpuOf(pid) - cpu) / 100).toFixed(1);
  const times = ends.map(({ at }) => Math.round(at - start)).sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  const codes = new Map<number, number>();
  for (const { code } of ends) codes.set(code, (codes.get(code) ?? 0) + 1);
  const outcome = [...codes].map(([code, count]) => `return code ${code}: ${count}`).join(', ');
  console.log(`${name}: median ${at(0.5)} ms, last ${at(1)} ms, processor ${seconds} s; ${outcome}`);
  const closed = sockets.map((socket) => (socket.closed ? null : once(socket, 'close')));
  for (const socket of sockets) socket.resetAndDestroy();
  await Promise.all(closed);
}

/** Hundredths of a second of processor time. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function ready(broker: ChildProcess): Promise<void> {
  for await (const chunk of broker.stdout ?? []) if (String(chunk).includes('"msg":"ready"')) break;
  broker.stdout?.resume();
}

async function measure(kind: string, hash: (password: Buffer) => Promise<string>, cache: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portico-logins-'));
  const port = await freePort();
  const file = join(folder, 'passwords');
  let text = '';
  for (let i = 0; i < users; i++) text += `user ${i}:${await hash(Buffer.from(`password ${i}`))}\n`;
  writeFileSync(file, text);
  const config = join(folder, 'portico.yaml');
  writeFileSync(
    config,
    `listeners: [{ type: mqtt, host: 127.0.0.1, port: ${port} }]\ndata_dir: ${folder}/data\nlog: { level: info, format: json }\n` +
      `access: { password_file: ${file}, password_cache: ${cache} }\n`,
  );
  const broker = spawn(process.execPath, [...NODE_FLAGS, main, '-c', config], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await ready(broker);
    const what = `${clients} clients of ${users} users, ${kind}, access.password_cache ${cache}`;
    await storm(port, broker.pid ?? 0, `${what}, first time`);
    await storm(port, broker.pid ?? 0, `${what}, again`);
  } finally {
    broker.kill();
    await once(broker, 'exit');
    rmSync(folder, { recursive: true });
  }
}

await measure('scrypt ln=14', (password) => scryptHash(password), 60);
await measure('scrypt ln=14', (password) => scryptHash(password), 0);
await measure('scrypt ln=10', (password) => scryptHash(password, 10), 60);
await measure('$7$ with 10,000 iterations', mosquittoHash, 60);
