/** `coap.tcp_idle_time`: a silent connection of CoAP over TCP is asked with a Ping, and then closed. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { Connection } from '../../src/coap/tcp/connection.js';
import { DEFAULT_TCP_LIMITS } from '../../src/coap/tcp/limits.js';
import { TcpTransport } from '../../src/coap/tcp/transport.js';
import { FakeClock } from './harness.js';
import { TcpDevice } from './tcp-device.js';

const IDLE = 600_000;
const CSM = Buffer.from([0x00, 0xe1]);
const PING = Buffer.from([0x00, 0xe2]);
const PONG = Buffer.from([0x00, 0xe3]);
const ABORT = 0xe5;

/** A connection without a network below it: what comes has come when `say` returns. */
class Line extends Duplex {
  readonly clock = new FakeClock();
  /** Causes of its end. */
  readonly aborted: string[] = [];
  readonly written: Buffer[] = [];
  /** Nothing is taken any more. */
  stuck = false;
  readonly connection: Connection;

  constructor() {
    super();
    const address = { address: '192.0.2.1', port: 5683, family: 'IPv4' } as const;
    this.connection = new Connection(this as unknown as Socket, address, {
      limits: { ...DEFAULT_TCP_LIMITS, idleTime: IDLE },
      now: () => this.clock.now(),
      deliver: () => {},
      holds: () => {},
      dropped: () => {},
      aborted: (_source, cause) => this.aborted.push(cause),
      closed: () => {},
    });
    this.say(CSM);
    this.written.length = 0;
  }

  /** As a socket has it. */
  setNoDelay(): this {
    return this;
  }

  destroySoon(): void {
    if (!this.stuck) this.destroy();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    if (!this.stuck) done();
  }

  say(bytes: Buffer): void {
    this.emit('data', bytes);
  }

  /** Lets milliseconds pass, with a look at the connection. */
  pass(milliseconds: number): void {
    this.clock.advance(milliseconds);
    this.connection.check(this.clock.now());
  }
}

test('RFC 8323 5.4: a connection that is silent for the idle time is asked with one Ping, and ends half as long after it', () => {
  const line = new Line();
  line.pass(IDLE - 1);
  assert.deepEqual(line.written, []);
  line.pass(1);
  line.pass(1000);
  assert.deepEqual(line.written, [PING]);
  line.pass(IDLE / 2 - 1001);
  assert.deepEqual(line.aborted, []);
  line.pass(1);
  assert.deepEqual(line.aborted, ['idleTime']);
  assert.equal(line.written.length, 2);
  assert.ok(Buffer.concat(line.written).includes(ABORT));
});

test('a connection that is looked at late is asked first, and has its time to answer', () => {
  const line = new Line();
  line.pass(10 * IDLE);
  assert.deepEqual([line.written, line.aborted], [[PING], []]);
  line.pass(IDLE / 2 - 1);
  assert.deepEqual(line.aborted, []);
  line.pass(1);
  assert.deepEqual(line.aborted, ['idleTime']);
});

test('a Pong keeps a connection, and so does anything else that comes', () => {
  for (const bytes of [PONG, PING, Buffer.from([0x00, 0x00])]) {
    const line = new Line();
    for (let round = 1; round <= 3; round++) {
      line.pass(IDLE);
      assert.deepEqual(line.written, [PING]);
      line.pass(IDLE / 2 - 1);
      line.say(bytes);
      line.written.length = 0;
      line.pass(IDLE - 1);
      assert.deepEqual(line.written, [], 'its time begins anew');
      line.say(bytes);
      line.written.length = 0;
    }
    assert.deepEqual(line.aborted, []);
  }
});

test('a device that takes what is sent to it is there, also if it says nothing', () => {
  const line = new Line();
  line.pass(IDLE - 1);
  line.emit('drain');
  line.pass(IDLE - 1);
  assert.deepEqual(line.written, []);
});

test('a connection that does not take the Abort of its end is destroyed', () => {
  const line = new Line();
  line.stuck = true;
  line.pass(IDLE);
  line.pass(IDLE / 2);
  assert.deepEqual(line.aborted, ['idleTime']);
  assert.equal(line.destroyed, false);
  line.pass(1000);
  assert.equal(line.destroyed, true);
});

test('coap.tcp_idle_time: the Ping goes out over TCP; without an answer the device is told, counted and gone', async (context) => {
  const clock = new FakeClock();
  const events: string[] = [];
  const transport = await TcpTransport.bind({
    address: '127.0.0.1',
    port: 0,
    clock,
    limits: { idleTime: IDLE },
    onEvent: (name, _peer, detail) => events.push(`${name} ${detail}`),
  });
  const gone: string[] = [];
  transport.onGone = (_remote, reason) => gone.push(reason);
  const device = await TcpDevice.connect(transport.port);
  context.after(async () => {
    device.close();
    await transport.close();
  });
  await device.next('7.01');
  // Its own Capabilities have been read then.
  device.send({ code: '7.02', token: '01' });
  await device.next('7.03');
  clock.advance(IDLE + 1000);
  assert.equal((await device.next('7.02')).token, '');
  clock.advance(IDLE / 2);
  assert.equal(String((await device.next('7.05')).payload), 'nothing came, and no Pong');
  while (gone.length === 0) await new Promise(setImmediate);
  assert.deepEqual(gone, ['its TCP connection was closed']);
  assert.deepEqual(events, ['limit idleTime']);
  assert.equal(transport.counters.idleTimeouts, 1);
  clock.advance(1000);
  assert.equal(clock.pending, 0, 'nobody is looked after');
});
