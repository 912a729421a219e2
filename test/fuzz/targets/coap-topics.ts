/** The plugin that maps CoAP resources to topics: datagrams over UDP, on the bus of a broker. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Broker } from '../../../src/broker.js';
import { CoapTopics } from '../../../src/plugins/coap-topics/plugin.js';
import { Pubsub } from '../../../src/plugins/coap-topics/pubsub/pubsub.js';
import { blockValue, decode, encode, OPT } from '../../coap/harness.js';
import { FACE_OPTIONS, faceContext } from '../../support/coap-face.js';
import { Feed, input, type Target } from '../target.js';

const OPTIONS = {
  ...FACE_OPTIONS,
  ack_timeout: 60,
  max_retransmit: 1,
  max_payload: 2048,
  block_size: 64,
  observers: 8,
  observers_per_client: 4,
  mappings: [{ path: '/c/{name}', topic: 'a/{name}', methods: ['GET', 'PUT'], convert: 'cbor-to-json' }],
} as const;

const PUBSUB_OPTIONS = {
  pubsub_path: 'pubsub',
  pubsub_content_format: 606,
  pubsub_topics: 4,
  notification: 'auto',
} as const;

/** Turns in which a datagram on the loopback interface arrives, at the very most. */
const MOST_TURNS = 100_000;
const DEVICES = 3;

const devices: Socket[] = [];
const received: Buffer[] = [];
for (let i = 0; i < DEVICES; i++) {
  const device = createSocket('udp4');
  device.on('message', (bytes) => received.push(bytes));
  device.on('error', () => {});
  device.bind(0, '127.0.0.1');
  await once(device, 'listening');
  devices.push(device);
}

async function run(bytes: Buffer): Promise<string> {
  received.length = 0;
  const broker = await Broker.createBroker({ id: 'broker', retained: { messages: 8, bytes: 4096 } });
  const pubsub = new Pubsub(PUBSUB_OPTIONS);
  const plugin = new CoapTopics(OPTIONS, pubsub);
  const failures: string[] = [];
  const silent = (): void => {};
  const context = faceContext(broker, {
    logger: {
      info: silent,
      warn: silent,
      error: (_fields, text) => failures.push(text),
      debug(_fields, text) {
        if (/(handler|internal)-error/.test(text)) failures.push(text);
      },
    },
  });
  await pubsub.start(context);
  await plugin.start(context);
  const port = Number(plugin.describe()[0].split(':').at(-1));
  const feed = new Feed(bytes);
  const sent: Promise<void>[] = [];
  while (!feed.empty) {
    const device = devices[feed.byte() % DEVICES];
    const datagram = Buffer.from(feed.take(feed.short() & 0x7ff));
    const handed = new Promise<void>((resolve) => device.send(datagram, port, '127.0.0.1', () => resolve()));
    sent.push(handed);
    await handed;
    for (let turns = 0; plugin.counters().datagramsReceived < sent.length; turns++) {
      assert.ok(turns < MOST_TURNS, 'a datagram was lost on the loopback interface');
      await turn();
    }
  }
  await turn();
  await turn();
  assert.deepEqual(failures, []);
  const counters = plugin.counters();
  assert.deepEqual([counters.internalErrors, counters.handlerErrors], [0, 0]);
  await plugin.stop();
  await pubsub.stop();
  await broker.stop();
  for (const answer of received) decode(answer);
  const codes = received.map((answer) => decode(answer).code);
  return [...new Set(codes)].sort().join();
}

function steps(datagrams: readonly Buffer[]): Buffer {
  return Buffer.concat(datagrams.map((bytes, i) => input(i % DEVICES, bytes.length >> 8, bytes.length & 0xff, bytes)));
}

/** Where the topic that is created below is. */
const PUBSUB_ID = 'c14cddc0';
/** {0: "a/b", 1: "/pubsub/data/x", 2: "core.ps.data", 3: 0, 5: 1(9999999999), 6: 1, 7: 1, 8: 'v'} */
const CONFIGURATION =
  'a80063612f62016e2f7075627375622f646174612f78026c636f72652e70732e64617461030005c11b00000002540be3ff06010701084176';

function withBody(mid: number, code: string, path: string[], contentFormat: number, payload: string | Buffer): Buffer {
  return encode({ code, path, mid, options: [[OPT.contentFormat, contentFormat]], payload });
}

const REQUESTS: readonly Buffer[] = [
  encode({ code: '0.03', path: ['ps', 'a', 'b'], mid: 1, payload: 'value' }),
  encode({ code: '0.01', path: ['ps', 'a', 'b'], mid: 2, token: '01' }),
  encode({ code: '0.01', path: ['ps', 'a', '+'], mid: 3, token: '02', options: [[OPT.observe, 0]] }),
  encode({
    code: '0.01',
    path: ['ps', 'a', '#'],
    mid: 4,
    token: '03',
    options: [
      [OPT.observe, 0],
      [OPT.accept, 60],
    ],
  }),
  encode({
    code: '0.02',
    path: ['ps', 'a', 'b'],
    mid: 5,
    options: [
      [OPT.contentFormat, 50],
      [OPT.maxAge, 10],
    ],
    payload: '{}',
  }),
  encode({
    code: '0.02',
    path: ['ps', 'a'],
    mid: 6,
    options: [
      [OPT.uriQuery, 'qos=2'],
      [OPT.uriQuery, 'retain=true'],
      [OPT.uriQuery, 'expiry=5'],
    ],
    payload: 'x',
  }),
  encode({ code: '0.04', path: ['ps', 'a', 'b'], mid: 7 }),
  encode({ code: '0.02', path: ['mqtt', 'connection'], mid: 11, options: [[OPT.uriQuery, 'c=dev']] }),
  encode({ code: '0.04', path: ['mqtt', 'connection'], mid: 12, options: [[OPT.uriQuery, 't=token']] }),
  encode({
    code: '0.01',
    path: ['ps', '+', 'b'],
    mid: 13,
    token: '04',
    options: [
      [OPT.observe, 0],
      [OPT.uriQuery, 'c=dev'],
      [OPT.uriQuery, 'session=s'],
    ],
  }),
  encode({ code: '0.03', path: ['c', 'd'], mid: 14, options: [[OPT.contentFormat, 60]], payload: Buffer.from([0xa0]) }),
  encode({ code: '0.01', path: ['c', 'd'], mid: 15 }),
  encode({ code: '0.01', path: ['.well-known', 'core'], mid: 8, options: [[OPT.uriQuery, 'href=/ps*']] }),
  encode({
    code: '0.03',
    path: ['ps', 'a'],
    mid: 9,
    options: [[OPT.block1, blockValue(0, true, 16)]],
    payload: Buffer.alloc(16, 98),
  }),
  encode({
    code: '0.03',
    path: ['ps', 'a'],
    mid: 10,
    options: [[OPT.block1, blockValue(1, false, 16)]],
    payload: 'end',
  }),
  encode({ code: '0.03', path: ['ps', '$SYS', 'x'], mid: 11, payload: 'no' }),
  encode({
    code: '0.03',
    path: ['ps', 'a/b'],
    mid: 12,
    options: [
      [OPT.ifMatch, Buffer.alloc(0)],
      [OPT.ifNoneMatch, ''],
    ],
    payload: 'x',
  }),
  encode({ type: 1, code: '0.05', path: ['ps', 'a'], mid: 13, payload: 'fetch' }),
  withBody(14, '0.02', ['pubsub'], 606, Buffer.from(CONFIGURATION, 'hex')),
  encode({ code: '0.01', path: ['pubsub', 'data', 'x'], mid: 15, token: '04', options: [[OPT.observe, 0]] }),
  withBody(16, '0.03', ['pubsub', 'data', 'x'], 0, 'value'),
  withBody(17, '0.05', ['pubsub'], 606, Buffer.from('a1006161', 'hex')),
  withBody(18, '0.05', ['pubsub', PUBSUB_ID], 60, Buffer.from('820103', 'hex')),
  withBody(19, '0.07', ['pubsub', PUBSUB_ID], 606, Buffer.from('a10600', 'hex')),
  encode({ code: '0.04', path: ['pubsub', 'data', 'x'], mid: 20 }),
  encode({ code: '0.04', path: ['pubsub', PUBSUB_ID], mid: 21 }),
];

export const coapTopics: Target = {
  name: 'coap-topics',
  scope: ['/src/plugins/', '/src/session/in-process', '/src/bus/retained'],
  longest: 3000,
  words: [
    ...REQUESTS.map((bytes) => steps([bytes])),
    '\xb2ps',
    'qos=1',
    'retain=',
    'expiry=',
    'q=',
    'r=',
    'e=',
    '\x01+',
    '\x01#',
    '\x04$SYS',
  ],
  seeds: () => [...REQUESTS.map((bytes) => steps([bytes])), steps(REQUESTS), steps(REQUESTS.toReversed())],
  run,
  close: async () => {
    for (const device of devices) device.close();
  },
};
