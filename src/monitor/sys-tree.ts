/** The `$SYS/broker/` tree with Mosquitto's names, so that dashboards made for it go on working. */
import type { Counters } from '../bus/counters.js';
import type { RetainedMessages } from '../bus/retained.js';
import type { SessionRegistry } from '../session/sessions.js';

export interface SysSources {
  readonly version: string;
  readonly counters: Counters;
  readonly retained: RetainedMessages;
  readonly sessions: SessionRegistry;
  /** Counters of plugins, by plugin name. */
  plugins(): Iterable<readonly [string, Readonly<Record<string, number>>]>;
  publish(topic: string, payload: string): void;
}

const ROOT = '$SYS/broker/';

export class SysTree {
  readonly #sources: SysSources;
  readonly #startedAt = Date.now();
  /** Last published values: a topic is published when its value changes. */
  readonly #last = new Map<string, string>();
  #timer: NodeJS.Timeout | null = null;
  #maximum = 0;

  constructor(sources: SysSources) {
    this.#sources = sources;
  }

  /** @param interval seconds between updates (`sys.interval`); 0 for no tree at all */
  start(interval: number): void {
    if (interval === 0) return;
    this.update();
    this.#timer = setInterval(() => this.update(), interval * 1000);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Publishes what has changed. */
  update(): void {
    this.#publish('version', `portico version ${this.#sources.version}`);
    this.#publish('uptime', `${Math.floor((Date.now() - this.#startedAt) / 1000)} seconds`);
    for (const [topic, value] of Object.entries(this.values())) this.#publish(topic, String(value));
  }

  #publish(topic: string, value: string): void {
    if (this.#last.get(topic) === value) return;
    this.#last.set(topic, value);
    this.#sources.publish(ROOT + topic, value);
  }

  /** Numbers by topic below `$SYS/broker/`. */
  values(): Record<string, number> {
    const { counters, retained, sessions } = this.#sources;
    let stored = retained.count;
    for (const session of sessions.all()) stored += session.outbound.waiting;
    this.#maximum = Math.max(this.#maximum, sessions.size);
    const disconnected = sessions.size - sessions.connected;
    const values: Record<string, number> = {
      'clients/total': sessions.size,
      'clients/maximum': this.#maximum,
      'clients/connected': sessions.connected,
      'clients/active': sessions.connected,
      'clients/disconnected': disconnected,
      'clients/inactive': disconnected,
      'clients/expired': counters.sessionsExpired,
      'connections/socket/count': counters.connections,
      'messages/received': counters.packetsReceived,
      'messages/sent': counters.packetsSent,
      'bytes/received': counters.bytesReceived,
      'bytes/sent': counters.bytesSent,
      'publish/messages/received': counters.publishReceived,
      'publish/messages/sent': counters.publishSent,
      'publish/messages/dropped': counters.publishDropped,
      'publish/bytes/received': counters.publishBytesReceived,
      'publish/bytes/sent': counters.publishBytesSent,
      'store/messages/count': stored,
      'messages/stored': stored,
      'retained messages/count': retained.count,
      'retained messages/bytes': retained.bytes,
      'subscriptions/count': counters.subscriptions,
      'shared_subscriptions/count': counters.sharedSubscriptions,
      'heap/current': process.memoryUsage().heapUsed,
    };
    for (const [topic, value] of Object.entries(CAUSES)) values[topic] = counters[value];
    for (const [plugin, numbers] of this.#sources.plugins()) {
      // One plugin per bound address: what they count is one number to an admin.
      for (const [name, value] of Object.entries(numbers)) {
        const topic = `${plugin}/${name}`;
        values[topic] = (values[topic] ?? 0) + value;
      }
    }
    return values;
  }
}

/** What Mosquitto does not tell: why something was dropped, denied or closed. */
const CAUSES = {
  'publish/dropped/output_buffer': 'droppedOutputBuffer',
  'publish/dropped/queue_full': 'droppedQueueFull',
  'publish/dropped/memory': 'droppedMemory',
  'publish/dropped/queue_age': 'droppedAged',
  'publish/dropped/packet_too_large': 'droppedPacketTooLarge',
  'publish/dropped/expired': 'droppedExpired',
  'publish/dropped/retained': 'droppedRetained',
  'denied/connect': 'deniedConnect',
  'denied/publish': 'deniedPublish',
  'denied/subscribe': 'deniedSubscribe',
  'errors/protocol': 'protocolErrors',
  'errors/connect_timeout': 'connectTimeouts',
  'errors/keepalive_timeout': 'keepAliveTimeouts',
  'errors/stalled': 'stalledConnections',
  'retained messages/expired': 'retainedExpired',
  'errors/unknown_packet_id': 'unknownPacketIds',
  'clients/takeovers': 'takeovers',
  'connections/refused': 'refusedConnections',
  'store/commits': 'commits',
  'store/commit_failures': 'commitFailures',
} as const satisfies Record<string, keyof Counters>;
