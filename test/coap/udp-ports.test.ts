/** UDP that goes on from another port. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type DatagramAddress, UdpTransport } from '../../src/coap/transport.js';
import { UdpPorts } from '../../src/coap/udp-ports.js';

/** The next datagram. */
function next(transport: UdpTransport | UdpPorts): Promise<[string, DatagramAddress]> {
  return new Promise((resolve) => {
    transport.onDatagram = (bytes, source) => resolve([bytes.toString(), source]);
  });
}

const text = (transport: UdpTransport | UdpPorts, words: string, remote: DatagramAddress): void =>
  transport.send(Buffer.from(words), 0, words.length, remote);

test('after renew() datagrams to one remote have another source, and what comes to the former one reaches nobody', async () => {
  const ports = await UdpPorts.bind('127.0.0.1');
  const remotes = await Promise.all([0, 1].map(() => UdpTransport.bind({ address: '127.0.0.1', port: 0 })));
  const [one, other] = remotes.map(({ address, port }): DatagramAddress => ({ address, port, family: 'IPv4' }));
  try {
    let arrived = next(remotes[0]);
    text(ports, 'a', one);
    const [, former] = await arrived;
    ports.renew(one);
    ports.renew(one);
    assert.equal(ports.size, 2);
    arrived = next(remotes[0]);
    text(ports, 'b', one);
    const [, source] = await arrived;
    assert.notEqual(source.port, former.port);
    arrived = next(remotes[1]);
    text(ports, 'c', other);
    assert.equal((await arrived)[1].port, former.port);
    const answered = next(ports);
    text(remotes[0], 'to the former port', former);
    text(remotes[0], 'to the new port', source);
    assert.equal((await answered)[0], 'to the new port');
  } finally {
    ports.renew(other);
    await ports.close();
    for (const remote of remotes) await remote.close();
  }
});

/** Remotes on this machine, and ports that note what limits they tell of. */
async function scene(context: TestContext, count: number, most?: number) {
  const told: string[] = [];
  const ports = await UdpPorts.bind('127.0.0.1', {
    ...(most === undefined ? null : { most }),
    onLimit: (limit, { port }) => told.push(`${limit} ${port}`),
  });
  const remotes: UdpTransport[] = [];
  for (let i = 0; i < count; i++) remotes.push(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  context.after(() => Promise.all([ports, ...remotes].map((transport) => transport.close())));
  const addresses = remotes.map(({ address, port }): DatagramAddress => ({ address, port, family: 'IPv4' }));
  /** The source port of a datagram that is sent now. */
  const sourceOf = async (i: number): Promise<number> => {
    const arrived = next(remotes[i]);
    text(ports, 'x', addresses[i]);
    return (await arrived)[1].port;
  };
  return { ports, remotes, addresses, told, sourceOf };
}

test('one remote too many with a port of its own: the first of them is sent to from the common one again, counted and told', async (context) => {
  const { ports, remotes, addresses, told, sourceOf } = await scene(context, 4, 2);
  const common = await sourceOf(3);
  for (const i of [0, 1]) {
    ports.renew(addresses[i]);
    assert.notEqual(await sourceOf(i), common);
  }
  assert.deepEqual(told, []);
  ports.renew(addresses[2]);
  assert.notEqual(await sourceOf(2), common);
  assert.equal(ports.size, 3);
  assert.deepEqual(told, [`portEvictions ${addresses[0].port}`]);
  assert.equal(ports.counters.portEvictions, 1);
  assert.equal(await sourceOf(0), common);
  const answered = next(ports);
  text(remotes[0], 'to the common port', { address: '127.0.0.1', port: common, family: 'IPv4' });
  assert.equal((await answered)[0], 'to the common port');
});

test('datagrams that wait for a port: a fifth one is lost, counted and told', async (context) => {
  const { ports, remotes, addresses, told } = await scene(context, 1);
  const arrived: string[] = [];
  const all = new Promise<void>((resolve) => {
    remotes[0].onDatagram = (bytes) => {
      arrived.push(bytes.toString());
      if (arrived.length === 4) resolve();
    };
  });
  ports.renew(addresses[0]);
  for (const words of ['1', '2', '3', '4', '5']) text(ports, words, addresses[0]);
  await all;
  assert.deepEqual(arrived.toSorted(), ['1', '2', '3', '4']);
  assert.deepEqual(told, [`portDroppedWaiting ${addresses[0].port}`]);
  assert.equal(ports.counters.portDroppedWaiting, 1);
});
