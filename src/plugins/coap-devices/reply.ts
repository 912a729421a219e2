/** What is published about a command: the response, or why there is none. */
import { isUtf8 } from 'node:buffer';
import type { ClientResponse } from '../../coap/client/response.js';
import { Output } from '../../wire/output.js';
import type { Properties } from '../../wire/packets.js';
import { decodeProperties, encodePropertyList } from '../../wire/properties.js';
import { propertiesOf } from '../coap-topics/content-format.js';
import type { CommandFailure, CommandOutcome } from './outcome.js';

/** A message to be published. */
export interface Reply {
  readonly payload: Buffer;
  /** Raw MQTT 5.0 properties. */
  readonly properties: Buffer;
}

/** User Properties that say the response code, such as `2.05`, and why there is no response, such as `timeout`. */
const CODE_PROPERTY = 'coap-code';
const FAILURE_PROPERTY = 'coap-failure';
const NONE = Buffer.alloc(0);

/**
 * `raw` has the body of the response as payload, and says the rest in properties; `json` says all in the payload, for
 * receivers that see no properties.
 */
export function replyOf(outcome: CommandOutcome, form: 'raw' | 'json', correlationData: Buffer | undefined): Reply {
  const { response, failure } = outcome;
  const properties: Properties = form === 'json' ? { contentType: 'application/json' } : contentOf(response);
  if (correlationData !== undefined) properties.correlationData = correlationData;
  const said: [string, string] =
    response === null ? [FAILURE_PROPERTY, failure.reason] : [CODE_PROPERTY, digits(response)];
  properties.userProperties = [...(properties.userProperties ?? []), said];
  const out = new Output();
  encodePropertyList(out, properties, 'publish');
  const bytes = Buffer.from(out.bytes());
  out.recycle();
  const payload = form === 'json' ? jsonOf(response, failure) : (response?.payload ?? NONE);
  return { payload, properties: bytes };
}

/** The response code as RFC 7252 3 writes it. */
function digits({ code }: ClientResponse): string {
  return `${code >>> 5}.${String(code & 0x1f).padStart(2, '0')}`;
}

function contentOf(response: ClientResponse | null): Properties {
  const raw = propertiesOf(response?.contentFormat);
  return decodeProperties(raw, 0, raw.length, 'publish');
}

function jsonOf(response: ClientResponse | null, failure: CommandFailure | null): Buffer {
  if (response === null) return Buffer.from(JSON.stringify({ failure: failure?.reason, detail: failure?.detail }));
  const { payload, contentFormat: content_format } = response;
  const body = isUtf8(payload) ? { payload: payload.toString() } : { payload_base64: payload.toString('base64') };
  return Buffer.from(JSON.stringify({ code: digits(response), content_format, ...body }));
}
