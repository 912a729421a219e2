/** libcoap's clients over DTLS, TCP and TLS, and what the broker says of them. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogLine, Portico } from '../support/portico.js';
import type { JsClient } from './mqttjs.js';
import { Program, run } from './programs.js';

export const CLIENTS = ['coap-client-openssl', 'coap-client-gnutls'] as const;
/** libcoap takes keys and identities as text. */
export const METER = ['-u', 'meter-7', '-k', 'sesame'];
const POLL_MS = 5;
let crossings = 0;

/** The first line of the log, from a place on, that satisfies a condition. */
export async function logged(portico: Portico, matches: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const found = portico.logLines.slice(from).find(matches);
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, `the line is not in the log:\n${portico.log}`);
    await delay(POLL_MS);
  }
}

/** The line that says where a listener listens, and its port. @param place as the configuration names it, such as `coaps on 127.0.0.1:0` */
export async function listening(portico: Portico, place: string, which = 0): Promise<{ line: string; port: number }> {
  const [type = '', host = ''] = place.replace(/\d+$/, '').split(' on ');
  const said = ({ msg }: LogLine): boolean => msg.startsWith(`listening on ${host}`) && msg.includes(` (${type}): `);
  await logged(portico, () => portico.logLines.filter(said).length > which);
  const { msg, addresses } = portico.logLines.filter(said)[which]!;
  const [address] = addresses as string[];
  return { line: msg, port: Number(address!.split(':')[1]) };
}

/** Runs a client; what it has printed. */
export async function ask(client: string, ...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await run(client, ['-B', '10', ...args]);
  assert.equal(code, 0, stderr);
  return stdout.toString().trimEnd();
}

/** A message from a client to MQTT, and one of MQTT to a client that observes. @param root the URI of the broker */
export async function across(js: JsClient, client: string, args: readonly string[], root: string): Promise<void> {
  const topic = `door/${client}/${++crossings}`;
  await ask(client, ...args, '-m', 'put', '-e', 'from the device', `${root}/ps/${topic}`);
  const published = await js.next(topic);
  assert.equal(published.payload.toString(), 'from the device');
  assert.equal(await ask(client, ...args, `${root}/ps/${topic}`), 'from the device');
  const observer = await Program.start(client, [...args, '-w', '-s', '30', `${root}/ps/${topic}`]);
  assert.equal(await observer.lines.next('the present value'), 'from the device');
  await js.publish(topic, 'to the device', 1);
  assert.equal(await observer.lines.next('a notification'), 'to the device');
  await observer.end('SIGINT');
}
