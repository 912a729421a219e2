/** Properties: MQTT 5.0 2.2.2. One table says which there are, of which type, and in which packets. */
import { binarySize, stringSize, writeBinary, writeString } from './fields.js';
import { type Output, variableByteIntegerSize } from './output.js';
import type { Properties } from './packets.js';
import { Reader } from './reader.js';
import { malformed, protocolError } from './wire-error.js';

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

/** `flag` is a byte 0 or 1 as boolean, `bit` the same as number. */
type PropertyType = 'bit' | 'flag' | 'u16' | 'u32' | 'varint' | 'binary' | 'string' | 'pair';

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
  { id: 0x24, name: 'maximumQoS', type: 'bit', in: ['connack'] },
  { id: 0x25, name: 'retainAvailable', type: 'flag', in: ['connack'] },
  { id: 0x26, name: 'userProperties', type: 'pair', in: EVERYWHERE, repeats: EVERYWHERE },
  { id: 0x27, name: 'maximumPacketSize', type: 'u32', in: ['connect', 'connack'], least: 1 },
  { id: 0x28, name: 'wildcardSubscriptionAvailable', type: 'flag', in: ['connack'] },
  { id: 0x29, name: 'subscriptionIdentifiersAvailable', type: 'flag', in: ['connack'] },
  { id: 0x2a, name: 'sharedSubscriptionAvailable', type: 'flag', in: ['connack'] },
];

const BY_ID: (PropertyRule | undefined)[] = [];
for (const rule of RULES) BY_ID[rule.id] = rule;

function requireContext(rule: PropertyRule, context: PropertyContext): void {
  if (!rule.in.includes(context)) protocolError(`the property ${rule.name} is not allowed in ${context}`);
}

/** The rule of a property, or a `WireError`: unknown 0x81, out of place 0x82. */
function ruleOf(id: number, context: PropertyContext): PropertyRule {
  const rule = BY_ID[id];
  if (rule === undefined) return malformed(`an unknown property 0x${id.toString(16)}`);
  requireContext(rule, context);
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
    if (rule.repeats?.includes(context)) {
      addTo(properties, rule, value);
      continue;
    }
    if (rule.name in properties) protocolError(`the property ${rule.name} stands twice`);
    properties[rule.name] = value;
  }
  return properties;
}

/** User properties are always a list; a Subscription Identifier is one only if there are several, as in mqtt-packet. */
function addTo(properties: Record<string, unknown>, rule: PropertyRule, value: unknown): void {
  const former = properties[rule.name];
  if (former === undefined) properties[rule.name] = rule.type === 'pair' ? [value] : value;
  else if (Array.isArray(former)) former.push(value);
  else properties[rule.name] = [former, value];
}

function readValue(reader: Reader, rule: PropertyRule): unknown {
  switch (rule.type) {
    case 'flag': {
      const value = reader.uint8();
      if (value > 1) protocolError(`the property ${rule.name} must be 0 or 1`);
      return value === 1;
    }
    case 'bit': {
      const value = reader.uint8();
      if (value > 1) protocolError(`the property ${rule.name} must be 0 or 1`);
      return value;
    }
    case 'u16':
      return atLeast(reader.uint16(), rule);
    case 'u32':
      return atLeast(reader.uint32(), rule);
    case 'varint':
      return atLeast(reader.variableByteInteger(), rule);
    case 'binary':
      return reader.binary();
    case 'string': {
      const text = reader.string();
      if (rule.name === 'responseTopic' && /[#+]/.test(text)) {
        protocolError('a Response Topic with a wildcard [MQTT-3.3.2-14]');
      }
      return text;
    }
    case 'pair':
      return [reader.string(), reader.string()];
  }
}

function atLeast(value: number, rule: PropertyRule): number {
  if (value < (rule.least ?? 0)) protocolError(`the property ${rule.name} must not be 0`);
  return value;
}

/**
 * Appends property length and properties. Throws `WireError`, before anything is written, for a property that is not
 * allowed in `context` and for a value that its type cannot carry.
 */
export function encodeProperties(out: Output, properties: Properties | undefined, context: PropertyContext): void {
  const size = propertiesSize(properties, context);
  out.reserve(4 + size);
  out.writeVariableByteInteger(size);
  if (properties !== undefined) writeProperties(out, properties);
}

/** Appends properties without their length. Throws as `encodeProperties` does. */
export function encodePropertyList(out: Output, properties: Properties, context: PropertyContext): void {
  out.reserve(propertiesSize(properties, context));
  writeProperties(out, properties);
}

/** Bytes of all properties, without their length. Throws as `encodeProperties` does. */
export function propertiesSize(properties: Properties | undefined, context: PropertyContext): number {
  if (properties === undefined) return 0;
  let size = 0;
  for (const rule of RULES) {
    const value = properties[rule.name];
    if (value === undefined) continue;
    requireContext(rule, context);
    if (!Array.isArray(value)) size += valueSize(rule, value);
    else for (const single of value) size += valueSize(rule, single);
  }
  return size;
}

function writeProperties(out: Output, properties: Properties): void {
  for (const rule of RULES) {
    const value = properties[rule.name];
    if (value === undefined) continue;
    if (!Array.isArray(value)) writeValue(out, rule, value);
    else for (const single of value) writeValue(out, rule, single);
  }
}

const LARGEST: Readonly<Partial<Record<PropertyType, number>>> = {
  bit: 1,
  u16: 0xffff,
  u32: 0xffffffff,
  varint: 0x0fffffff,
};

function integer(rule: PropertyRule, value: unknown): number {
  if (Number.isInteger(value) && Number(value) >= (rule.least ?? 0) && Number(value) <= (LARGEST[rule.type] ?? 0)) {
    return Number(value);
  }
  return malformed(`the property ${rule.name} cannot be ${String(value)}`);
}

function valueSize(rule: PropertyRule, value: unknown): number {
  switch (rule.type) {
    case 'flag':
      return 2;
    case 'bit':
      integer(rule, value);
      return 2;
    case 'u16':
      integer(rule, value);
      return 3;
    case 'u32':
      integer(rule, value);
      return 5;
    case 'varint':
      return 1 + variableByteIntegerSize(integer(rule, value));
    case 'binary':
      return 1 + binarySize(value as Buffer);
    case 'string':
      return 1 + stringSize(value as string);
    case 'pair': {
      if (!Array.isArray(value)) return malformed(`the property ${rule.name} must be a list of pairs`);
      const [name, text] = value as [string, string];
      return 1 + stringSize(name) + stringSize(text);
    }
  }
}

/** The values are those that `propertiesSize` has measured, and there is room for them. */
function writeValue(out: Output, rule: PropertyRule, value: unknown): void {
  out.writeUInt8(rule.id);
  switch (rule.type) {
    case 'flag':
      out.writeUInt8(value ? 1 : 0);
      break;
    case 'bit':
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
    case 'binary':
      writeBinary(out, value as Buffer);
      break;
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
