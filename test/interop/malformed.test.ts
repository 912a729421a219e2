import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { OPENINGS, PACKETS, type PacketRow } from '../packets.js';
import { Portico } from '../support/portico.js';
import { Bystanders } from './bystanders.js';
import { chooseSeed, generator, mutate, randomBuffer } from './random.js';
import {
  ACK,
  CON,
  coapMessage,
  Datagrams,
  messageIdOf,
  NON,
  openRaw,
  openTcp,
  openWebSocket,
  type RawClient,
  RST,
  typeOf,
} from './raw.js';
import { SysWatch } from './sys.js';

describe('malformed input', { timeout: 120_000 }, () => {
  let portico: Portico;
  let sys: SysWatch;
  let bystanders: Bystanders;
  let pid: number;

  before(async () => {
    portico = await Portico.start({ log: { level: 'info', format: 'json' } });
    pid = portico.pid;
    sys = await SysWatch.start(portico.ports.mqtt);
    bystanders = await Bystanders.start(portico.ports);
  });
  afterEach(async () => {
    assert.ok(portico.alive && portico.pid === pid, `the broker is gone:\n${portico.log.slice(-4000)}`);
    await bystanders.served();
  });
  after(async () => {
    try {
      const errors = portico.logLines.filter(({ level }) => level >= 50);
      assert.deepEqual(errors, [], 'nothing that a client sends is an error of the broker');
    } finally {
      await portico.dispose();
    }
  });

  const transports = {
    TCP: (version: number) => openRaw(portico.ports.mqtt, version),
    WebSocket: (version: number) => openWebSocket(portico.ports.websocket, version),
  } as const;

  /** Sends a row that is refused, and looks at how. */
  async function refuse(client: RawClient, row: PacketRow): Promise<void> {
    if (!row.opens) {
      client.sendBytes(OPENINGS.client[row.version]);
      await client.expect('connack');
    }
    client.sendBytes(row.bytes);
    await client.closed;
    const answers = client.packets.drain();
    if (row.opens && row.tag === 'MQTT-3.1.2-2') {
      // A level that there is not: CONNACK with return code 1 before the connection is closed.
      assert.deepEqual(
        answers.map((packet) => packet.cmd === 'connack' && (packet.returnCode ?? packet.reasonCode)),
        [1],
      );
    } else if (row.opens) {
      // A server may answer CONNACK (MQTT 5.0 only: [MQTT-3.1.4-1]) or close in silence.
      const isRefusal = row.version === 5 && answers[0]?.cmd === 'connack' && answers[0].reasonCode === row.reasonCode;
      assert.ok(answers.length === 0 || (answers.length === 1 && isRefusal), JSON.stringify(answers));
    } else if (row.version === 5) {
      assert.deepEqual(
        answers.map((packet) => packet.cmd === 'disconnect' && packet.reasonCode),
        [row.reasonCode],
        'one DISCONNECT with the reason',
      );
    } else assert.deepEqual(answers, [], 'before MQTT 5.0 a server can only close');
  }

  for (const [name, open] of Object.entries(transports)) {
    describe(`the packet table over ${name}`, () => {
      const rows = PACKETS.filter(({ direction, reasonCode }) => direction === 'client' && reasonCode !== undefined);
      let counted: number;

      before(() => {
        counted = sys.value('errors/protocol');
      });

      for (const row of rows) {
        test(`${row.name} [${row.tag}] is refused with 0x${row.reasonCode?.toString(16)}`, async () => {
          await refuse(await open(row.version), row);
        });
      }

      test('each one was counted as a protocol error', async () => {
        assert.ok(rows.length > 100, `${rows.length} rows`);
        await sys.reaches('errors/protocol', counted + rows.length);
      });
    });

    test(`packets over ${name} that only a server sends are protocol errors, and counted`, async () => {
      const counted = sys.value('errors/protocol');
      const packets = ['20020000', '9003000100', 'b0020001', 'd000'];
      for (const version of [3, 4] as const) {
        for (const packet of packets) {
          const client = await open(version);
          client.sendBytes(OPENINGS.client[version]);
          await client.expect('connack');
          client.sendBytes(Buffer.from(packet, 'hex'));
          await client.closed;
        }
      }
      await sys.reaches('errors/protocol', counted + 2 * packets.length);
    });

    test(`random bytes over ${name} close the connection, and are counted`, async (t) => {
      const seed = chooseSeed();
      t.diagnostic(`PORTICO_TEST_SEED=${seed}`);
      const random = generator(seed);
      const counted = sys.value('errors/protocol');
      const attempts = 200;
      await bystanders.during(
        (async () => {
          for (let i = 0; i < attempts; i++) {
            const bytes = randomBuffer(random, 2, 300);
            // Anything but a CONNECT, which might be waited for to its end.
            while (bytes[0] >> 4 === 1) bytes[0] = Math.floor(random() * 256);
            const client = await open(4);
            client.sendBytes(bytes);
            await client.closed;
          }
        })(),
      );
      await sys.reaches('errors/protocol', counted + attempts);
    });

    test(`table packets with random changes over ${name} do no harm`, async (t) => {
      const seed = chooseSeed();
      t.diagnostic(`PORTICO_TEST_SEED=${seed}`);
      const random = generator(seed);
      const rows = PACKETS.filter(({ direction }) => direction === 'client');
      await bystanders.during(
        (async () => {
          for (let i = 0; i < 400; i++) {
            const row = rows[Math.floor(random() * rows.length)];
            const client = await open(row.version);
            if (!row.opens) client.sendBytes(OPENINGS.client[row.version]);
            client.sendBytes(mutate(random, row.bytes));
            // What is left incomplete is cut off by the client.
            client.stream.end();
            await client.closed;
          }
        })(),
      );
    });
  }

  test('random bytes instead of HTTP at the WebSocket port close the connection, and are counted', async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`PORTICO_TEST_SEED=${seed}`);
    const random = generator(seed);
    const counted = sys.value('errors/protocol');
    const attempts = 100;
    for (let i = 0; i < attempts; i++) {
      const bytes = randomBuffer(random, 20, 300);
      // A method begins with a letter; line breaks before it are allowed.
      bytes[0] = 0x80 | Math.floor(random() * 128);
      const socket = await openTcp(portico.ports.websocket);
      socket.on('error', () => {});
      socket.resume();
      socket.write(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await sys.reaches('errors/protocol', counted + attempts);
  });

  test('a text frame is a protocol error, and counted', async () => {
    const counted = sys.value('errors/protocol');
    const { WebSocket } = await import('ws');
    const socket = new WebSocket(`ws://127.0.0.1:${portico.ports.websocket}`, 'mqtt');
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send('text');
    await new Promise((resolve) => socket.once('close', resolve));
    await sys.reaches('errors/protocol', counted + 1);
  });

  test('AUTH without an authentication method is a protocol error [MQTT-4.12.0-6], and counted', async () => {
    const counted = sys.value('errors/protocol');
    const client = await openRaw(portico.ports.mqtt, 5);
    client.sendBytes(OPENINGS.client[5]);
    await client.expect('connack');
    client.sendBytes(Buffer.from('f000', 'hex'));
    assert.equal((await client.expect('disconnect')).reasonCode, 0x82);
    await client.closed;
    await sys.reaches('errors/protocol', counted + 1);
  });

  test('a packet beyond mqtt.max_packet_size is refused before it has arrived', async () => {
    const counted = sys.value('errors/protocol');
    for (const version of [4, 5] as const) {
      const client = await openRaw(portico.ports.mqtt, version);
      client.sendBytes(OPENINGS.client[version]);
      await client.expect('connack');
      client.sendBytes(Buffer.from('30ffffff7f000161', 'hex'));
      if (version === 5) assert.equal((await client.expect('disconnect')).reasonCode, 0x95);
      await client.closed;
    }
    await sys.reaches('errors/protocol', counted + 2);
  });

  test('acknowledgements of what was never sent do no harm, and are counted', async () => {
    const counted = sys.value('errors/unknown_packet_id');
    const client = await openRaw(portico.ports.mqtt);
    client.sendBytes(OPENINGS.client[4]);
    await client.expect('connack');
    for (const packet of ['40024711', '50024711', '70024711']) client.sendBytes(Buffer.from(packet, 'hex'));
    client.send({ cmd: 'pingreq' });
    await client.packets.take(({ cmd }) => cmd === 'pingresp', 'PINGRESP');
    await sys.reaches('errors/unknown_packet_id', counted + 3);
    client.cut();
  });

  test('publishing to $SYS is denied, and counted', async () => {
    const counted = sys.value('denied/publish');
    const client = await openRaw(portico.ports.mqtt, 5);
    client.sendBytes(OPENINGS.client[5]);
    await client.expect('connack');
    const packet = { cmd: 'publish', topic: '$SYS/broker/version', payload: 'mine', retain: true, dup: false } as const;
    client.send({ ...packet, qos: 1, messageId: 1 });
    assert.equal((await client.expect('puback')).reasonCode, 0x87);
    client.cut();
    await sys.reaches('denied/publish', counted + 1);
  });

  describe('CoAP', () => {
    let datagrams: Datagrams;

    before(async () => {
      datagrams = await Datagrams.open(portico.ports.coap);
    });
    after(() => datagrams.close());

    /** Sends an Empty Confirmable message and waits for its Reset; returns what arrived before. */
    async function arrived(): Promise<Buffer[]> {
      const id = 0xfffe;
      await datagrams.send(coapMessage(CON, 0, id));
      await datagrams.received.take((message) => typeOf(message) === RST && messageIdOf(message) === id, 'Reset');
      return datagrams.received.drain();
    }

    const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
    // Header: version 2 bits, type 2 bits, token length 4 bits; code; message id.
    for (const [what, bytes, counter, reset] of [
      ['nothing at all', '', 'formatErrors', false],
      ['three bytes', '40 01 00', 'formatErrors', false],
      ['version 0', '00 01 0101', 'ignoredVersion', false],
      ['version 2', '80 01 0101', 'ignoredVersion', false],
      ['version 3', 'c0 01 0101', 'ignoredVersion', false],
      ['a token length of 9', '49 01 0101 010203040506070809', 'formatErrors', true],
      ['a token length of 15', '4f 01 0102 0102030405060708090a0b0c0d0e0f', 'formatErrors', true],
      ['a token that is cut off', '48 01 0103 01020304', 'formatErrors', true],
      ['a payload marker without payload', '40 01 0104 b2 7073 ff', 'formatErrors', true],
      ['an option that runs past the end', '40 01 0105 b9 7073', 'formatErrors', true],
      ['option delta 15 that is no payload marker', '40 01 0106 f1 00', 'formatErrors', true],
      ['option length 15', '40 01 0107 bf 00', 'formatErrors', true],
      ['an extended option delta that is cut off', '40 01 0108 d0', 'formatErrors', true],
      ['an empty message with a token', '41 00 0109 01', 'formatErrors', true],
      ['an empty message with more bytes', '40 00 010a 01', 'formatErrors', true],
      ['a reserved code class', '40 20 010b', 'unexpectedMessages', true],
      ['code class 7', '40 e1 010c', 'unexpectedMessages', true],
      ['a confirmable response', '40 45 010d', 'unexpectedMessages', true],
      ['a non-confirmable response', '50 45 010e', 'unexpectedMessages', false],
      ['a request as acknowledgement', '60 01 010f', 'unexpectedMessages', false],
      ['an acknowledgement of nothing', '60 00 0110', 'unmatchedReplies', false],
      ['a Reset of nothing', '70 00 0111', 'unmatchedReplies', false],
      ['an unknown critical option', '40 01 0112 e1 0100 00', 'badOptions', false],
    ] as const) {
      test(`${what}: ${reset ? 'Reset' : 'no Reset'}, and counted as ${counter}`, async () => {
        const datagram = hex(bytes);
        const counted = sys.value(`coap/${counter}`);
        await datagrams.send(datagram);
        const replies = await arrived();
        assert.equal(
          replies.some((reply) => typeOf(reply) === RST && messageIdOf(reply) === datagram.readUInt16BE(2)),
          reset,
          replies.map((reply) => reply.toString('hex')).join(', '),
        );
        await sys.reaches(`coap/${counter}`, counted + 1);
      });
    }

    test('random and half-right datagrams are all counted, and do no harm', async (t) => {
      const seed = chooseSeed();
      t.diagnostic(`PORTICO_TEST_SEED=${seed}`);
      const random = generator(seed);
      const path = ['ps', 'random', 'x'].map((segment) => [11, segment] as const);
      const seeds = [
        coapMessage(CON, 1, 1, Uint8Array.of(1, 2), [...path, [17, Uint8Array.of(50)]]),
        coapMessage(NON, 3, 2, Uint8Array.of(1), [...path, [12, Uint8Array.of(0)], [15, 'qos=1']], 'payload'),
        coapMessage(CON, 3, 3, Uint8Array.of(3), [...path, [27, Uint8Array.of(0x0e)]], Buffer.alloc(1024, 'b')),
        coapMessage(CON, 1, 4, Uint8Array.of(4), [[6, ''], ...path, [23, Uint8Array.of(0x16)]]),
        coapMessage(CON, 1, 5, Uint8Array.of(5), [
          [11, '.well-known'],
          [11, 'core'],
          [15, 'rt=*'],
        ]),
        coapMessage(ACK, 0, 6),
      ];
      const before = sys.value('coap/datagramsReceived');
      const attempts = 4000;
      let sent = 0;
      await bystanders.during(
        (async () => {
          for (; sent < attempts; sent++) {
            const random256 = random() < 0.5;
            const bytes = random256
              ? randomBuffer(random, 0, 200)
              : mutate(random, seeds[Math.floor(random() * seeds.length)]);
            await datagrams.send(bytes);
            // So that no datagram is lost on its way in, which would be the kernel's to count.
            if (sent % 50 === 49) await arrived();
          }
        })(),
      );
      // The bystanders and `arrived` send datagrams as well, so this is a lower bound.
      await sys.until('coap/datagramsReceived', (now) => now >= before + attempts, `should grow by ${attempts}`);
    });
  });
});
