/** A broker as a process whose configuration changes while it runs. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { parse, stringify } from 'yaml';
import type { LogLine, Portico } from '../support/portico.js';
import { logged } from './coap-transports.js';
import { connectPacket, openRaw, RawClient } from './raw.js';

/** The end of a reload. */
const isOver = ({ msg }: LogLine): boolean => msg === OVER_WELL || msg === OVER_BADLY;
export const OVER_WELL = 'reload: done';
export const OVER_BADLY = 'reload: nothing was changed; what was in force before still is';

/** A broker whose configuration is changed while it runs. */
export class Changing {
  readonly portico: Portico;

  private constructor(portico: Portico) {
    this.portico = portico;
  }

  /** Waits until the broker knows what has changed since its start. */
  static async of(portico: Portico): Promise<Changing> {
    await logged(portico, ({ msg }) => msg === 'ready');
    return new Changing(portico);
  }

  /** Puts other sections into the configuration file, and nothing else. */
  write(sections: Readonly<Record<string, unknown>>): void {
    const { configFile } = this.portico;
    const written = parse(readFileSync(configFile, 'utf8')) as Record<string, unknown>;
    writeFileSync(configFile, stringify({ ...written, ...sections }));
  }

  /** Sends SIGHUP; what the log says of that reload. */
  async reload(): Promise<string[]> {
    const from = this.portico.logLines.length;
    process.kill(this.portico.pid, 'SIGHUP');
    await logged(this.portico, isOver, from);
    const lines = this.portico.logLines.slice(from);
    return lines
      .map(({ msg }) => msg.replaceAll(this.portico.configFile, 'FILE'))
      .filter((msg) => msg.startsWith('reload: '));
  }

  /** Connects; the client and its return code. @param stream where to, if not to the port of MQTT */
  async connect(
    username: string,
    password: string,
    version: 4 | 5 = 4,
    stream?: Duplex,
  ): Promise<RawClient & { code: number }> {
    const client =
      stream === undefined ? await openRaw(this.portico.ports.mqtt, version) : new RawClient(stream, version);
    const who = username === '' ? {} : { username, password: Buffer.from(password) };
    client.send(connectPacket({ clientId: `${username}-${++connected}`, protocolVersion: version, ...who }));
    const { returnCode, reasonCode } = await client.expect('connack');
    return Object.assign(client, { code: (version === 5 ? reasonCode : returnCode) ?? 0 });
  }
}

let connected = 0;
