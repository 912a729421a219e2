/** Listeners of TLS, of certificates and of pre-shared keys: what clients say in their handshake, changed in any way. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { TlsListener } from '../../../src/listeners/tls.js';
import { SERVER } from '../../listeners/tls-scene.js';
import { Feed, input, type Target } from '../target.js';

/** Bytes that the listener may answer: its certificate, a few records, an alert. */
const MOST_ANSWER = 16_384;
const KEY = Buffer.alloc(16, 7);

/** What one connection has brought. */
class Visit {
  accepted = 0;
  failed: string[] = [];
  left = 0;
}

let visit = new Visit();

function listenerOf(psk: boolean): TlsListener {
  return new TlsListener('127.0.0.1', 0, {
    type: 'mqtts',
    credentials: {
      context: psk ? { ciphers: 'TLS_AES_128_GCM_SHA256:PSK-AES128-GCM-SHA256' } : SERVER,
      demand: { usernameFrom: 'identity', certificate: psk ? 'none' : 'asked', psk },
      pskHint: psk ? 'hint' : undefined,
      keyOf: (identity) => (identity === 'meter-7' ? KEY : undefined),
      onRenewal: (renewed) => {
        void renewed;
        return () => {};
      },
    },
    timeout: () => 60,
    enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
    leave: () => visit.left++,
    banned: () => false,
    arrive: () => {},
    done: () => {},
    accept: (socket) => {
      visit.accepted++;
      socket.on('error', () => {});
      socket.end();
    },
    failed: (_party, cause, reason, guessed) => {
      assert.equal(cause, 'handshake');
      assert.notEqual(reason, '');
      if (guessed !== null) assert.ok(psk, 'nobody names an identity where there are no keys');
      visit.failed.push(reason);
    },
  });
}

const listeners = [listenerOf(false), listenerOf(true)];
await Promise.all(listeners.map((listener) => listener.listen()));
const ports = listeners.map(({ address }) => Number(address.split(':').at(-1)));

/** The first flight of a client. */
async function hello(options: ConnectionOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
      setImmediate(() => this.emit('said'));
    },
  });
  const said = once(wire, 'said');
  const socket = connectTls({ socket: wire, rejectUnauthorized: false, ...options });
  socket.on('error', () => {});
  await said;
  socket.destroy();
  return Buffer.concat(chunks);
}

const keys = { pskCallback: () => ({ psk: KEY, identity: 'meter-7' }), checkServerIdentity: () => undefined };
const HELLOS = await Promise.all([
  hello({ servername: 'localhost', ALPNProtocols: ['mqtt'] }),
  hello({ maxVersion: 'TLSv1.2' }),
  hello({ ciphers: 'TLS_AES_128_GCM_SHA256:PSK-AES128-GCM-SHA256', ...keys }),
  hello({ ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2', ...keys }),
]);

/** Sends the pieces, then ends; returns how many bytes were the answer. */
async function send(port: number, pieces: readonly Buffer[]): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  let answer = 0;
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.length;
  });
  // A reset is one of the ways in which the listener may close.
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  for (const piece of pieces) if (piece.length > 0) socket.write(piece);
  socket.end();
  await closed;
  return answer;
}

async function run(bytes: Buffer): Promise<string> {
  visit = new Visit();
  const mine = visit;
  const feed = new Feed(bytes);
  const mode = feed.byte();
  const split = feed.short();
  const answer = await send(ports[mode & 1], [feed.take(split), feed.rest()]);
  for (let turns = 0; turns < 1000 && mine.accepted + mine.failed.length === 0; turns++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  assert.equal(mine.accepted, 0, 'nobody who does not answer comes in');
  assert.deepEqual([mine.failed.length, mine.left], [1, 1], 'one end, and one place given back');
  assert.ok(answer <= MOST_ANSWER, `${answer} bytes`);
  return `${mode & 1} ${mine.failed[0].replaceAll(/".*"/gs, '')}`;
}

export const tlsHandshake: Target = {
  name: 'tls-handshake',
  scope: ['/src/listeners/tls'],
  longest: 2000,
  words: [
    Buffer.from('160301', 'hex'),
    Buffer.from('170303', 'hex'),
    Buffer.from('15030300020228', 'hex'),
    Buffer.from('140303000101', 'hex'),
    Buffer.from('16030300', 'hex'),
    Buffer.from('0029', 'hex'),
    Buffer.from('00070007', 'hex'),
    Buffer.from('0000', 'hex'),
    Buffer.from('ffff', 'hex'),
    'meter-7',
    'nobody',
  ],
  seeds: () => [
    ...HELLOS.flatMap((bytes) => [0, 1].map((mode) => input(mode, 0, 0, bytes))),
    ...HELLOS.map((bytes) => input(0, 0, 5, bytes, bytes)),
    input(1, 0, 0, HELLOS[3], Buffer.from('1603030009100000050007', 'hex'), 'nobody!'),
    input(0, 0, 0, 'GET / HTTP/1.1\r\n\r\n'),
    input(0, 0, 0, Buffer.from('160301ffff', 'hex')),
    input(0, 0, 0),
  ],
  run,
  close: async () => {
    await Promise.all(listeners.map((listener) => listener.close()));
  },
};
