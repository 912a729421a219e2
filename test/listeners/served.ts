/** A broker of this process with the listeners of a configuration, and what it logs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { createLogger } from '../../src/monitor/log.js';
import { Server } from '../../src/server/server.js';
import { Inbox } from '../interop/inbox.js';
import { temporaryFolder } from '../support/portico.js';

/** A line of the log. */
export interface Line {
  readonly msg: string;
  readonly [field: string]: unknown;
}

const running = new Set<Server>();
after(async () => {
  for (const server of running) await server.stop();
});

export class Served {
  readonly server: Server;
  readonly log: Inbox<Line>;

  private constructor(server: Server, log: Inbox<Line>) {
    this.server = server;
    this.log = log;
  }

  /**
   * @param listeners entries of `listeners`
   * @param sections top-level keys besides
   */
  static async start(listeners: readonly object[], sections: object = {}): Promise<Served> {
    const folder = temporaryFolder();
    const file = join(folder, 'portico.yaml');
    const data = { data_dir: join(folder, 'data'), store: { type: 'memory' }, sys: { interval: 0 } };
    writeFileSync(file, stringify({ ...data, ...sections, listeners }));
    const log = new Inbox<Line>('the log');
    const write = (line: string): void => log.put(JSON.parse(line));
    const logger = createLogger({ level: 'debug', format: 'json' }, { write });
    const server = await Server.start(loadConfig({ file, env: {} }), logger);
    running.add(server);
    return new Served(server, log);
  }

  /** The ports of the listeners so far, in their order. */
  async ports(count: number): Promise<number[]> {
    const ports: number[] = [];
    while (ports.length < count) {
      const { addresses } = await this.line((line) => Array.isArray(line.addresses), 'a listener');
      ports.push(Number(String(addresses).split(':').at(-1)));
    }
    return ports;
  }

  /** The next line of the log that matches. */
  line(matches: (line: Line) => boolean, what: string): Promise<Line> {
    return this.log.take(matches, what);
  }

  get counters(): Server['broker']['counters'] {
    return this.server.broker.counters;
  }

  async stop(): Promise<void> {
    running.delete(this.server);
    await this.server.stop();
  }
}
