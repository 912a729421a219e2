/** `portico health`: whether the first MQTT listener answers, or without one the first over TLS, for a container's health check. */
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { bindAddresses } from '../config/listeners.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import type { ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/** CONNECT of MQTT 3.1.1 with an empty client identifier, Clean Session 1 and a keep-alive of 10 s. */
const CONNECT = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 10, 0, 0]);
const DISCONNECT = Buffer.from([0xe0, 0]);
/** First byte of CONNACK. */
const CONNACK = 0x20;
/** Milliseconds. */
const PATIENCE = 5000;

/**
 * Connects as an MQTT client. Any CONNACK is health, also one that asks for credentials.
 * @returns a sentence for people
 * @throws PorticoError `PORTICO_LISTEN` if there is no answer
 */
export async function health(request: LoadRequest): Promise<string> {
  const { config } = loadConfig(request);
  const listener = config.listeners.find((one) => one.type === 'mqtt') ?? config.listeners.find(answersAnybody);
  if (listener === undefined)
    throw new PorticoError(ErrorKinds.Configuration, 'health: there is no mqtt listener to ask');
  if (listener.port === 0)
    throw new PorticoError(ErrorKinds.Configuration, 'health: port 0 says nothing about the port');
  const host = reachable(listener);
  const where = `${host}:${listener.port}`;
  const answer = await ask(host, listener.port, where, listener.type === 'mqtts');
  return `healthy: ${where} answered with CONNACK ${answer}`;
}

/** Whether a listener of TLS takes clients that show nothing of themselves. */
function answersAnybody(listener: ListenerConfig): listener is Extract<ListenerConfig, { type: 'mqtts' }> {
  return listener.type === 'mqtts' && listener.cert_file !== undefined && !listener.require_certificate;
}

/** The address to ask: one that the listener binds, or this machine if it binds every address. */
function reachable(listener: Extract<ListenerConfig, { type: 'mqtt' | 'mqtts' }>): string {
  const [bound] = bindAddresses(listener);
  if (bound === undefined) throw new PorticoError(ErrorKinds.Listen, `unhealthy: ${listener.interface} has no address`);
  const { host } = bound;
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/** The return code of the CONNACK. */
function ask(host: string, port: number, where: string, secure: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    // It asks whether anybody is there, not who: a certificate that has expired is no reason to start anew.
    const socket = secure ? connectTls({ host, port, rejectUnauthorized: false }) : connect({ host, port });
    const received: Buffer[] = [];
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new PorticoError(ErrorKinds.Listen, `unhealthy: ${where} ${reason}`));
    };
    const timer = setTimeout(() => fail(`gave no answer within ${PATIENCE / 1000} s`), PATIENCE);
    socket.on(secure ? 'secureConnect' : 'connect', () => socket.write(CONNECT));
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      const answer = Buffer.concat(received);
      if (answer.length < 4 && answer[0] === CONNACK) return;
      if (answer[0] !== CONNACK) return fail('does not speak MQTT');
      socket.end(DISCONNECT);
      resolve(answer[3]);
    });
    socket.on('error', (error) => fail(`cannot be reached: ${error.message}`));
    socket.on('end', () => fail('closed the connection without an answer'));
    socket.on('close', () => clearTimeout(timer));
  });
}
