/** Everything that can be measured, read at one moment. measures.ts says what of it is told, and under which names. */
import type { Expiring } from '../access/tls-files.js';
import type { Counters } from '../bus/counters.js';
import type { RetainedMessages } from '../bus/retained.js';
import { CoapCounters } from '../coap/counters.js';
import { DeviceCounters } from '../plugins/coap-devices/counters.js';
import { type PortNumbers, portNumbers } from '../plugins/coap-devices/ports.js';
import { type SecureLineNumbers, secureLineNumbers } from '../plugins/coap-devices/secure-line.js';
import { PubsubCounters } from '../plugins/coap-topics/pubsub/counters.js';
import { NO_TRANSPORT_NUMBERS, type TransportNumbers } from '../plugins/coap-topics/transport-counters.js';
import type { SessionRegistry } from '../session/sessions.js';
import { EventLoop, type LoopDelay } from './event-loop.js';
import { Queues, type QueueTotals } from './queues.js';
import { Resources } from './resources.js';

/** What a plugin counts, by name. */
export type PluginCounters = Readonly<Record<string, number>>;

/** Where the numbers come from. */
export interface Sources {
  readonly version: string;
  readonly counters: Counters;
  readonly retained: RetainedMessages;
  readonly sessions: SessionRegistry;
  /** Network connections, also those that have not sent CONNECT. */
  readonly connections: { readonly size: number };
  /** Whether the store cannot be written or does not answer, and bytes that wait to be written. */
  readonly store: { readonly failing: boolean; readonly unwritten: number };
  /** Days that the first certificate or list of revoked ones has left, by option. */
  daysLeft?(): Partial<Record<Expiring, number>>;
  /** Counters of plugins, by plugin name; a name may come several times. */
  plugins(): Iterable<readonly [string, PluginCounters]>;
}

export interface Reading {
  readonly version: string;
  /** Seconds since the monitor was made. */
  readonly uptime: number;
  readonly counters: Readonly<Counters>;
  /** Network connections, also those that have not sent CONNECT. */
  readonly connections: number;
  readonly sessions: { readonly all: number; readonly connected: number; readonly most: number };
  /** Those of them that are clients inside the process, such as CoAP devices. */
  readonly inProcess: number;
  readonly queues: QueueTotals;
  readonly retained: { readonly count: number; readonly bytes: number; readonly memory: number };
  readonly storeFailing: boolean;
  /** Bytes that wait to be written to the store. */
  readonly unwritten: number;
  /** Days that the first certificate or list of revoked ones has left, by option; of what there is none, nothing. */
  readonly daysLeft: Partial<Record<Expiring, number>>;
  readonly loop: LoopDelay;
  /** Bytes. */
  readonly memory: NodeJS.MemoryUsage & { readonly mostHeap: number };
  /** Seconds of processor time. */
  readonly cpu: number;
  readonly resources: Resources;
  /** Sums over all CoAP listeners. */
  readonly coap: Readonly<CoapCounters & PubsubCounters & TransportNumbers>;
  /** Of the commands to CoAP devices. */
  readonly coapDevices: Readonly<DeviceCounters & SecureLineNumbers & PortNumbers>;
  /** Sums by name, of plugins other than CoAP. */
  readonly plugins: ReadonlyMap<string, PluginCounters>;
}

/** Reads. It costs something when it is asked, and nothing else but a timer for the delay of the event loop. */
export class Instruments {
  readonly #sources: Sources;
  readonly #startedAt = performance.now();
  readonly #loop = new EventLoop();
  readonly #queues: Queues;
  #mostSessions = 0;
  #mostHeap = 0;

  constructor(sources: Sources) {
    this.#sources = sources;
    this.#queues = new Queues(sources.sessions);
  }

  /** @param interval seconds that a measurement of the event loop lasts */
  start(interval: number): void {
    this.#loop.start(interval);
  }

  stop(): void {
    this.#loop.stop();
  }

  async read(): Promise<Reading> {
    const { version, counters, retained, sessions, connections, store } = this.#sources;
    const queues = await this.#queues.totals();
    const memory = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const all = sessions.size + sessions.present;
    this.#mostSessions = Math.max(this.#mostSessions, all);
    this.#mostHeap = Math.max(this.#mostHeap, memory.heapUsed);
    return {
      version,
      uptime: (performance.now() - this.#startedAt) / 1000,
      counters,
      connections: connections.size,
      sessions: { all, connected: sessions.connected + sessions.present, most: this.#mostSessions },
      inProcess: sessions.present,
      queues,
      retained: { count: retained.count, bytes: retained.bytes, memory: retained.memory },
      storeFailing: store.failing,
      unwritten: store.unwritten,
      daysLeft: this.#sources.daysLeft?.() ?? {},
      loop: this.#loop.delay,
      memory: { ...memory, mostHeap: this.#mostHeap },
      cpu: (user + system) / 1e6,
      resources: new Resources(),
      ...this.#pluginSums(),
    };
  }

  /** One plugin serves each address: what they count is one number to an admin. */
  #pluginSums(): Pick<Reading, 'coap' | 'coapDevices' | 'plugins'> {
    const sums = new Map<string, Record<string, number>>();
    for (const [plugin, counters] of this.#sources.plugins()) {
      const sum = sums.get(plugin) ?? {};
      for (const [name, value] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + value;
      sums.set(plugin, sum);
    }
    const coap = Object.assign(new CoapCounters(), new PubsubCounters(), NO_TRANSPORT_NUMBERS, sums.get('coap'));
    const coapDevices = Object.assign(
      new DeviceCounters(),
      secureLineNumbers([]),
      portNumbers([]),
      sums.get('coap-devices'),
    );
    sums.delete('coap');
    sums.delete('coap-devices');
    return { coap, coapDevices, plugins: sums };
  }
}
