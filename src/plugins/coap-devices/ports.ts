/** Ports of the broker for single devices over DTLS: what they count, and what the log tells of their limits. */
import type { DatagramAddress } from '../../coap/transport.js';
import { UdpPortCounters, type UdpPorts } from '../../coap/udp-ports.js';
import { addressOf } from '../coap-topics/devices.js';
import type { PluginContext } from '../plugin.js';

export type PortNumbers = Readonly<UdpPortCounters>;

/** What all of them count together. */
export function portNumbers(all: Iterable<UdpPorts>): PortNumbers {
  const sum = new UdpPortCounters();
  for (const { counters } of all) {
    sum.portEvictions += counters.portEvictions;
    sum.portDroppedWaiting += counters.portDroppedWaiting;
  }
  return sum;
}

/** They have no option. */
const LIMIT = 'ports for devices over DTLS';
const SENTENCES: Readonly<Record<keyof UdpPortCounters, (where: string) => string>> = {
  portEvictions: (where) => `there are too many: ${where} is sent to from the common one again`,
  portDroppedWaiting: (where) => `a datagram to ${where} is lost: too many wait until its port is bound`,
};

export function portLimit(context: PluginContext, limit: keyof UdpPortCounters, remote: DatagramAddress): void {
  context.limit(null, LIMIT, SENTENCES[limit](addressOf(remote)));
}
