/** A steady flow between two clients, half QoS 0 and half QoS 1, and how long its messages take. */
import { PacketType, pubackPacket, publishPacket, ScaleClient, subscribePacket } from './client.js';
import { percentile } from './stage.js';

const TOPIC = 'flow/messages';
const PER_MILLISECOND = 2;
const PAYLOAD_BYTES = 64;
const LAST_ID = 60_000;
const NS_PER_MS = 1e6;

export class Flow {
  readonly #publisher: ScaleClient;
  readonly #subscriber: ScaleClient;
  readonly #payloadBytes: number;
  #latencies: number[] = [];
  #sent = 0;
  #timer: NodeJS.Timeout | null = null;
  /** When the messages that are due were last counted. */
  #began = 0;
  #due = 0;

  private constructor(publisher: ScaleClient, subscriber: ScaleClient, payloadBytes: number) {
    this.#payloadBytes = payloadBytes;
    this.#publisher = publisher;
    this.#subscriber = subscriber;
  }

  static readonly topic = TOPIC;

  static async open(port: number, payloadBytes: number = PAYLOAD_BYTES): Promise<Flow> {
    const subscriber = await ScaleClient.connect(port, 'flow-subscriber');
    const publisher = await ScaleClient.connect(port, 'flow-publisher');
    const flow = new Flow(publisher, subscriber, payloadBytes);
    subscriber.onPacket = (first, buffer, start) => flow.#arrived(first, buffer, start);
    subscriber.write(subscribePacket(1, [TOPIC], 1));
    await subscriber.until(() => subscriber.received[PacketType.Suback]! > 0);
    return flow;
  }

  /** Begins a steady flow of 2,000 messages a second. */
  start(): void {
    this.#began = performance.now();
    this.#due = 0;
    this.#timer = setInterval(() => this.#send(), 1);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Milliseconds that messages took since the last call: half of them less, and 99 of 100 less. */
  take(): { readonly p50: number; readonly p99: number; readonly worst: number; readonly count: number } {
    const latencies = this.#latencies;
    this.#latencies = [];
    const worst = latencies.reduce((a, b) => Math.max(a, b), 0);
    return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), worst, count: latencies.length };
  }

  end(): void {
    this.stop();
    this.#publisher.end();
    this.#subscriber.end();
  }

  #send(): void {
    const due = Math.floor((performance.now() - this.#began) * PER_MILLISECOND);
    const packets: Buffer[] = [];
    for (; this.#due < due; this.#due++) {
      const payload = Buffer.alloc(this.#payloadBytes);
      payload.writeBigUInt64BE(process.hrtime.bigint());
      this.#sent++;
      packets.push(publishPacket(TOPIC, payload, this.#sent % 2 === 0 ? 0 : 1 + ((this.#sent >> 1) % LAST_ID), false));
    }
    if (packets.length > 0) this.#publisher.write(Buffer.concat(packets));
  }

  #arrived(first: number, buffer: Buffer, start: number): void {
    if (first >> 4 !== PacketType.Publish) return;
    let at = start + 2 + buffer.readUInt16BE(start);
    if ((first & 6) !== 0) {
      this.#subscriber.write(pubackPacket(buffer.readUInt16BE(at)));
      at += 2;
    }
    const took = process.hrtime.bigint() - buffer.readBigUInt64BE(at);
    this.#latencies.push(Number(took) / NS_PER_MS);
  }
}
