/**
 * Messages of several topics in one representation: an array of maps, each with its topic, in CBOR (RFC 8949) or JSON.
 * An array that had to be cut ends with the map `{"more": true}`.
 */

import { isUtf8 } from 'node:buffer';
import { encode } from 'cborg';
import type { Message } from '../../bus/message.js';
import { ContentFormat } from '../../coap/codes.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { contentFormatOf, isOwnProperty } from './content-format.js';

/** The Content-Formats that an envelope has. */
export type EnvelopeFormat = typeof ContentFormat.Cbor | typeof ContentFormat.Json;

/** The form for an Accept: CBOR unless JSON is asked for, as it carries any payload as it is. Null for another. */
export function envelopeFormat(accept: number | undefined): EnvelopeFormat | null {
  if (accept === undefined || accept === ContentFormat.Cbor) return ContentFormat.Cbor;
  return accept === ContentFormat.Json ? ContentFormat.Json : null;
}

/** Bytes of the beginning and the end of an array, and of the word that it was cut. */
const FRAME = 24;
const MORE = { more: true };

/** Envelopes up to a number of bytes. */
export class Envelopes {
  readonly #format: EnvelopeFormat;
  readonly #most: number;
  readonly #tellsPublisher: boolean;
  readonly #parts: Buffer[] = [];
  #bytes = FRAME;

  /**
   * @param most bytes; at least one envelope is taken, however large it is
   * @param tellsPublisher `coap.tell_publisher`
   */
  constructor(format: EnvelopeFormat, most: number, tellsPublisher: boolean) {
    this.#format = format;
    this.#most = most;
    this.#tellsPublisher = tellsPublisher;
  }

  get count(): number {
    return this.#parts.length;
  }

  /** Takes a message; false if it does not fit in any more. */
  add(message: Message, now: number): boolean {
    const envelope = envelopeOf(message, this.#format, now);
    if (this.#tellsPublisher && message.publisherId !== '') envelope.publisher = message.publisherId;
    const part = this.#encode(envelope);
    // Behind each but the last there is a comma in JSON.
    if (this.#parts.length > 0 && this.#bytes + part.length + 1 > this.#most) return false;
    this.#parts.push(part);
    this.#bytes += part.length + 1;
    return true;
  }

  /** @param more whether there are others that were left out */
  bytes(more = false): Buffer {
    const parts = more ? [...this.#parts, this.#encode(MORE)] : this.#parts;
    if (this.#format === ContentFormat.Cbor) return Buffer.concat([arrayHead(parts.length), ...parts]);
    const texts = parts.flatMap((part, i) => (i === 0 ? [part] : [COMMA, part]));
    return Buffer.concat([OPENING, ...texts, CLOSING]);
  }

  #encode(value: object): Buffer {
    return Buffer.from(this.#format === ContentFormat.Cbor ? encode(value) : JSON.stringify(value));
  }
}

const OPENING = Buffer.from('[');
const CLOSING = Buffer.from(']');
const COMMA = Buffer.from(',');

/** The head of a CBOR array (RFC 8949 3.1). */
function arrayHead(length: number): Buffer {
  if (length < 24) return Buffer.from([0x80 | length]);
  if (length < 256) return Buffer.from([0x98, length]);
  return Buffer.from([0x99, length >> 8, length & 255]);
}

/** One message as a map. */
function envelopeOf(message: Message, format: EnvelopeFormat, now: number): Record<string, unknown> {
  const { topic, payload, qos, retain, expiresAt, properties } = message;
  const contentFormat = contentFormatOf(message);
  const envelope: Record<string, unknown> = { topic, qos, retain };
  if (format === ContentFormat.Cbor) envelope.payload = payload;
  else if (isUtf8(payload)) envelope.payload = payload.toString();
  else envelope.payload_base64 = payload.toString('base64');
  if (contentFormat !== undefined) envelope.content_format = contentFormat;
  if (expiresAt !== 0) envelope.max_age = Math.max(0, Math.ceil((expiresAt - now) / 1000));
  if (properties.length === 0) return envelope;
  const { contentType, userProperties } = decodeForwardedProperties(properties);
  if (contentType !== undefined && contentFormat === undefined) envelope.content_type = contentType;
  const own = userProperties?.filter(([name]) => !isOwnProperty(name)) ?? [];
  if (own.length > 0) envelope.user_properties = own;
  return envelope;
}
