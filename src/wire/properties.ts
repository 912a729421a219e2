/** Properties: MQTT 5.0 2.2.2. One table says which there are, of which type, and in which packets. */
import { type Output, variableByteIntegerSize } from './output.js';
import type { Properties } from './packets.js';
import { Reader } from './reader.js';
import { ReasonCode } from './reason-codes.js';
import { WireError } from './wire-error.js';

/** Where properties stand. */
export type PropertyContext =
  | 'connect'
  | 'connack'
  | 'publish'
  | 'will'
  | 'acknowledgement'
  | 'subscribe'
  | 'suback'
  | 'unsubscribe'
  | 'unsuback'
  | 'disconnect'
  | 'auth';

type PropertyType = 'byte' | 'flag' | 'u16' | 'u32' | 'varint' | 'binary' | 'string' | 'pair';

interface PropertyRule {
  readonly id: number;
  readonly name: keyof Properties;
  readonly type: PropertyType;
  readonly in: readonly PropertyContext[];
  /** Smallest value that is allowed. */
  readonly least?: number;
  /** May stand more than once. */
  readonly repeats?: readonly PropertyContext[];
}

const EVERYWHERE: readonly PropertyContext[] = [
  'connect',
  'connack',
  'publish',
  'will',
  'acknowledgement',
  'subscribe',
  'suback',
  'unsubscribe',
  'unsuback',
  'disconnect',
  'auth',
];
const REASONED: readonly PropertyContext[] = ['connack', 'acknowledgement', 'suback', 'unsuback', 'disconnect', 'auth'];
const AUTHENTICATION: readonly PropertyContext[] = ['connect', 'connack', 'auth'];

const RULES: readonly PropertyRule[] = [
  { id: 0x01, name: 'payloadFormatIndicator', type: 'flag', in: ['publish', 'will'] },
  { id: 0x02, name: 'messageExpiryInterval', type: 'u32', in: ['publish', 'will'] },
  { id: 0x03, name: 'contentType', type: 'string', in: ['publish', 'will'] },
  { id: 0x08, name: 'responseTopic', type: 'string', in: ['publish', 'will'] },
  { id: 0x09, name: 'correlationData', type: 'binary', in: ['publish', 'will'] },
  {
    id: 0x0b,
    name: 'subscriptionIdentifier',
    type: 'varint',
    in: ['publish', 'subscribe'],
    least: 1,
    repeats: ['publish'],
  },
  { id: 0x11, name: 'sessionExpiryInterval', type: 'u32', in: ['connect', 'connack', 'disconnect'] },
  { id: 0x12, name: 'assignedClientIdentifier', type: 'string', in: ['connack'] },
  { id: 0x13, name: 'serverKeepAlive', type: 'u16', in: ['connack'] },
  { id: 0x15, name: 'authenticationMethod', type: 'string', in: AUTHENTICATION },
  { id: 0x16, name: 'authenticationData', type: 'binary', in: AUTHENTICATION },
  { id: 0x17, name: 'requestProblemInformation', type: 'flag', in: ['connect'] },
  { id: 0x18, name: 'willDelayInterval', type: 'u32', in: ['will'] },
  { id: 0x19, name: 'requestResponseInformation', type: 'flag', in: ['connect'] },
  { id: 0x1a, name: 'responseInformation', type: 'string', in: ['connack'] },
  { id: 0x1c, name: 'serverReference', type: 'string', in: ['connack', 'disconnect'] },
  { id: 0x1f, name: 'reasonString', type: 'string', in: REASONED },
  { id: 0x21, name: 'receiveMaximum', type: 'u16', in: ['connect', 'connack'], least: 1 },
  { id: 0x22, name: 'topicAliasMaximum', type: 'u16', in: ['connect', 'connack'] },
  { id: 0x23, name: 'topicAlias', type: 'u16', in: ['publish'], least: 1 },
  { id: 0x24, name: 'maximumQoS', type: 'byte', in: ['connack'] },
  { id: 0x25, name: 'retainAvailable', type: 'flag', in: ['connack'] },
  { id: 0x26, name: 'userProperties', type: 'pair', in: EVERYWHERE, repeats: EVERYWHERE },
  { id: 0x27, name: 'maximumPacketSize', type: 'u32', in: ['connect', 'connack'], least: 1 },
  { id: 0x28, name: 'wildcardSubscriptionAvailable', type: 'flag', in: ['connack'] },
  { id: 0x29, name: 'subscriptionIdentifiersAvailable', type: 'flag', in: ['connack'] },
  { id: 0x2a, name: 'sharedSubscriptionAvailable', type: 'flag', in: ['connack'] },
];

const BY_ID: (PropertyRule | undefined)[] = [];
for (const rule of RULES) BY_ID[rule.id] = rule;

function fail(reasonCode: number, message: string): never {
  throw new WireError(reasonCode, message);
}

/** The rule of a property, or a `WireError`: unknown 0x81, out of place 0x82. */
function ruleOf(id: number, context: PropertyContext): PropertyRule {
  const rule = BY_ID[id];
  if (rule === undefined) return fail(ReasonCode.MalformedPacket, `an unknown property 0x${id.toString(16)}`);
  if (!rule.in.includes(context)) fail(ReasonCode.ProtocolError, `the property ${rule.name} is not allowed there`);
  return rule;
}

/**
 * Decodes the properties in `buffer[start, end)`, which begins after the property length.
 * Throws `WireError`: 0x81 truncated or unknown, 0x82 out of place, repeated or out of range.
 */
export function decodeProperties(buffer: Buffer, start: number, end: number, context: PropertyContext): Properties {
  const properties: Record<string, unknown> = {};
  const reader = new Reader(buffer, start, end);
  while (reader.at < end) {
    const rule = ruleOf(reader.variableByteInteger(), context);
    const value = readValue(reader, rule);
    const former = properties[rule.name];
    if (rule.repeats?.includes(context)) {
      if (rule.type === 'pair') properties[rule.name] = Array.isArray(former) ? [...former, value] : [value];
      else properties[rule.name] = former === undefined ? value : [former, value].flat();
      continue;
    }
    if (rule.name in properties) fail(ReasonCode.ProtocolError, `the property ${rule.name} stands twice`);
    properties[rule.name] = value;
  }
  return properties;
}

function readValue(reader: Reader, rule: PropertyRule): unknown {
  switch (rule.type) {
    case 'flag': {
      const value = reader.uint8();
      if (value > 1) fail(ReasonCode.ProtocolError, `the property ${rule.name} must be 0 or 1`);
      return value === 1;
    }
    case 'byte':
      return atLeast(reader.uint8(), rule);
    case 'u16':
      return atLeast(reader.uint16(), rule);
    case 'u32':
      return atLeast(reader.uint32(), rule);
    case 'varint':
      return atLeast(reader.variableByteInteger(), rule);
    case 'binary':
      return reader.binary();
    case 'string':
      return reader.string();
    case 'pair':
      return [reader.string(), reader.string()];
  }
}

function atLeast(value: number, rule: PropertyRule): number {
  if (value < (rule.least ?? 0)) fail(ReasonCode.ProtocolError, `the property ${rule.name} must not be 0`);
  return value;
}

/** Appends property length and properties. Names that are not allowed in `context` throw `WireError`. */
export function encodeProperties(out: Output, properties: Properties | undefined, context: PropertyContext): void {
  const length = properties === undefined ? 0 : propertiesSize(properties);
  out.reserve(4);
  out.writeVariableByteInteger(length);
  if (properties !== undefined) encodePropertyList(out, properties, context);
}

/** Appends properties without their length. */
export function encodePropertyList(out: Output, properties: Properties, context: PropertyContext): void {
  for (const rule of RULES) {
    const value = properties[rule.name];
    if (value === undefined) continue;
    ruleOf(rule.id, context);
    if (rule.repeats === undefined || !Array.isArray(value)) writeValue(out, rule, value);
    else for (const single of value) writeValue(out, rule, single);
  }
}

/** Bytes of all properties, without their length. */
export function propertiesSize(properties: Properties): number {
  let size = 0;
  for (const rule of RULES) {
    const value = properties[rule.name];
    if (value === undefined) continue;
    if (rule.repeats === undefined || !Array.isArray(value)) size += valueSize(rule, value);
    else for (const single of value) size += valueSize(rule, single);
  }
  return size;
}

function valueSize(rule: PropertyRule, value: unknown): number {
  switch (rule.type) {
    case 'flag':
    case 'byte':
      return 2;
    case 'u16':
      return 3;
    case 'u32':
      return 5;
    case 'varint':
      return 1 + variableByteIntegerSize(value as number);
    case 'binary':
      return 3 + (value as Buffer).length;
    case 'string':
      return 3 + Buffer.byteLength(value as string);
    case 'pair': {
      const [name, text] = value as [string, string];
      return 5 + Buffer.byteLength(name) + Buffer.byteLength(text);
    }
  }
}

function writeValue(out: Output, rule: PropertyRule, value: unknown): void {
  out.reserve(valueSize(rule, value));
  out.writeUInt8(rule.id);
  switch (rule.type) {
    case 'flag':
      out.writeUInt8(value ? 1 : 0);
      break;
    case 'byte':
      out.writeUInt8(value as number);
      break;
    case 'u16':
      out.writeUInt16(value as number);
      break;
    case 'u32':
      out.writeUInt32(value as number);
      break;
    case 'varint':
      out.writeVariableByteInteger(value as number);
      break;
    case 'binary': {
      const bytes = value as Buffer;
      out.writeUInt16(bytes.length);
      out.writeBytes(bytes, 0, bytes.length);
      break;
    }
    case 'string':
      writeString(out, value as string);
      break;
    case 'pair': {
      const [name, text] = value as [string, string];
      writeString(out, name);
      writeString(out, text);
    }
  }
}

/** Appends a UTF-8 Encoded String; the caller has reserved 2 bytes and its length. */
export function writeString(out: Output, text: string): void {
  const length = Buffer.byteLength(text);
  out.writeUInt16(length);
  out.buffer.write(text, out.length);
  out.length += length;
}
