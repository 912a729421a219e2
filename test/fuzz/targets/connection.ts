/** Whole connections of the engine: two that send anything, two that behave and want their service. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { ScramSha256, scramCredentials } from '../../../src/access/scram.js';
import { Broker } from '../../../src/broker.js';
import type { Transport, TransportHandler } from '../../../src/session/transport.js';
import { Output } from '../../../src/wire/output.js';
import { WireError } from '../../../src/wire/wire-error.js';
import { writeSubscribe } from '../../../src/wire/writers.js';
import { type AnyPacket, OPENINGS, PACKETS } from '../../packets.js';
import { FakeClock } from '../../support/engine.js';
import { ScramClient } from '../../support/scram-client.js';
import { Recorder } from '../../wire/recorder.js';
import { framed, props, raw, str } from '../../wire/table/row.js';
import { Feed, input, type Target } from '../target.js';

/** Turns of the event loop in which everything that is under way ends. */
const TURNS = 8;

const RESET = new Error('reset');

/** A client's end of a connection that is nothing but memory. */
class MemoryTransport implements Transport {
  readonly name = 'mqtt';
  readonly remote = 'memory';
  readonly stream = null;
  readonly writing = 0;
  readonly bytesRead = 0;
  pending = 0;
  handler: TransportHandler | null = null;
  readonly written: Buffer[] = [];
  /** Bytes that wait because the broker does not read. */
  #waiting: Buffer[] = [];
  #paused = false;
  ended = false;
  #closed = false;

  accept(): void {}

  write(output: Output): void {
    this.written.push(Buffer.from(output.bytes()));
    output.recycle();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const bytes of this.#waiting.splice(0)) this.receive(bytes);
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.ended = true;
  }

  /** The client sends. */
  receive(bytes: Buffer): void {
    if (this.#closed || bytes.length === 0) return;
    if (this.#paused) this.#waiting.push(bytes);
    else this.handler?.onData(bytes);
  }

  /** The connection is gone. */
  cut(error: Error | null = null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.handler?.onClose(error);
  }
}

/** What the broker has sent is MQTT of the version that was spoken. */
function received(transport: MemoryTransport, version: 0 | 3 | 4 | 5): AnyPacket[] {
  const recorder = new Recorder('server', version === 0 ? 4 : version);
  for (const bytes of transport.written) recorder.parser.push(bytes);
  const bytes = Buffer.concat(transport.written).toString('hex');
  assert.deepEqual(recorder.errors, [], bytes);
  assert.equal(recorder.parser.buffered, 0, bytes);
  return recorder.packets;
}

const credentials = await scramCredentials('pencil', 4096, Buffer.alloc(16, 4));

class Scene {
  readonly clock = new FakeClock();
  readonly broker: Broker;
  readonly failures: unknown[] = [];
  readonly #transports: MemoryTransport[] = [];

  private constructor(broker: Broker, clock: FakeClock) {
    this.broker = broker;
    this.clock = clock;
    const failed = (_client: unknown, error: Error): void => {
      // A failure that is no word of the protocol is one of the broker.
      const told = error === RESET || (error instanceof WireError && error.reasonCode !== 0x83);
      if (!told) this.failures.push(error);
    };
    broker.on('clientError', failed);
    broker.on('connectionError', failed);
  }

  static async create(): Promise<Scene> {
    const clock = new FakeClock();
    const users = new Map([['user', credentials]]);
    const broker = await Broker.createBroker({
      id: 'broker',
      clock,
      session: { maxPacketSize: 4096, receiveMaximum: 4, maxInflight: 3, queuedMessages: 20, outputBuffer: 16_384 },
      retained: { messages: 10, bytes: 4096 },
      authenticationMethods: [new ScramSha256(users, () => 'server')],
      journal: {
        ...SILENT,
        storeFailed: (error) => scene.failures.push(error),
        internalFault: (error) => scene.failures.push(error),
      },
    });
    const scene = new Scene(broker, clock);
    return scene;
  }

  open(): MemoryTransport {
    const transport = new MemoryTransport();
    this.#transports.push(transport);
    this.broker.accept(transport);
    return transport;
  }

  async settle(): Promise<void> {
    for (let i = 0; i < TURNS; i++) {
      for (const transport of this.#transports) if (transport.ended) transport.cut();
      await turn();
    }
    if (this.failures.length > 0) throw this.failures[0];
  }
}

const SILENT = {
  connected() {},
  disconnected() {},
  refused() {},
  loginFailed() {},
  denied() {},
  subscribed() {},
  unsubscribed() {},
  limit() {},
  internalFault() {},
  storeSilent() {},
  storeRecovered() {},
  syncFailed() {},
  syncRecovered() {},
  storeDamaged() {},
  storeTorn() {},
};

function connect(version: 4 | 5, id: string): Buffer {
  // With a Topic Alias Maximum.
  return framed(0x10, str('MQTT'), `0${version} 02 0000`, version === 5 ? props('22 0002') : '', str(id));
}

function subscription(version: 4 | 5): Buffer {
  const out = new Output();
  const one = { topic: '#', qos: 1, nl: false, rap: true, rh: 0 } as const;
  writeSubscribe(out, version, { cmd: 'subscribe', messageId: 1, subscriptions: [one] });
  return Buffer.from(out.bytes());
}

async function run(bytes: Buffer): Promise<string> {
  const scene = await Scene.create();
  const { broker } = scene;
  // Aedes' heartbeats and wills.
  const own = broker.counters.subscriptions;
  const bystanders = ([4, 5] as const).map((version) => {
    const transport = scene.open();
    transport.receive(connect(version, `bystander-${version}`));
    transport.receive(subscription(version));
    return { version, transport };
  });
  await scene.settle();
  const feed = new Feed(bytes);
  const versions = new Map<MemoryTransport, 0 | 3 | 4 | 5>();
  const attackers: (MemoryTransport | null)[] = [null, null];
  while (!feed.empty) {
    const head = feed.byte();
    const which = head & 1;
    let transport = attackers[which];
    if (transport === null || transport.ended) {
      transport = scene.open();
      attackers[which] = transport;
    }
    const { handler } = transport;
    switch (head >> 5) {
      case 5:
        transport.cut(head & 2 ? RESET : null);
        attackers[which] = null;
        break;
      case 6:
        scene.clock.advance(feed.byte());
        broker.tick();
        break;
      case 7:
        await turn();
        break;
      default:
        transport.receive(Buffer.from(feed.take(feed.short() & 0x3ff)));
    }
    if (handler !== null)
      versions.set(transport, (handler as unknown as { parser: { version: 0 | 3 | 4 | 5 } }).parser.version);
  }
  await scene.settle();
  // The bystanders are served.
  bystanders[0].transport.receive(framed(0x32, str('bystanders'), '0009', 'aa'));
  bystanders[0].transport.receive(Buffer.from('c000', 'hex'));
  await scene.settle();
  for (const [transport, version] of versions) received(transport, version);
  const seen = bystanders.map(({ transport, version }) => {
    // What they have not acknowledged fills their window: the message may wait, the connection stands.
    assert.ok(!transport.ended, 'a bystander was cut off');
    return received(transport, version);
  });
  assert.ok(seen[0].some(({ cmd }) => cmd === 'puback'));
  assert.ok(seen[0].some(({ cmd }) => cmd === 'pingresp'));
  const { counters } = broker;
  assert.equal(counters.subscriptions - own, countSubscriptions(broker));
  assert.equal(broker.connectedClients, Object.keys(broker.clients).length);
  for (const transport of attackers) transport?.cut();
  for (const { transport } of bystanders) transport.cut();
  await scene.settle();
  assert.deepEqual([broker.connections.size, broker.connectedClients], [0, 0]);
  await broker.stop();
  if (scene.failures.length > 0) throw scene.failures[0];
  const got = new Set(seen[1].map(({ cmd }) => cmd));
  return `${[...new Set(versions.values())]} ${[...got]} ${counters.protocolErrors > 0}`;
}

/** Subscriptions of all sessions. */
function countSubscriptions(broker: Broker): number {
  let count = 0;
  for (const session of broker.sessions.all()) count += session.subscriptions.size;
  return count;
}

/** Data from one of the two. */
function data(which: number, bytes: Buffer): Buffer {
  return input(which, bytes.length >> 8, bytes.length & 0xff, bytes);
}

const METHOD = raw('15', str('SCRAM-SHA-256'));
const SCRAM = new ScramClient('user', 'pencil', 'client');
/** What the broker answers, whose part of the nonce is known. */
const CHALLENGE = Buffer.from(`r=clientserver,s=${credentials.salt.toString('base64')},i=${credentials.iterations}`);

function authentication(reasonCode: number, text: string | Buffer): Buffer {
  return framed(0xf0, Buffer.from([reasonCode]), props(METHOD, '16', str(text)));
}

const WORDS: readonly Buffer[] = [
  ...([3, 4, 5] as const).map((version) => data(0, OPENINGS.client[version])),
  data(1, framed(0x10, str('MQTT'), '05 00 0000', '05 11 ffffffff', str('kept'))),
  data(0, framed(0x10, str('MQTT'), '05 04 0000', '00', str('w'), '05 18 00000001', str('will'), str('gone'))),
  data(0, framed(0x30, str('a/b'), Buffer.from('hi'))),
  data(0, framed(0x33, str('a/b'), '0001', '00', Buffer.from('hi'))),
  data(1, framed(0x35, str('a/b'), '0002', '03 23 0001', Buffer.from('hi'))),
  data(0, framed(0x82, '0003', '02 0b05', str('a/+'), '02')),
  data(1, framed(0x82, '0004', '00', str('$share/g/a/#'), '01')),
  data(0, framed(0xa2, '0005', '00', str('a/+'))),
  ...['62020002', '40020001', '50020001', '70020001', 'e000', 'c000'].map((hex) => data(0, Buffer.from(hex, 'hex'))),
  ...['\xa0', '\xa3', '\xc0\x05', '\xe0', '\xe1'].map((text) => Buffer.from(text, 'latin1')),
  data(0, framed(0x10, str('MQTT'), '05 02 0000', props('22 0003', METHOD, '16', str(SCRAM.first())), str('s'))),
  data(0, authentication(0x18, SCRAM.final(CHALLENGE))),
  data(0, authentication(0x18, `c=biws,r=clientserver,p=${Buffer.alloc(32).toString('base64')}`)),
  data(0, authentication(0x19, SCRAM.first())),
];

export const mqttConnection: Target = {
  name: 'mqtt-connection',
  scope: ['/src/session/', '/src/bus/', '/src/broker'],
  longest: 2048,
  words: WORDS,
  seeds: () => [
    Buffer.concat(WORDS),
    Buffer.concat(WORDS.slice(-4).map((word) => input(word, 0xe0, 0xe0))),
    Buffer.concat([WORDS.at(-4)!, WORDS.at(-3)!, WORDS.at(-1)!, WORDS.at(-3)!].map((word) => input(word, 0xe0, 0xe0))),
    Buffer.concat(WORDS.map((word) => input(word, 0xe0))),
    Buffer.concat(WORDS.toReversed()),
    ...WORDS.map((word) => Buffer.concat([WORDS[2], input(0xe0, 0xe0), word])),
    // What is refused is the parsers' own matter.
    ...PACKETS.filter((row) => row.direction === 'client' && row.packet !== undefined && row.bytes.length < 200).map(
      ({ opens, version, bytes }) =>
        opens ? data(0, bytes) : Buffer.concat([data(0, OPENINGS.client[version]), input(0xe0, 0xe0), data(0, bytes)]),
    ),
  ],
  run,
};
