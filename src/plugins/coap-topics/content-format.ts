/**
 * CoAP Content-Formats and MQTT Content Types are two names for one thing: the registry of RFC 7252 12.3 maps between
 * them. A number without a media type that we know travels as a User Property, so that it comes back as it was.
 */
import type { Message } from '../../bus/message.js';
import { Output } from '../../wire/output.js';
import { encodePropertyList } from '../../wire/properties.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';

const MEDIA_TYPES: readonly (readonly [number, string])[] = [
  [0, 'text/plain; charset=utf-8'],
  [40, 'application/link-format'],
  [41, 'application/xml'],
  [42, 'application/octet-stream'],
  [47, 'application/exi'],
  [50, 'application/json'],
  [51, 'application/json-patch+json'],
  [52, 'application/merge-patch+json'],
  [60, 'application/cbor'],
  [61, 'application/cwt'],
  [110, 'application/senml+json'],
  [111, 'application/sensml+json'],
  [112, 'application/senml+cbor'],
  [113, 'application/sensml+cbor'],
  [114, 'application/senml-exi'],
  [310, 'application/senml+xml'],
  [11542, 'application/vnd.oma.lwm2m+tlv'],
  [11543, 'application/vnd.oma.lwm2m+json'],
  [11544, 'application/vnd.oma.lwm2m+cbor'],
];

const TYPE_OF = new Map(MEDIA_TYPES);
const FORMAT_OF = new Map(MEDIA_TYPES.map(([format, type]) => [type, format]));
FORMAT_OF.set('text/plain', 0);
FORMAT_OF.set('text/plain;charset=utf-8', 0);

/** Whether a Content-Format is JSON, or of a structured syntax that is. */
export function isJson(contentFormat: number | undefined): boolean {
  return contentFormat !== undefined && TYPE_OF.get(contentFormat)?.endsWith('json') === true;
}

/** The User Property that carries a Content-Format without a known media type. */
const USER_PROPERTY = 'coap-content-format';
const NONE = Buffer.alloc(0);

/** Whether a User Property is one that only carries a Content-Format. */
export function isOwnProperty(name: string): boolean {
  return name === USER_PROPERTY;
}

/** Encoded properties by Content-Format: there are 65,536 at most, and few in use. */
const encoded = new Map<number, Buffer>();

/** Raw MQTT 5.0 properties that say a Content-Format. */
export function propertiesOf(contentFormat: number | undefined): Buffer {
  if (contentFormat === undefined) return NONE;
  const known = encoded.get(contentFormat);
  if (known !== undefined) return known;
  const contentType = TYPE_OF.get(contentFormat);
  const out = new Output();
  if (contentType === undefined) {
    encodePropertyList(out, { userProperties: [[USER_PROPERTY, String(contentFormat)]] }, 'publish');
  } else encodePropertyList(out, { contentType }, 'publish');
  const bytes = Buffer.from(out.bytes());
  out.recycle();
  encoded.set(contentFormat, bytes);
  return bytes;
}

/** The Content-Format of a message, undefined if it says none that CoAP has a number for. */
export function contentFormatOf(message: Message): number | undefined {
  if (message.properties.length === 0) return undefined;
  const { contentType, userProperties } = decodeForwardedProperties(message.properties);
  const kept = numberIn(userProperties?.find(([name]) => name === USER_PROPERTY)?.[1]);
  return kept ?? (contentType === undefined ? undefined : FORMAT_OF.get(contentType.toLowerCase()));
}

/** The Content-Format that a text names, by its number or its media type; undefined if there is none. */
export function contentFormatNamed(text: string): number | undefined {
  return numberIn(text) ?? FORMAT_OF.get(text.toLowerCase());
}

function numberIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) < 65536 ? Number(text) : undefined;
}
