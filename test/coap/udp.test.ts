/** The UDP transport, with sockets that take and give many datagrams in one call and with Node's, and npm coap's client over it. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { type IncomingMessage, type ObserveReadStream, type OutgoingMessage, request } from 'coap';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import { type UdpOptions, UdpTransport } from '../../src/coap/transport.js';
import { BATCHES } from '../../src/coap/udp/batches.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { CON, decode, encode } from './harness.js';
import { LARGE, Resources } from './resources.js';

test('what takes and gives datagrams in batches was built', () => {
  assert.notEqual(BATCHES, null, 'npm run build says why it was not');
});

for (const batches of [BATCHES, null]) {
  describe(batches === null ? "Node's sockets" : 'sockets of batches', () => {
    const bind = (options: UdpOptions): Promise<UdpTransport> => UdpTransport.bind({ batches, ...options });
    let udp: UdpTransport;
    let endpoint: CoapEndpoint;
    let resources: Resources;

    before(async () => {
      udp = await bind({ address: '127.0.0.1', port: 0 });
      resources = new Resources((answer) => setTimeout(answer, 100));
      endpoint = new CoapEndpoint(udp, { handler: resources.handler });
    });

    after(() => endpoint.close());

    async function ask(
      options: Parameters<typeof request>[0],
      payload?: Buffer,
      prepare?: (message: OutgoingMessage) => void,
    ) {
      const outgoing = request({ hostname: '127.0.0.1', port: udp.port, ...(options as object) });
      prepare?.(outgoing);
      outgoing.end(payload);
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      return response;
    }

    test('npm coap: GET, PUT, POST, DELETE and a separate response', async () => {
      assert.equal((await ask({ pathname: '/test' })).payload.toString(), 'a test');
      assert.equal((await ask({ pathname: '/fresh', method: 'PUT' }, Buffer.from('x'))).code, '2.01');
      assert.equal((await ask({ pathname: '/fresh', method: 'PUT' }, Buffer.from('y'))).code, '2.04');
      assert.equal((await ask({ pathname: '/fresh', method: 'POST' }, Buffer.from('z'))).code, '2.04');
      assert.equal(resources.lastBody.toString(), 'z');
      assert.equal((await ask({ pathname: '/fresh' })).payload.toString(), 'y');
      assert.equal((await ask({ pathname: '/fresh', method: 'DELETE' })).code, '2.02');
      assert.equal((await ask({ pathname: '/fresh' })).code, '4.04');
      assert.equal((await ask({ pathname: '/separate' })).payload.toString(), 'separate');
      assert.equal((await ask({ pathname: '/test', confirmable: false })).payload.toString(), 'a test');
      assert.equal((await ask({ pathname: '/query', query: 'a=1&b=2' })).payload.toString(), 'a=1&b=2');
    });

    test('npm coap: a large GET and a large PUT go blockwise', async () => {
      assert.deepEqual((await ask({ pathname: '/large' })).payload, LARGE);
      const response = await ask({ pathname: '/large-update', method: 'PUT' }, LARGE, (message) => {
        message.setOption('Block1', Buffer.of(0x05));
      });
      assert.equal(response.code, '2.04');
      assert.deepEqual(resources.lastBody, LARGE);
    });

    test('npm coap: observe as CON and as NON', async () => {
      for (const [path, confirmable] of [
        ['/obs', true],
        ['/obs-non', false],
      ] as const) {
        const resource = resources.resource(path);
        const stream = (await ask({ pathname: path, observe: true, confirmable })) as unknown as ObserveReadStream;
        const states: string[] = [];
        for await (const chunk of stream) {
          states.push(String(chunk));
          if (states.length === 10) break;
          resources.change(path, `state ${states.length}`);
        }
        assert.deepEqual(
          states,
          Array.from({ length: 10 }, (_, index) => `state ${index}`),
        );
        assert.equal(resource.observers.size, 1);
      }
    });

    test('the address in use is PORTICO_LISTEN', async () => {
      await assert.rejects(
        bind({ address: '127.0.0.1', port: udp.port }),
        (error) => error instanceof PorticoError && error.kind === ErrorKinds.Listen,
      );
    });

    test('IPv6 is served beside IPv4 on the same port', async () => {
      const six = await bind({ address: '::1', port: udp.port });
      const server = new CoapEndpoint(six, { handler: resources.handler });
      const socket = createSocket('udp6');
      socket.send(encode({ type: CON, code: '0.01', path: ['test'], mid: 77 }), six.port, '::1');
      const [bytes] = (await once(socket, 'message')) as [Buffer];
      assert.deepEqual([decode(bytes).code, decode(bytes).mid], ['2.05', 77]);
      socket.close();
      await server.close();
    });

    test('an answer goes to the very address and port of the request', async () => {
      const sockets = [createSocket('udp4'), createSocket('udp4')];
      for (const [index, socket] of sockets.entries()) {
        socket.send(
          encode({ type: CON, code: '0.01', token: `0${index}`, path: ['test'], mid: 5 }),
          udp.port,
          '127.0.0.1',
        );
      }
      const answers = await Promise.all(sockets.map((socket) => once(socket, 'message')));
      for (const [index, [bytes]] of answers.entries()) assert.equal(decode(bytes as Buffer).token, `0${index}`);
      for (const socket of sockets) socket.close();
    });

    test('a datagram that cannot be sent is lost and counted; nothing throws', async () => {
      const transport = await bind({ address: '127.0.0.1', port: 0 });
      const datagram = Buffer.alloc(4, 0x40);
      transport.send(datagram, 0, 4, { address: '127.0.0.1', port: 0, family: 'IPv4' });
      transport.send(datagram, 0, 4, { address: '127.0.0.1', port: 70_000, family: 'IPv4' });
      assert.equal(transport.sendFailures, 2);
      await transport.close();
      transport.send(datagram, 0, 4, { address: '127.0.0.1', port: 5_683, family: 'IPv4' });
      assert.equal(transport.sendFailures, 3);
      await transport.close();
    });

    test('datagrams sent in one turn keep their bytes, though the caller uses one buffer for all', async () => {
      const transport = await bind({ address: '127.0.0.1', port: 0 });
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      const received: number[] = [];
      const buffer = Buffer.alloc(1_000);
      const all = new Promise<void>((resolve) => {
        socket.on('message', (bytes) => {
          assert.ok(bytes.every((byte) => byte === bytes[0]));
          received.push(bytes[0]);
          if (received.length === 60) resolve();
        });
      });
      const { address, port } = socket.address();
      for (let index = 0; index < 60; index++) {
        buffer.fill(index);
        transport.send(buffer, 500, 200, { address, port, family: 'IPv4' });
      }
      await all;
      assert.deepEqual(
        received,
        Array.from({ length: 60 }, (_, index) => index),
      );
      socket.close();
      await transport.close();
    });

    test('a host name is bound at its first address, and one that has none is told', async () => {
      const transport = await bind({ address: 'localhost', port: 0 });
      await transport.close();
      await assert.rejects(
        bind({ address: 'no-such-host.invalid', port: 0 }),
        (error: unknown) => error instanceof PorticoError && error.kind === ErrorKinds.Listen,
      );
    });

    test('datagrams of 0, 1 and 65,507 bytes arrive as they were sent, both ways', async () => {
      for (const address of ['127.0.0.1', '::1']) {
        const [one, other] = await Promise.all([bind({ address, port: 0 }), bind({ address, port: 0 })]);
        const family = address === '::1' ? 'IPv6' : 'IPv4';
        for (const length of [0, 1, 64, 65, 1_024, 1_025, 65_507]) {
          const bytes = Buffer.alloc(length, `${length}`);
          const arrived = new Promise((resolve) => {
            other.onDatagram = (received, source) => resolve([received, source]);
          });
          one.send(bytes, 0, length, { address, port: other.port, family });
          assert.deepEqual(
            await arrived,
            [bytes, { address, port: one.port, family }].map((value, at) =>
              at === 0 ? value : { ...(value as object), ...(batches === null ? { size: length } : {}) },
            ),
          );
        }
        await Promise.all([one.close(), other.close()]);
      }
    });

    test('a burst arrives whole and in order, and each datagram keeps its bytes', async () => {
      const [one, other] = await Promise.all([0, 1].map(() => bind({ address: '127.0.0.1', port: 0 })));
      const kept: Buffer[] = [];
      const all = new Promise<void>((resolve) => {
        other.onDatagram = (bytes) => {
          kept.push(bytes);
          if (kept.length === 1_500) resolve();
        };
      });
      const buffer = Buffer.alloc(100);
      for (let i = 0; i < 1_500; i++) {
        buffer.writeUInt32BE(i, 96);
        one.send(buffer, 0, 100, { address: '127.0.0.1', port: other.port, family: 'IPv4' });
      }
      await all;
      assert.deepEqual(
        kept.map((bytes) => bytes.readUInt32BE(96)),
        Array.from({ length: 1_500 }, (_, i) => i),
      );
      assert.deepEqual([one.sendFailures, one.socketErrors, other.socketErrors], [0, 0, 0]);
      await Promise.all([one.close(), other.close()]);
    });

    test('a socket that is closed while datagrams are handed out hands out no more, and its port is free', async () => {
      const [one, other] = await Promise.all([0, 1].map(() => bind({ address: '127.0.0.1', port: 0 })));
      let count = 0;
      const closed = new Promise<void>((resolve) => {
        other.onDatagram = () => {
          count++;
          void other.close().then(resolve);
        };
      });
      for (let i = 0; i < 20; i++)
        one.send(Buffer.alloc(4), 0, 4, { address: '127.0.0.1', port: other.port, family: 'IPv4' });
      await closed;
      await (await bind({ address: '127.0.0.1', port: other.port })).close();
      assert.equal(count, 1);
      await one.close();
    });

    test('sockets that answer each other in one turn do not mix their datagrams', async () => {
      const [one, other, third] = await Promise.all([0, 1, 2].map(() => bind({ address: '127.0.0.1', port: 0 })));
      const to = (transport: UdpTransport) => ({ address: '127.0.0.1', port: transport.port, family: 'IPv4' }) as const;
      const answers: string[] = [];
      const all = new Promise<void>((resolve) => {
        third.onDatagram = (bytes, { port }) => {
          answers.push(`${bytes} from ${port === one.port ? 'one' : port === other.port ? 'other' : port}`);
          if (answers.length === 200) resolve();
        };
      });
      one.onDatagram = (bytes) => {
        one.send(bytes, 0, bytes.length, to(third));
        other.send(Buffer.from(`+${bytes}`), 0, bytes.length + 1, to(third));
      };
      for (let i = 0; i < 100; i++) {
        const bytes = Buffer.from(String(i));
        other.send(bytes, 0, bytes.length, to(one));
      }
      await all;
      const expected = Array.from({ length: 100 }, (_, i) => [`${i} from one`, `+${i} from other`]).flat();
      assert.deepEqual(answers.toSorted(), expected.toSorted());
      await Promise.all([one, other, third].map((transport) => transport.close()));
    });
  });
}
