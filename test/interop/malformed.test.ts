import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { PACKETS, type PacketRow } from '../packets.js';
import { atOnce, Mistreated, seeded } from './mistreated.js';
import { mutate, randomBuffer } from './random.js';
import { connectPacket, openTcp, type RawClient } from './raw.js';

const PROTOCOL_ERRORS = 'errors/protocol';

/** Connections at once. */
const WIDTH = 16;

let sessions = 0;

/** Asks for a session of its own. */
function open(client: RawClient, version: 3 | 4 | 5): void {
  client.send(connectPacket({ clientId: `m${++sessions}`, protocolVersion: version }));
}

/** Opens a session as a row of the table needs it. */
async function opened(client: RawClient, version: 3 | 4 | 5): Promise<RawClient> {
  open(client, version);
  await client.expect('connack');
  return client;
}

/** Sends a row that is refused, and looks at how. */
async function refuse(client: RawClient, row: PacketRow): Promise<void> {
  if (!row.opens) await opened(client, row.version);
  client.sendBytes(row.bytes);
  await client.closed;
  const answers = client.packets.drain();
  if (row.opens && row.tag === 'MQTT-3.1.2-2') {
    // A level that there is not: CONNACK before the connection is closed, as MQTT 5.0 has it for those after its own.
    const codes = answers.map((packet) => packet.cmd === 'connack' && (packet.returnCode ?? packet.reasonCode));
    assert.deepEqual(codes, [row.version === 5 ? 0x84 : 1]);
  } else if (row.opens) {
    // A server may answer CONNACK (MQTT 5.0 only: [MQTT-3.1.4-1]) or close in silence.
    const isRefusal = row.version === 5 && answers[0]?.cmd === 'connack' && answers[0].reasonCode === row.reasonCode;
    assert.ok(answers.length === 0 || (answers.length === 1 && isRefusal), JSON.stringify(answers));
  } else if (row.version === 5) {
    const codes = answers.map((packet) => packet.cmd === 'disconnect' && packet.reasonCode);
    assert.deepEqual(codes, [row.reasonCode], 'one DISCONNECT with the reason');
  } else assert.deepEqual(answers, [], 'before MQTT 5.0 a server can only close');
}

describe('malformed MQTT', { timeout: 120_000 }, () => {
  const scene = new Mistreated();

  for (const name of ['TCP', 'WebSocket'] as const) {
    const dial = scene.open[name];

    describe(`the packet table over ${name}`, () => {
      const rows = PACKETS.filter(({ direction, reasonCode }) => direction === 'client' && reasonCode !== undefined);
      let counted: (name: string) => number;

      before(async () => {
        counted = await scene.sys.now();
      });

      describe('row by row', { concurrency: WIDTH }, () => {
        for (const row of rows) {
          test(`${row.name} [${row.tag}] is refused with 0x${row.reasonCode?.toString(16)}`, async () => {
            await refuse(await dial(row.version), row);
          });
        }
      });

      test('each one was counted as a protocol error', async () => {
        assert.ok(rows.length > 100, `${rows.length} rows`);
        assert.equal((await scene.sys.now())(PROTOCOL_ERRORS) - counted(PROTOCOL_ERRORS), rows.length);
      });
    });

    test(`packets over ${name} that only a server sends are protocol errors, and counted`, async () => {
      const packets = ['20020000', '9003000100', 'b0020001', 'd000'];
      const grown = await scene.growth(async () => {
        for (const version of [3, 4] as const) {
          for (const packet of packets) {
            const client = await opened(await dial(version), version);
            client.sendBytes(Buffer.from(packet, 'hex'));
            await client.closed;
          }
        }
      });
      assert.equal(grown(PROTOCOL_ERRORS), 2 * packets.length);
    });

    test(`random bytes over ${name} close the connection, and are counted`, async (t) => {
      const random = seeded(t);
      const attempts = 200;
      const inputs = Array.from({ length: attempts }, () => {
        const bytes = randomBuffer(random, 2, 300);
        // Anything but a CONNECT, which might be waited for to its end.
        while (bytes[0] >> 4 === 1) bytes[0] = Math.floor(random() * 256);
        return bytes;
      });
      const attack = async (bytes: Buffer): Promise<void> => {
        const client = await dial(4);
        client.sendBytes(bytes);
        await client.closed;
      };
      const grown = await scene.growth(() => scene.bystanders.during(atOnce(WIDTH, inputs, attack)));
      assert.equal(grown(PROTOCOL_ERRORS), attempts);
    });

    test(`packets of the table with random changes over ${name} do no harm`, async (t) => {
      const random = seeded(t);
      const rows = PACKETS.filter(({ direction }) => direction === 'client');
      const inputs = Array.from({ length: 400 }, () => {
        const row = rows[Math.floor(random() * rows.length)];
        return { row, bytes: mutate(random, row.bytes) };
      });
      const attack = async ({ row, bytes }: (typeof inputs)[number]): Promise<void> => {
        const client = await dial(row.version);
        if (!row.opens) open(client, row.version);
        client.sendBytes(bytes);
        // What is left incomplete is cut off by the client.
        client.stream.end();
        await client.closed;
      };
      await scene.bystanders.during(atOnce(WIDTH, inputs, attack));
    });
  }

  test('random bytes instead of HTTP at the WebSocket port close the connection, and are counted', async (t) => {
    const random = seeded(t);
    const attempts = 100;
    const inputs = Array.from({ length: attempts }, () => {
      const bytes = randomBuffer(random, 20, 300);
      // A method begins with a letter; line breaks before it are allowed.
      bytes[0] = 0x80 | Math.floor(random() * 128);
      return bytes;
    });
    const attack = async (bytes: Buffer): Promise<void> => {
      const socket = (await openTcp(scene.portico.ports.websocket)).resume();
      socket.on('error', () => {});
      const closed = once(socket, 'close');
      socket.write(bytes);
      await closed;
    };
    const grown = await scene.growth(() => atOnce(WIDTH, inputs, attack));
    assert.equal(grown(PROTOCOL_ERRORS), attempts);
  });

  test('frames that break WebSocket itself close the connection, and are counted', async () => {
    // RFC 6455 5.1: not masked; 5.2: a reserved bit, a reserved opcode; 5.5: a control frame that is too long.
    const frames = ['8202c000', 'c28200000000c000', '838200000000c000', '89fe007e00000000'];
    const grown = await scene.growth(async () => {
      for (const frame of frames) {
        const socket = await openTcp(scene.portico.ports.websocket);
        socket.on('error', () => {});
        const closed = once(socket, 'close');
        const upgrade = [
          'Connection: Upgrade',
          'Upgrade: websocket',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Protocol: mqtt',
        ];
        const key = Buffer.alloc(16).toString('base64');
        socket.write(['GET /mqtt HTTP/1.1', 'Host: x', ...upgrade, `Sec-WebSocket-Key: ${key}`, '', ''].join('\r\n'));
        const [answer] = (await once(socket, 'data')) as [Buffer];
        assert.match(answer.toString(), /^HTTP\/1\.1 101 /);
        socket.resume();
        socket.write(Buffer.from(frame, 'hex'));
        await closed;
      }
    });
    assert.equal(grown(PROTOCOL_ERRORS), frames.length);
  });

  test('a text frame is a protocol error, and counted', async () => {
    const grown = await scene.growth(async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${scene.portico.ports.websocket}`, 'mqtt');
      await once(socket, 'open');
      const closed = once(socket, 'close');
      socket.send('text');
      assert.equal((await closed)[0], 1003);
    });
    assert.equal(grown(PROTOCOL_ERRORS), 1);
  });

  test('AUTH without an authentication method is a protocol error [MQTT-4.12.0-6], and counted', async () => {
    const grown = await scene.growth(async () => {
      const client = await opened(await scene.open.TCP(5), 5);
      client.sendBytes(Buffer.from('f000', 'hex'));
      assert.equal((await client.expect('disconnect')).reasonCode, 0x82);
      await client.closed;
    });
    assert.equal(grown(PROTOCOL_ERRORS), 1);
  });

  test('a packet beyond mqtt.max_packet_size is refused before it has arrived, and counted', async () => {
    const grown = await scene.growth(async () => {
      for (const version of [4, 5] as const) {
        const client = await opened(await scene.open.TCP(version), version);
        client.sendBytes(Buffer.from('30ffffff7f000161', 'hex'));
        if (version === 5) assert.equal((await client.expect('disconnect')).reasonCode, 0x95);
        await client.closed;
      }
    });
    assert.equal(grown(PROTOCOL_ERRORS), 2);
  });

  test('acknowledgements of what was never sent do no harm, and are counted', async () => {
    const grown = await scene.growth(async () => {
      const client = await opened(await scene.open.TCP(4), 4);
      for (const packet of ['40024711', '50024711', '70024711']) client.sendBytes(Buffer.from(packet, 'hex'));
      client.send({ cmd: 'pingreq' });
      await client.packets.take(({ cmd }) => cmd === 'pingresp', 'PINGRESP');
      client.cut();
    });
    assert.equal(grown('errors/unknown_packet_id'), 3);
  });

  test('publishing to $SYS is denied, and counted', async () => {
    const grown = await scene.growth(async () => {
      const client = await opened(await scene.open.TCP(5), 5);
      const packet = {
        cmd: 'publish',
        topic: '$SYS/broker/version',
        payload: 'mine',
        retain: true,
        dup: false,
      } as const;
      client.send({ ...packet, qos: 1, messageId: 1 });
      assert.equal((await client.expect('puback')).reasonCode, 0x87);
      client.cut();
    });
    assert.equal(grown('denied/publish'), 1);
  });
});
