/** `coap.mappings`: resources with paths of their own, each level of which may name a level of the topic. */
import type { Message } from '../../bus/message.js';
import { isValidName } from '../../bus/topics.js';
import { Code, ContentFormat, Method } from '../../coap/codes.js';
import type { Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { PluginContext } from '../plugin.js';
import { diagnostic } from './answers.js';
import { type Converter, cborToJson, jsonToCbor, MOST_CONVERTED } from './conversion.js';
import type { MappingOptions } from './options.js';
import { contentOf, etagOf } from './representation.js';
import { referenceOf } from './topic-paths.js';
import type { Incoming, TopicView } from './topic-view.js';

const METHODS = { GET: Method.Get, PUT: Method.Put, POST: Method.Post, DELETE: Method.Delete } as const;

/** Both directions of a conversion, and the Content-Formats on the two sides. */
interface Conversion {
  readonly onCoap: number;
  readonly onMqtt: number;
  readonly incoming: Converter;
  readonly outgoing: Converter;
}

const CONVERSIONS: Readonly<Record<MappingOptions['convert'], Conversion | null>> = {
  none: null,
  'json-to-cbor': {
    onCoap: ContentFormat.Json,
    onMqtt: ContentFormat.Cbor,
    incoming: jsonToCbor,
    outgoing: cborToJson,
  },
  'cbor-to-json': {
    onCoap: ContentFormat.Cbor,
    onMqtt: ContentFormat.Json,
    incoming: cborToJson,
    outgoing: jsonToCbor,
  },
};

/** A level of a path or topic: its text, or its name. */
interface Level {
  readonly text: string;
  readonly named: boolean;
}

function levelsOf(levels: string): Level[] {
  return levels.split('/').map((level) => {
    const name = /^\{(.+)\}$/.exec(level)?.[1];
    return { text: name ?? level, named: name !== undefined };
  });
}

/** One entry of `coap.mappings`. */
export class Mapping implements TopicView {
  readonly qos: 0 | 1 | 2 | undefined;
  readonly retain: boolean | undefined;
  readonly #path: readonly Level[];
  readonly #topic: readonly Level[];
  readonly #methods: ReadonlySet<number>;
  readonly #contentFormat: number | undefined;
  readonly #conversion: Conversion | null;
  readonly #context: PluginContext;
  /** What messages have been converted to; null for what cannot be. */
  readonly #converted = new WeakMap<Message, CoapResponse | null>();

  constructor(options: MappingOptions, context: PluginContext) {
    this.qos = options.qos as 0 | 1 | 2 | undefined;
    this.retain = options.retain;
    this.#path = levelsOf(options.path.slice(1));
    this.#topic = levelsOf(options.topic);
    this.#methods = new Set(options.methods.map((name) => METHODS[name]));
    this.#contentFormat = options.content_format;
    this.#conversion = CONVERSIONS[options.convert];
    this.#context = context;
  }

  allows(method: number): boolean {
    return this.#methods.has(method);
  }

  /** The topic of a path; undefined if the path is another's, null if it names none. */
  topicOf(path: readonly string[]): string | null | undefined {
    const names = assign(this.#path, path);
    if (names === null) return undefined;
    const levels = this.#topic.map(({ text, named }) => (named ? (names.get(text) as string) : text));
    const topic = levels.join('/');
    return levels.some((level) => level.includes('/')) || !isValidName(topic) ? null : topic;
  }

  /** The link to a topic's resource; null if the topic is not one of this mapping, or no request can ask for it. */
  linkOf(topic: string): Link | null {
    const names = assign(this.#topic, topic.split('/'));
    if (names === null) return null;
    const path = this.#path.map(({ text, named }) => (named ? (names.get(text) as string) : text));
    const href = referenceOf(path);
    if (href === null) return null;
    const contentFormat = this.#conversion?.onCoap ?? this.#contentFormat;
    const attributes = {
      rt: 'core.ps.data',
      ...(this.allows(Method.Get) ? { obs: true as const } : null),
      ...(contentFormat === undefined ? null : { ct: contentFormat }),
    };
    return { href, attributes };
  }

  /** Without names it is one resource, which is there without a value, too. */
  get link(): Link | null {
    if (this.#path.some(({ named }) => named)) return null;
    return this.linkOf(this.#topic.map(({ text }) => text).join('/'));
  }

  incoming(request: CoapRequest): Incoming | CoapResponse {
    const { payload } = request;
    const conversion = this.#conversion;
    if (conversion === null) return { payload, contentFormat: request.contentFormat ?? this.#contentFormat };
    const { contentFormat = conversion.onCoap } = request;
    if (contentFormat !== conversion.onCoap) {
      const error = `Content-Format ${contentFormat} is not ${conversion.onCoap}`;
      return this.#refused(Code.UnsupportedContentFormat, request, error);
    }
    // An empty payload clears, as everywhere.
    if (payload.length === 0) return { payload, contentFormat: undefined };
    if (payload.length > MOST_CONVERTED) {
      const error = `more than ${MOST_CONVERTED} bytes`;
      return { ...this.#refused(Code.RequestEntityTooLarge, request, error), size1: MOST_CONVERTED };
    }
    try {
      return { payload: conversion.incoming(payload), contentFormat: conversion.onMqtt };
    } catch (error) {
      return this.#refused(Code.BadRequest, request, error);
    }
  }

  outgoing(message: Message, now: number): CoapResponse | null {
    const plain = contentOf(message, now);
    const conversion = this.#conversion;
    if (conversion === null) {
      if (this.#contentFormat === undefined || plain.contentFormat !== undefined) return plain;
      return { ...plain, contentFormat: this.#contentFormat };
    }
    let converted = this.#converted.get(message);
    if (converted === undefined) {
      converted = this.#convert(message, plain, conversion);
      this.#converted.set(message, converted);
    }
    if (converted === null || plain.maxAge === undefined) return converted;
    return { ...converted, maxAge: plain.maxAge };
  }

  #convert(message: Message, plain: CoapResponse, { onCoap, onMqtt, outgoing }: Conversion): CoapResponse | null {
    // Who publishes on MQTT seldom says what it is.
    if (plain.contentFormat === onCoap || message.payload.length === 0) return plain;
    try {
      if ((plain.contentFormat ?? onMqtt) !== onMqtt) throw new Error(`Content-Format ${plain.contentFormat}`);
      if (message.payload.length > MOST_CONVERTED) throw new Error(`more than ${MOST_CONVERTED} bytes`);
      const payload = outgoing(message.payload);
      return { code: Code.Content, payload, contentFormat: onCoap, etag: etagOf(payload, onCoap) };
    } catch (error) {
      this.#failed(`a value of ${message.topic}`, error);
      return null;
    }
  }

  #refused(code: number, request: CoapRequest, error: unknown): CoapResponse {
    return diagnostic(code, this.#failed(`a payload from ${request.remote.key}`, error));
  }

  /** Counts and logs; returns the sentence. */
  #failed(what: string, error: unknown): string {
    const sentence = `it cannot be converted: ${error instanceof Error ? error.message : String(error)}`;
    this.#context.counters.coapConversionFailures++;
    this.#context.limit(null, 'coap.mappings', `${what}: ${sentence}`);
    return sentence;
  }
}

/** What each name stands for; null if the levels do not match. */
function assign(pattern: readonly Level[], levels: readonly string[]): Map<string, string> | null {
  if (pattern.length !== levels.length) return null;
  const names = new Map<string, string>();
  for (const [i, { text, named }] of pattern.entries()) {
    if (named) names.set(text, levels[i]);
    else if (levels[i] !== text) return null;
  }
  return names;
}
