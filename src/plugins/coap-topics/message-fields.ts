/** CoAP messages as traces tell them. What proves who a device is, passwords and tokens of connections, is left out. */
import { Code, ContentFormat, codeClass, codeDigits, EMPTY, Type } from '../../coap/codes.js';
import { type Message, readUint } from '../../coap/message.js';
import { OptionNumber } from '../../coap/options.js';
import { isSecret } from './device-query.js';

const TYPES = ['CON', 'NON', 'ACK', 'RST'];
const METHODS = ['EMPTY', 'GET', 'POST', 'PUT', 'DELETE', 'FETCH', 'PATCH', 'iPATCH'];

type Form = 'uint' | 'text' | 'hex' | 'block' | 'flag';

/** Options with names of their own; paths and queries are put together. */
const OPTIONS: ReadonlyMap<number, readonly [name: string, form: Form]> = new Map([
  [OptionNumber.IfMatch, ['if_match', 'hex']],
  [OptionNumber.UriHost, ['uri_host', 'text']],
  [OptionNumber.ETag, ['etag', 'hex']],
  [OptionNumber.IfNoneMatch, ['if_none_match', 'flag']],
  [OptionNumber.Observe, ['observe', 'uint']],
  [OptionNumber.UriPort, ['uri_port', 'uint']],
  [OptionNumber.ContentFormat, ['content_format', 'uint']],
  [OptionNumber.MaxAge, ['max_age', 'uint']],
  [OptionNumber.HopLimit, ['hop_limit', 'uint']],
  [OptionNumber.Accept, ['accept', 'uint']],
  [OptionNumber.Block2, ['block2', 'block']],
  [OptionNumber.Block1, ['block1', 'block']],
  [OptionNumber.Size2, ['size2', 'uint']],
  [OptionNumber.ProxyScheme, ['proxy_scheme', 'text']],
  [OptionNumber.Size1, ['size1', 'uint']],
  [OptionNumber.Echo, ['echo', 'hex']],
  [OptionNumber.NoResponse, ['no_response', 'uint']],
  [OptionNumber.RequestTag, ['request_tag', 'hex']],
]);

/** What a message says, payload aside. */
export function messageFields(message: Message): object {
  const { type, code, messageId, payloadStart, payloadEnd } = message;
  const token = tokenOf(message);
  return {
    type: TYPES[type],
    ...codeFields(code),
    message_id: messageId,
    ...(token === '' ? null : { token }),
    ...optionFields(message),
    bytes: payloadEnd - payloadStart,
  };
}

function codeFields(code: number): object {
  if (code === EMPTY) return { code: '0.00' };
  return codeClass(code) === 0 ? { method: METHODS[code] ?? codeDigits(code) } : { code: codeDigits(code) };
}

/** The token in hexadecimal. */
export function tokenOf({ bytes, tokenLength }: Message): string {
  return bytes.toString('hex', 4, 4 + tokenLength);
}

/** Whether a message is a request. */
export function isRequest({ type, code }: Message): boolean {
  return code !== EMPTY && codeClass(code) === 0 && type <= Type.NonConfirmable;
}

/** The values of an option that may stand more than once. */
export function textsOf(
  { bytes, optionCount, optionNumbers, optionStarts, optionLengths }: Message,
  number: number,
): string[] {
  const texts: string[] = [];
  for (let i = 0; i < optionCount; i++) {
    if (optionNumbers[i] === number) texts.push(bytes.utf8Slice(optionStarts[i], optionStarts[i] + optionLengths[i]));
  }
  return texts;
}

/** Whether a message has the form of what answers a new connection: its token, which lets whoever has it in. */
export function hasFormOfToken(message: Message): boolean {
  if (message.code !== Code.Created) return false;
  const { bytes, optionCount, optionNumbers, optionStarts, optionLengths } = message;
  for (let i = 0; i < optionCount; i++) {
    if (optionNumbers[i] !== OptionNumber.ContentFormat) continue;
    return readUint(bytes, optionStarts[i], optionLengths[i]) === ContentFormat.Text;
  }
  return true;
}

function optionFields(message: Message): object {
  const { bytes, optionCount, optionNumbers, optionStarts, optionLengths } = message;
  const options: Record<string, unknown> = {};
  for (let i = 0; i < optionCount; i++) {
    const number = optionNumbers[i];
    const known = OPTIONS.get(number);
    if (known !== undefined) options[known[0]] = readOption(known[1], bytes, optionStarts[i], optionLengths[i]);
    else if (!TOLD_ELSEWHERE.has(number)) options[number] = `${optionLengths[i]} bytes`;
  }
  const query = textsOf(message, OptionNumber.UriQuery);
  const location = textsOf(message, OptionNumber.LocationPath);
  return {
    ...(isRequest(message) ? { path: `/${textsOf(message, OptionNumber.UriPath).join('/')}` } : null),
    ...(query.length === 0 ? null : { query: query.map(shown) }),
    ...(location.length === 0 ? null : { location: `/${location.join('/')}` }),
    ...(Object.keys(options).length === 0 ? null : { options }),
  };
}

const TOLD_ELSEWHERE: ReadonlySet<number> = new Set([
  OptionNumber.UriPath,
  OptionNumber.UriQuery,
  OptionNumber.LocationPath,
]);

/** An argument of a query, without what is secret in it. */
function shown(argument: string): string {
  return isSecret(argument) ? `${argument.slice(0, argument.indexOf('='))}=(not shown)` : argument;
}

function readOption(form: Form, bytes: Buffer, start: number, length: number): unknown {
  switch (form) {
    case 'uint':
      return readUint(bytes, start, length);
    case 'text':
      return bytes.utf8Slice(start, start + length);
    case 'hex':
      return bytes.toString('hex', start, start + length);
    case 'flag':
      return true;
    case 'block': {
      // RFC 7959 2.2
      const value = readUint(bytes, start, length);
      return `${value >>> 4}/${(value >>> 3) & 1}/${1 << ((value & 7) + 4)}`;
    }
  }
}
