/** Tells traces the messages of devices that they follow. Asked with each message, and silent while nobody follows anything. */
import { Message, parseMessage } from '../../coap/message.js';
import { OptionNumber } from '../../coap/options.js';
import type { MessageTap, TapSource } from '../../coap/tap.js';
import type { DatagramAddress } from '../../coap/transport.js';
import type { Party, PluginContext } from '../plugin.js';
import { CONNECTION_PATH } from './connection-resource.js';
import { readDeviceQuery } from './device-query.js';
import type { Devices } from './devices.js';
import { hasFormOfToken, isRequest, messageFields, textsOf, tokenOf } from './message-fields.js';

/** Requests that are remembered, so that what answers them is told as their client's. */
const REMEMBERED = 4096;

/** A request that was heard. */
interface Heard {
  readonly party: Party;
  /** Its payload and that of its answer are nobody's business: it opens a connection. */
  readonly secret: boolean;
}

export class DeviceTap implements MessageTap, TapSource {
  readonly #tracing: PluginContext['tracing'];
  readonly #devices: Devices;
  readonly #message = new Message();
  /** By remote endpoint and token, and the last one of each endpoint by that alone; in the order in which they came. */
  readonly #heard = new Map<string, Heard>();

  constructor({ tracing }: Pick<PluginContext, 'tracing'>, devices: Devices) {
    this.#tracing = tracing;
    this.#devices = devices;
  }

  get tap(): MessageTap | null {
    if (this.#tracing.tracer !== null) return this;
    // What was heard for traces that have ended is no news for the next one.
    if (this.#heard.size > 0) this.#heard.clear();
    return null;
  }

  received(message: Message, source: DatagramAddress): void {
    const key = keyOf(source);
    let heard: Heard;
    if (isRequest(message)) {
      const query = readDeviceQuery(textsOf(message, OptionNumber.UriQuery));
      const secret = `/${textsOf(message, OptionNumber.UriPath).join('/')}` === CONNECTION_PATH;
      heard = { party: this.#devices.partyOf(source, query), secret };
      this.#remember(key, heard);
      this.#remember(`${key} ${tokenOf(message)}`, heard);
    } else heard = this.#heardOf(message, source);
    this.#tell('received', message, heard);
  }

  sent(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    const message = this.#message;
    if (parseMessage(bytes.subarray(offset, offset + length), message) !== 0) return;
    this.#tell('sent', message, this.#heardOf(message, remote));
  }

  #tell(event: string, message: Message, { party, secret }: Heard): void {
    const { tracer } = this.#tracing;
    if (tracer?.follows(party) !== true) return;
    const { bytes, payloadStart, payloadEnd } = message;
    // Requests may have had the same token, or more have come since than are remembered.
    const payload = secret || hasFormOfToken(message) ? undefined : bytes.subarray(payloadStart, payloadEnd);
    tracer.tell(party, event, messageFields(message), payload);
  }

  /** The request that a message belongs to, or else the last one of its endpoint. */
  #heardOf(message: Message, remote: DatagramAddress): Heard {
    const key = keyOf(remote);
    const known = this.#heard.get(`${key} ${tokenOf(message)}`) ?? this.#heard.get(key);
    return known ?? { party: this.#devices.partyOf(remote, {}), secret: false };
  }

  #remember(key: string, heard: Heard): void {
    this.#heard.delete(key);
    this.#heard.set(key, heard);
    if (this.#heard.size <= REMEMBERED) return;
    for (const oldest of this.#heard.keys()) {
      this.#heard.delete(oldest);
      break;
    }
  }
}

function keyOf({ key, address, port }: DatagramAddress): string {
  return key ?? `${address}:${port}`;
}
