/**
 * The programs that are measured, and how each one is started: on loopback, on a free port, alone on its core, with
 * its state in a folder of its own.
 */

import { spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../src/node-flags.js';
import { BenchError, Child, environment } from './processes.js';

export type PeerName = 'portico' | 'mosquitto' | 'libcoap';
export type Protocol = 'mqtt' | 'coap';

/** The key of every identity, as text. */
export const PSK = '0123456789abcdef';

/** What the scenarios of CoAP ask of a server, in no server's words. */
export interface CoapSetup {
  /** Type of the notifications to observers; the server's default without. */
  readonly notification?: 'con' | 'non';
  /** Serves DTLS on the next port for so many identities, `bench-0` and on, with {@link PSK}; no DTLS without. */
  readonly identities?: number;
}

/** What a broker needs to start. */
export interface BrokerSetup {
  /** Core to run on. */
  readonly core: number;
  /** Empty folder for configuration and state. */
  readonly folder: string;
  /** Free ports of 127.0.0.1. */
  readonly ports: Readonly<Record<Protocol, number>>;
  /** Sessions and messages are kept on disk. */
  readonly persistent: boolean;
  /** Options of `limits` that Portico is given. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Seconds between two publications of the `$SYS` topics. */
  readonly sysInterval?: number;
  /** Where Portico serves its metrics and its health; nowhere without. */
  readonly httpPort?: number;
  readonly coap?: CoapSetup;
}

/** A program to measure. */
export interface Peer {
  readonly name: PeerName;
  readonly protocols: readonly Protocol[];
  /** How to get it where it is missing. */
  readonly install: string;
  /** Its version, or undefined where it is not installed. */
  version(root: string): string | undefined;
  /** Writes the configuration; returns the command line. */
  command(setup: BrokerSetup): readonly [string, ...string[]];
}

const READY_MS = 10_000;
const READY_POLL_MS = 10;

function writeConfiguration(folder: string, name: string, lines: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

function versionFrom(command: string, args: readonly string[], pattern: RegExp): string | undefined {
  const { stdout, stderr, error } = spawnSync(command, args, { env: environment, encoding: 'utf8', timeout: 5000 });
  return error ? undefined : pattern.exec(stdout + stderr)?.[1];
}

/** The program built beside this file. */
const porticoMain = fileURLToPath(new URL('../src/main.js', import.meta.url));

function writePskFile(folder: string, identities: number): string {
  const key = Buffer.from(PSK).toString('hex');
  return writeConfiguration(
    folder,
    'psk',
    Array.from({ length: identities }, (_, i) => `bench-${i}:${key}`),
  );
}

/** Room for ten thousand devices; and notifications as they come, for libcoap sends them so, too. */
function coapOptions({ notification }: CoapSetup): Readonly<Record<string, number | string>> {
  const room = { observers: 20_000, connections: 20_000 };
  return notification === undefined ? room : { ...room, notification, notification_interval: 0 };
}

const portico: Peer = {
  name: 'portico',
  protocols: ['mqtt', 'coap'],
  install: 'npm run build',
  version(root) {
    if (!existsSync(porticoMain)) return undefined;
    return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  },
  command({ folder, ports, limits, sysInterval, httpPort, coap }) {
    const { identities = 0 } = coap ?? {};
    const pskFile = identities === 0 ? '' : writePskFile(folder, identities);
    const config = writeConfiguration(folder, 'portico.yaml', [
      'listeners:',
      `  - { type: mqtt, host: 127.0.0.1, port: ${ports.mqtt} }`,
      `  - { type: coap, host: 127.0.0.1, port: ${ports.coap} }`,
      ...(identities === 0 ? [] : [`  - { type: coaps, host: 127.0.0.1, port: ${ports.coap + 1} }`]),
      ...(httpPort === undefined ? [] : [`  - { type: http, host: 127.0.0.1, port: ${httpPort} }`]),
      `data_dir: ${JSON.stringify(join(folder, 'data'))}`,
      'store: { sync: always }', // in every scenario: what is durable is on disk before it is acknowledged
      'log: { level: warn }',
      ...(identities === 0 ? [] : [`access: { psk_file: ${JSON.stringify(pskFile)} }`]),
      ...(coap === undefined ? [] : [`coap: ${JSON.stringify(coapOptions(coap))}`]),
      ...(limits === undefined ? [] : [`limits: ${JSON.stringify(limits)}`]),
      ...(sysInterval === undefined ? [] : [`sys: { interval: ${sysInterval} }`]),
    ]);
    return [process.execPath, ...NODE_FLAGS, porticoMain, '-c', config];
  },
};

const mosquitto: Peer = {
  name: 'mosquitto',
  protocols: ['mqtt'],
  install: 'sudo apt install mosquitto',
  version: () => versionFrom('mosquitto', ['-h'], /mosquitto version (\S+)/),
  command({ folder, ports, persistent, sysInterval }) {
    const state = join(folder, 'data');
    mkdirSync(state);
    const config = writeConfiguration(folder, 'mosquitto.conf', [
      `listener ${ports.mqtt} 127.0.0.1`,
      'allow_anonymous true',
      'log_type error',
      ...(process.getuid?.() === 0 ? ['user root'] : []), // otherwise it gives up root and cannot write its state
      ...(sysInterval === undefined ? [] : [`sys_interval ${sysInterval}`]),
      ...(persistent ? ['persistence true', `persistence_location ${state}/`] : ['persistence false']),
    ]);
    return ['mosquitto', '-c', config];
  },
};

const libcoap: Peer = {
  name: 'libcoap',
  protocols: ['coap'],
  install: 'sudo apt install libcoap3-bin',
  version: () => versionFrom('coap-server-notls', ['-?'], /coap-server-notls v(\S+)/),
  // Notifications are Confirmable, or with -N all but every sixth of them Non-confirmable. DTLS is on the next port.
  command: ({ ports, coap }) => [
    coap?.identities === undefined ? 'coap-server-notls' : 'coap-server-openssl',
    ...['-A', '127.0.0.1', '-p', String(ports.coap), '-d', '10'],
    ...(coap?.notification === 'non' ? ['-N'] : []),
    ...(coap?.identities === undefined ? [] : ['-k', PSK, '-h', 'bench']),
  ],
};

export const peers: readonly Peer[] = [portico, mosquitto, libcoap];

/** The peer that floors of a protocol are measured against. */
export const baselines: Readonly<Record<Protocol, PeerName>> = { mqtt: 'mosquitto', coap: 'libcoap' };

async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function bindUdp(port: number): Promise<Socket> {
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** A port whose next one, for DTLS, is free as well. */
async function freeUdpPort(): Promise<number> {
  const socket = await bindUdp(0);
  const { port } = socket.address();
  try {
    (await bindUdp(port + 1)).close();
    return port;
  } catch {
    return await freeUdpPort();
  } finally {
    socket.close();
    await once(socket, 'close');
  }
}

/** Two ports of 127.0.0.1 that nobody listens on at this moment; behind the one of CoAP there is another. */
export async function freePorts(): Promise<Record<Protocol, number>> {
  const [mqtt, coap] = await Promise.all([freeTcpPort(), freeUdpPort()]);
  return { mqtt, coap };
}

async function acceptsTcp(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** CoAP ping: an Empty Confirmable message that every endpoint answers with Reset (RFC 7252 4.3). */
export async function answersPing(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.send(Buffer.from([0x40, 0x00, 0x50, 0x52]));
    await once(socket, 'message', { signal: AbortSignal.timeout(200) });
    return true;
  } catch {
    return false; // refused (ICMP), or nobody there yet
  } finally {
    socket.close();
  }
}

/**
 * Starts a peer and waits until `protocol` is served.
 * @throws BenchError if it ends or stays silent for ten seconds, with the end of its output
 */
export async function startBroker(peer: Peer, setup: BrokerSetup, protocol: Protocol): Promise<Child> {
  const [command, ...args] = peer.command(setup);
  const child = await Child.start(setup.core, command, args);
  const deadline = performance.now() + READY_MS;
  const isReady = protocol === 'mqtt' ? acceptsTcp : answersPing;
  while (!(await isReady(setup.ports[protocol]))) {
    const late = performance.now() > deadline;
    if (late) await child.stop();
    if (late || !child.running) {
      const what = late ? 'does not listen' : 'ended at its start';
      throw new BenchError(`${peer.name} ${what}: ${child.output || 'it wrote nothing'}`);
    }
    await sleep(READY_POLL_MS);
  }
  return child;
}
