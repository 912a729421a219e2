/** Binds as root what only root may: TCP ports below 1024, and Unix sockets. Listeners take them over (listeners/early.ts). */
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { bindAddresses } from '../config/listeners.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import type { SystemUser } from '../config/system-users.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { keepEarly, placeOf } from '../listeners/early.js';
import { isNotYet } from '../listeners/latecomers.js';
import { listen } from '../listeners/tcp.js';
import { UnixListener } from '../listeners/unix.js';
import { isAbsent, missingInterface } from './absent-addresses.js';
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
 * @param user whom the process becomes, and who owns the Unix sockets
 * @param warn told of an address that is not up yet, which its listener will find closed
 * @throws PorticoError `PORTICO_LISTEN`
 */
export async function bindEarly(
  listeners: Config['listeners'],
  user: SystemUser,
  warn: (sentence: string) => void,
): Promise<void> {
  const free = firstFreePort();
  for (const listener of listeners) {
    if (listener.type === 'unix') {
      const { path, mode = USUAL_MODE, group } = listener;
      await new UnixListener({ path, mode: Number.parseInt(mode, 8), group }, goAway).bindEarly(user);
      continue;
    }
    const { type, port } = listener;
    if (port === 0 || port >= free) continue;
    const mayNot = `the user ${user.name} may not open a port below ${free}`;
    if (isCoap(listener)) {
      const sentence = `cannot listen for CoAP (${type}) on port ${port}: ${mayNot}; take a higher one`;
      throw new PorticoError(ErrorKinds.Listen, sentence);
    }
    const late = (what: string): void => {
      warn(`${what} is not there yet, and later ${mayNot}: restart Portico for port ${port} when it is`);
    };
    if (missingInterface(listener) !== null) late(`an interface of ${type}`);
    await bindPort(listener, port, late);
  }
}

async function bindPort(listener: ListenerConfig, port: number, late: (host: string) => void): Promise<void> {
  const ipv6Only = 'ipv6_only' in listener && listener.ipv6_only === true;
  for (const { host, optional } of bindAddresses(listener)) {
    const server = createServer(goAway);
    try {
      await listen(server, host, port, listener.type === 'http' ? 'HTTP' : 'MQTT', ipv6Only);
      keepEarly(placeOf(host, port), server);
    } catch (error) {
      if (optional && isAbsent(error)) continue;
      if (!isNotYet(error)) throw error;
      late(host);
    }
  }
}
