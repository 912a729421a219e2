/** Binds as root what only root may: TCP ports below 1024, and Unix sockets. Listeners take them over (listeners/early.ts). */
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { bindAddresses } from '../config/listeners.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { keepEarly, placeOf } from '../listeners/early.js';
import { isNotYet } from '../listeners/latecomers.js';
import { listen } from '../listeners/tcp.js';
import { type SocketOwner, UnixListener } from '../listeners/unix.js';
import { isAbsent } from './absent-addresses.js';
import { isCoap } from './coap-security.js';
import { USUAL_MODE } from './mqtt-listeners.js';

/** Where Linux keeps the first port that everybody may bind. */
const FIRST_FREE = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
const USUAL_FIRST_FREE = 1024;

function firstFreePort(): number {
  try {
    return Number(readFileSync(FIRST_FREE, 'utf8'));
  } catch {
    return USUAL_FIRST_FREE;
  }
}

const goAway = (socket: Socket): void => {
  socket.destroy();
};

/**
 * @param owner of the Unix sockets
 * @throws PorticoError `PORTICO_LISTEN`; an address that is not up yet is left to its listener
 */
export async function bindEarly(listeners: Config['listeners'], owner: SocketOwner): Promise<void> {
  const free = firstFreePort();
  for (const listener of listeners) {
    if (listener.type === 'unix') {
      const { path, mode = USUAL_MODE, group } = listener;
      await new UnixListener({ path, mode: Number.parseInt(mode, 8), group }, goAway).bindEarly(owner);
    } else if (!isCoap(listener) && listener.port > 0 && listener.port < free) await bindPort(listener, listener.port);
  }
}

async function bindPort(listener: ListenerConfig, port: number): Promise<void> {
  const ipv6Only = 'ipv6_only' in listener && listener.ipv6_only === true;
  for (const { host, optional } of bindAddresses(listener)) {
    const server = createServer(goAway);
    try {
      await listen(server, host, port, listener.type === 'http' ? 'HTTP' : 'MQTT', ipv6Only);
      keepEarly(placeOf(host, port), server);
    } catch (error) {
      if (!(optional && isAbsent(error)) && !isNotYet(error)) throw error;
    }
  }
}
