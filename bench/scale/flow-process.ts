/**
 * The process of a steady flow between two clients, half QoS 0 and half QoS 1, that measures how long its messages take.
 * It is apart from the load, so that what the load generator itself is busy with counts for nobody's delay.
 */
import { PacketType, pubackPacket, publishPacket, ScaleClient, subscribePacket } from './client.js';
import type { FlowRequest, FlowTimes } from './flow.js';
import { percentile } from './stage.js';

const PER_MILLISECOND = 2;
const LAST_ID = 60_000;
const NS_PER_MS = 1e6;

class Stream {
  readonly #publisher: ScaleClient;
  readonly #subscriber: ScaleClient;
  readonly #topic: string;
  readonly #payloadBytes: number;
  #latencies: number[] = [];
  #sent = 0;
  #timer: NodeJS.Timeout | null = null;
  /** When the messages that are due were last counted. */
  #began = 0;
  #due = 0;

  private constructor(publisher: ScaleClient, subscriber: ScaleClient, topic: string, payloadBytes: number) {
    this.#topic = topic;
    this.#payloadBytes = payloadBytes;
    this.#publisher = publisher;
    this.#subscriber = subscriber;
  }

  static async open(port: number, topic: string, payloadBytes: number): Promise<Stream> {
    const subscriber = await ScaleClient.connect(port, 'flow-subscriber');
    const publisher = await ScaleClient.connect(port, 'flow-publisher');
    const stream = new Stream(publisher, subscriber, topic, payloadBytes);
    subscriber.onPacket = (first, buffer, start) => stream.#arrived(first, buffer, start);
    subscriber.write(subscribePacket(1, [topic], 1));
    await subscriber.until(() => subscriber.received[PacketType.Suback]! > 0);
    return stream;
  }

  start(): void {
    this.#began = performance.now();
    this.#due = 0;
    this.#timer = setInterval(() => this.#send(), 1);
  }

  take(): FlowTimes {
    const latencies = this.#latencies;
    this.#latencies = [];
    const worst = latencies.reduce((a, b) => Math.max(a, b), 0);
    const [p50, p99] = [percentile(latencies, 0.5), percentile(latencies, 0.99)];
    return { p50, p99, worst, count: latencies.length };
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
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
      const id = this.#sent % 2 === 0 ? 0 : 1 + ((this.#sent >> 1) % LAST_ID);
      packets.push(publishPacket(this.#topic, payload, id, false));
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

let stream: Stream | null = null;

// Whoever measures has gone.
process.on('disconnect', () => process.exit());

process.on('message', (request: FlowRequest) => {
  if (request.what === 'open') {
    Stream.open(request.port, request.topic, request.payloadBytes).then((opened) => {
      stream = opened;
      process.send!('open');
    });
  } else if (request.what === 'start') stream!.start();
  else if (request.what === 'take') process.send!(stream!.take());
  else {
    stream!.end();
    process.disconnect();
  }
});
