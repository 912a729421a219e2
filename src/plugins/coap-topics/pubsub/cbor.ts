/** Topic properties in CBOR: `application/core-pubsub+cbor`, and what requests for parts of a topic carry. */
import { decode, encode, Tagged } from 'cborg';
import { type Configuration, type Properties, Property } from './configuration.js';

/**
 * CBOR as small encoders write it, also with longer numbers than need be, and maps and arrays of indefinite length. Strings
 * in pieces, tags other than 1, repeated keys and bytes behind the end are refused.
 */
const DECODING = {
  useMaps: true,
  rejectDuplicateMapKeys: true,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  tags: { 1: Tagged.decoder(1) },
} as const;

const EPOCH = 1;

/** What is wrong with a payload, in words; its sender is told. */
export class Malformed extends Error {}

/** @throws Malformed if the bytes are not one CBOR item */
function itemOf(bytes: Buffer): unknown {
  try {
    return decode(bytes, DECODING);
  } catch (error) {
    throw new Malformed('the payload is not CBOR', { cause: error });
  }
}

/** The entries of a map. @throws Malformed if the bytes are none */
function entriesOf(bytes: Buffer): ReadonlyMap<unknown, unknown> {
  const item = itemOf(bytes);
  if (!(item instanceof Map)) throw new Malformed('the payload is not a map');
  return item;
}

/** The property keys in an array. @throws Malformed if the bytes are none */
export function keysOf(bytes: Buffer): number[] {
  const item = itemOf(bytes);
  if (!Array.isArray(item) || !item.every((key) => Number.isSafeInteger(key) && key >= 0)) {
    throw new Malformed('the payload is not an array of property keys');
  }
  return item as number[];
}

/** Reads properties. @throws Malformed if one is not known, or not of its type */
export function decodeProperties(bytes: Buffer): Properties {
  const properties: Properties = {};
  for (const [key, value] of entriesOf(bytes)) read(properties, key, value);
  return properties;
}

function read(properties: Properties, key: unknown, value: unknown): void {
  switch (key) {
    case Property.TopicName:
      properties.name = text(value, 'topic-name');
      break;
    case Property.TopicData:
      properties.data = text(value, 'topic-data');
      break;
    case Property.ResourceType:
      properties.resourceType = text(value, 'resource-type');
      break;
    case Property.ContentFormat:
      properties.contentFormat = uint(value, 'topic-content-format', 0, 0xffff);
      break;
    case Property.TopicType:
      properties.topicType = text(value, 'topic-type');
      break;
    case Property.ExpirationDate:
      properties.expirationDate = date(value);
      break;
    case Property.MaxSubscribers:
      properties.maxSubscribers = uint(value, 'max-subscribers', 0, Number.MAX_SAFE_INTEGER);
      break;
    case Property.ObserverCheck:
      properties.observerCheck = uint(value, 'observer-check', 1, Number.MAX_SAFE_INTEGER);
      break;
    case Property.Initialize:
      if (!(value instanceof Uint8Array)) throw new Malformed('initialize is not a byte string');
      // The payload is valid during the handler's call only.
      properties.initialize = Buffer.from(value);
      break;
    default:
      throw new Malformed('there is a property that is not known');
  }
}

function text(value: unknown, name: string): string {
  // The decoder puts U+FFFD for what is not UTF-8, which no text string may hold.
  if (typeof value !== 'string' || value.includes('\ufffd')) throw new Malformed(`${name} is not a text string`);
  return value;
}

function uint(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new Malformed(`${name} is not a number from ${least} to ${most}`);
  }
  return value;
}

function date(value: unknown): number {
  const seconds: unknown = value instanceof Tagged && value.tag === EPOCH ? value.value : null;
  // Of the size of what is a date in JavaScript.
  if (typeof seconds !== 'number' || seconds < 0 || seconds > 8.64e12) {
    throw new Malformed('expiration-date is not a date with tag 1');
  }
  return seconds;
}

/** The properties by their keys, ready to be encoded. */
function entriesIn(configuration: Configuration): Map<number, unknown> {
  const { name, data, resourceType, contentFormat, topicType, expirationDate, maxSubscribers } = configuration;
  const entries = new Map<number, unknown>([
    [Property.TopicName, name],
    [Property.TopicData, data],
    [Property.ResourceType, resourceType],
  ]);
  if (contentFormat !== undefined) entries.set(Property.ContentFormat, contentFormat);
  if (topicType !== undefined) entries.set(Property.TopicType, topicType);
  if (expirationDate !== undefined) entries.set(Property.ExpirationDate, new Tagged(EPOCH, expirationDate));
  if (maxSubscribers !== undefined) entries.set(Property.MaxSubscribers, maxSubscribers);
  entries.set(Property.ObserverCheck, configuration.observerCheck);
  if (configuration.initialize !== undefined) entries.set(Property.Initialize, configuration.initialize);
  return entries;
}

/** Writes properties. @param keys those that are wanted; all unless given */
export function encodeProperties(configuration: Configuration, keys?: readonly number[]): Buffer {
  const entries = entriesIn(configuration);
  if (keys !== undefined) for (const key of entries.keys()) if (!keys.includes(key)) entries.delete(key);
  return bytesOf(entries);
}

/**
 * The properties of a filter; null if there is one that no topic has.
 * @throws Malformed if the bytes are no map
 */
export function decodeFilter(bytes: Buffer): Properties | null {
  const entries = entriesOf(bytes);
  const filter: Properties = {};
  try {
    for (const [key, value] of entries) read(filter, key, value);
    return filter;
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

function bytesOf(value: unknown): Buffer {
  return Buffer.from(encode(value));
}
