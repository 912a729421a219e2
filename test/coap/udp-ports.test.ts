/** UDP that goes on from another port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
