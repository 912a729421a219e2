/** What is published about a command: the response, or why there is none. */
import { isUtf8 } from 'node:buffer';
import type { ClientResponse } from '../../coap/client/response.js';
import { codeDigits } from '../../coap/codes.js';
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

/** User Properties that say the response code, such as `2.05`, and why there is no response: `timeout`, and more in words. */
const CODE_PROPERTY = 'coap-code';
const FAILURE_PROPERTY = 'coap-failure';
const DETAIL_PROPERTY = 'coap-detail';
/** Characters of those words. */
const MOST_DETAIL = 500;
const NONE = Buffer.alloc(0);
const JSON_CONTENT: Properties = { contentType: 'application/json' };

/**
 * `raw` has the body of the response as payload, and says the rest in properties; `json` says all in the payload, for
 * receivers that see no properties.
 */
export function replyOf(outcome: CommandOutcome, form: 'raw' | 'json', correlationData: Buffer | undefined): Reply {
  const { response, failure } = outcome;
  const said: [string, string][] = [];
  const code = response === null ? failure.code : response.code;
  if (code !== undefined) said.push([CODE_PROPERTY, codeDigits(code)]);
  if (failure !== null) said.push([FAILURE_PROPERTY, failure.reason]);
  // In JSON it is in the payload.
  if (failure !== null && failure.detail !== '' && form === 'raw')
    said.push([DETAIL_PROPERTY, shortened(failure.detail, MOST_DETAIL)]);
  const payload = form === 'json' ? jsonOf(response, failure) : (response?.payload ?? NONE);
  return { payload, properties: encoded(form === 'json' ? JSON_CONTENT : contentOf(response), said, correlationData) };
}

/** A response with another payload, of which only the form is known. */
export function renderedReply(
  payload: Buffer,
  { code }: ClientResponse,
  form: 'raw' | 'json',
  correlationData: Buffer | undefined,
): Reply {
  const said: [string, string][] = [[CODE_PROPERTY, codeDigits(code)]];
  return { payload, properties: encoded(form === 'json' ? JSON_CONTENT : {}, said, correlationData) };
}

/** A text that somebody else may have written a part of, for people: without U+0000, which no text of MQTT may have. */
export function shortened(text: string, most: number): string {
  const cut = text.length > most ? `${text.slice(0, most)}...` : text;
  return cut.replaceAll('\0', '\ufffd').toWellFormed();
}

/** The properties of a message of which only its Correlation Data is known. */
export function propertiesWith(correlationData: Buffer | undefined): Buffer {
  return correlationData === undefined ? NONE : encoded({}, [], correlationData);
}

function encoded(content: Properties, said: [string, string][], correlationData: Buffer | undefined): Buffer {
  const properties: Properties = { ...content, userProperties: [...(content.userProperties ?? []), ...said] };
  if (correlationData !== undefined) properties.correlationData = correlationData;
  const out = new Output();
  encodePropertyList(out, properties, 'publish');
  const bytes = Buffer.from(out.bytes());
  out.recycle();
  return bytes;
}

function contentOf(response: ClientResponse | null): Properties {
  const raw = propertiesOf(response?.contentFormat);
  return decodeProperties(raw, 0, raw.length, 'publish');
}

function jsonOf(response: ClientResponse | null, failure: CommandFailure | null): Buffer {
  if (response === null) {
    const code = failure?.code === undefined ? undefined : codeDigits(failure.code);
    return Buffer.from(JSON.stringify({ failure: failure?.reason, detail: failure?.detail, code }));
  }
  const { payload, contentFormat: content_format } = response;
  const body = isUtf8(payload) ? { payload: payload.toString() } : { payload_base64: payload.toString('base64') };
  return Buffer.from(JSON.stringify({ code: codeDigits(response.code), content_format, ...body }));
}
