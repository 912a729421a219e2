/**
 * Templates: those of commands to devices with messages of anybody and with what devices answer; templates that an
 * administrator writes; and the paths of mappings with the paths and topics of anybody.
 */
import assert from 'node:assert/strict';
import { decode as decodeCbor } from 'cborg';
import type { Message } from '../../../src/bus/message.js';
import { isValidName } from '../../../src/bus/topics.js';
import { isSendable } from '../../../src/coap/client/request.js';
import type { ClientResponse } from '../../../src/coap/client/response.js';
import { parseCoapUri } from '../../../src/coap/client/uri.js';
import { codeDigits } from '../../../src/coap/codes.js';
import { formatLinks, parseLinks } from '../../../src/coap/link-format.js';
import { loadConfig } from '../../../src/config/load.js';
import { type Command, readCommands } from '../../../src/plugins/coap-devices/command.js';
import { DeviceCounters } from '../../../src/plugins/coap-devices/counters.js';
import { NO_CREDENTIALS } from '../../../src/plugins/coap-devices/credentials.js';
import { Errands, failed } from '../../../src/plugins/coap-devices/errands.js';
import { MOST_RENDERED, TemplateFailure, TemplateFault } from '../../../src/plugins/coap-devices/liquid.js';
import { MessageValues } from '../../../src/plugins/coap-devices/message-values.js';
import type { CommandOutcome } from '../../../src/plugins/coap-devices/outcome.js';
import { payloadTemplate } from '../../../src/plugins/coap-devices/template.js';
import { UriTemplate } from '../../../src/plugins/coap-devices/uri-template.js';
import { Mapping } from '../../../src/plugins/coap-topics/mappings.js';
import { TopicPaths } from '../../../src/plugins/coap-topics/topic-paths.js';
import type { InProcessClient, PluginContext } from '../../../src/plugins/plugin.js';
import { Output } from '../../../src/wire/output.js';
import type { Properties } from '../../../src/wire/packets.js';
import { decodeProperties, encodePropertyList } from '../../../src/wire/properties.js';
import { Feed, input, type Target } from '../target.js';

/** A counter that wants more than one is a number that grows. */
type Numbers = Record<string, number>;

/** Characters of the longest sentence. */
const MOST_WORDS = 300;
const [TEXT, JSON_FORMAT, CBOR] = [0, 50, 60];
const FILTER = { filter: 'cmd/#', method: 'PUT', confirmable: true, timeout: 5, response: 'raw' } as const;

/** What a command makes of a message must be exactly what its template says: checked with a few lines of JavaScript. */
interface Promised {
  readonly options: Partial<Command['options']>;
  /** The request's path, query and payload. */
  expect?(message: Message): { path?: string[]; query?: string[]; json?: unknown; text?: string };
}

/** Bytes of a payload that says the same again and again. */
const LARGE = 66_000;

const text = ({ payload }: Message): string => payload.toString();

const PROMISED: readonly Promised[] = [
  { options: { uri: 'coap://192.0.2.1/a' }, expect: () => ({ path: ['a'], query: [] }) },
  {
    options: { uri: 'coap://192.0.2.1/x/{{ payload }}/y?q={{ payload }}&z=1' },
    expect: (message) => ({ path: ['x', text(message), 'y'], query: [`q=${text(message)}`, 'z=1'] }),
  },
  {
    options: { uri: 'coap://h.example/{{ topic }}?{{ levels[1] }}', template: '{{ payload }}' },
    expect: (message) => ({
      path: [message.topic],
      query: [message.topic.split('/')[1]],
      text: text(message),
    }),
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      template: '{"name":"{{ payload }}","t":{{ topic | json }}}',
      content_format: 'json',
    },
    expect: (message) => ({ json: { name: text(message), t: message.topic } }),
  },
  {
    options: { uri: 'coap://192.0.2.1/a', template: '{"v":{{ json }}}', content_format: 'cbor' },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/{{ json.path }}?u={{ properties.room }}',
      template: '[{{ json[payload] }}]',
      content_format: 110,
    },
  },
  {
    options: { uri: 'coap://192.0.2.1/a', template: '{{ json[topic] }}{{ properties[payload] }}' },
  },
  { options: { uri: 'coap://192.0.2.1/{{ properties[payload] }}' } },
  {
    options: {
      uri: 'coap://192.0.2.1/{{ client }}',
      template: '{% for one in json %}{{ one.name | default: "x" | upcase | replace: "A", payload }}{% endfor %}',
    },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      template: '{% assign parts = payload | split: "," %}{{ parts | join: topic }}{{ parts | size | times: json }}',
    },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      template: '{% for i in (json.from..json.to) %}{{ i | plus: json.more }}{% endfor %}',
    },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      template: '{{ payload | slice: json.a, json.b }}{{ payload | truncate: json.a }}{{ json.n | round: json.b }}',
    },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      template: '{{ payload | base64_decode }}{{ payload | base64_encode }}{{ json.date | date: json.format }}',
    },
  },
  {
    options: {
      uri: 'coap://192.0.2.1/a',
      response: 'json',
      response_template: '{"c":"{{ code }}","p":"{{ payload }}"}',
    },
  },
  { options: { uri: 'coap://192.0.2.1/a', response_template: '{{ json[topic] }}{{ json.value | number }}' } },
  { options: { uri: 'coap://192.0.2.1/a', response: 'json' } },
];

const shared = loadConfig({ env: {} }).config.coap;
const COMMANDS = readCommands(
  PROMISED.map(({ options }) => ({ ...FILTER, ...options }) as Command['options']),
  shared,
  NO_CREDENTIALS,
);

function propertyBytes(properties: Properties): Buffer {
  const out = new Output();
  encodePropertyList(out, properties, 'publish');
  return Buffer.from(out.bytes());
}

/** A text as MQTT lets it through. */
function textIn(bytes: Buffer): string {
  return bytes.toString().replaceAll('\0', '');
}

function messageIn(feed: Feed): Message {
  const topic = textIn(feed.take(feed.byte())).replaceAll(/[+#]/g, '') || 't';
  const flags = feed.byte();
  const properties: Properties = {};
  if ((flags & 1) !== 0) properties.contentType = textIn(feed.take(feed.byte()));
  if ((flags & 2) !== 0) {
    const name = textIn(feed.take(feed.byte()));
    properties.userProperties = [[name, textIn(feed.take(feed.byte()))]];
  }
  if ((flags & 4) !== 0) properties.correlationData = Buffer.from(feed.take(feed.byte()));
  const payload = Buffer.from(feed.take(feed.short()));
  return {
    topic,
    payload: (flags & 16) === 0 || payload.length === 0 ? payload : Buffer.alloc(LARGE, payload),
    qos: 1,
    retain: false,
    properties: propertyBytes(properties),
    expiresAt: 0,
    publisherId: (flags & 8) === 0 ? '' : textIn(feed.take(feed.byte())),
    receivedAt: 0,
  };
}

function responseIn(feed: Feed): ClientResponse {
  const group = [2, 4, 5][feed.byte() % 3];
  return {
    code: (group << 5) | (feed.byte() & 31),
    contentFormat: feed.byte() < 128 ? undefined : feed.short(),
    payload: Buffer.from(feed.rest()),
    etag: undefined,
    maxAge: 60,
    locationPath: [],
    locationQuery: [],
    size1: undefined,
    observed: false,
  };
}

/** What comes of a command is published, whatever the outcome; nothing is dropped for what is in it. */
class Published {
  readonly errors: string[] = [];
  readonly counters = new DeviceCounters();
  last: { readonly payload: Buffer; readonly properties: Properties } | undefined;
  readonly #errands: Errands;
  readonly #bus: InProcessClient;

  constructor() {
    const silent = (): void => {};
    const logger = {
      info: silent,
      warn: silent,
      debug: silent,
      error: (_: object, words: string) => this.errors.push(words),
    };
    const context = { logger, limit: silent } as unknown as PluginContext;
    this.#bus = {
      publish: (_topic: string, payload: Buffer, { properties = Buffer.alloc(0) }: { properties?: Buffer }) => {
        this.last = { payload, properties: decodeProperties(properties, 0, properties.length, 'publish') };
      },
    } as unknown as InProcessClient;
    this.#errands = new Errands({ commands_in_flight: 1, commands_per_device: 1 }, this.counters, context);
  }

  reply(command: Command, message: Message, outcome: CommandOutcome): NonNullable<Published['last']> {
    const { render, device, options } = command;
    const answer = { whenKnown: (use: (topic: string) => void) => use('answer') };
    this.last = undefined;
    this.#errands.reply({ message, device, answer, form: options.response, render, bus: this.#bus }, outcome);
    assert.deepEqual(this.errors, []);
    assert.equal((this.counters as unknown as Numbers).droppedReplies, 0);
    assert.ok(this.last !== undefined, 'every outcome is published');
    return this.last;
  }
}

const published = new Published();

/** The sentence of a failure, which is published and logged: short, whatever is in the message. */
function checkFailure(error: unknown): string {
  assert.ok(error instanceof TemplateFailure, error as Error);
  assert.ok(error.message.length <= MOST_WORDS, `${error.message.length} characters of a failure`);
  return error.message;
}

function runCommand(feed: Feed): string {
  const choice = feed.byte() % COMMANDS.length;
  const command = COMMANDS[choice];
  const message = messageIn(feed);
  try {
    const request = command.request(message);
    const { path = [], query = [], payload = Buffer.alloc(0) } = request;
    assert.ok(isSendable(request, 1024) || choice === 0, 'what a template makes can be sent');
    const promised = PROMISED[choice].expect?.(message);
    if (promised?.path !== undefined) assert.deepEqual(path, promised.path);
    if (promised?.query !== undefined) assert.deepEqual(query, promised.query);
    if (promised?.json !== undefined) assert.deepEqual(JSON.parse(payload.toString()), promised.json);
    if (promised?.text !== undefined) assert.equal(payload.toString(), promised.text);
    if (command.options.template !== undefined) {
      assert.ok(payload.length <= MOST_RENDERED);
      checkForm(command.options.content_format, payload);
    }
    assert.deepEqual(command.request(message), request, 'the same message makes the same request');
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    const detail = checkFailure(error);
    const { properties } = published.reply(command, message, failed('template', detail));
    checkSaid(properties, message);
    return `failure ${choice}`;
  }
  return `${choice} ${runResponse(command, message, responseIn(feed))}`;
}

function checkForm(format: Command['options']['content_format'], payload: Buffer): void {
  if (format === 'json' || format === 110) JSON.parse(payload.toString());
  if (format === 'cbor') decodeCbor(payload);
}

function checkSaid({ correlationData }: Properties, message: Message): void {
  const given = decodeProperties(message.properties, 0, message.properties.length, 'publish');
  assert.deepEqual(correlationData, given.correlationData);
}

/** What is published of a response says its code, and has nothing of the device in the place of anything else. */
function runResponse(command: Command, message: Message, response: ClientResponse): string {
  const { payload, properties } = published.reply(command, message, { response, failure: null });
  checkSaid(properties, message);
  published.reply(command, message, failed('unsendable', message.payload.toString()));
  const { userProperties = [] } = properties;
  assert.equal(userProperties.find(([name]) => name === 'coap-code')?.[1], codeDigits(response.code));
  const { response: form, response_template: template } = command.options;
  const hasFailed = userProperties.some(([name]) => name === 'coap-failure');
  if (form === 'json') {
    const said = JSON.parse(payload.toString());
    assert.ok(hasFailed || said.c === codeDigits(response.code) || said.code === codeDigits(response.code));
    if (!hasFailed && template !== undefined) assert.equal(said.p, response.payload.toString());
  } else if (template === undefined) assert.deepEqual(payload, response.payload);
  return `${hasFailed} ${form}`;
}

const KNOWN_MESSAGE: Message = {
  topic: 'sensor/temp/1',
  payload: Buffer.from('{"a":{"b":[1,2,{"c":"x"}]},"n":-1.5,"s":"text, more text","e":""}'),
  qos: 0,
  retain: false,
  properties: propertyBytes({ contentType: 'application/json', userProperties: [['room', 'first']] }),
  expiresAt: 0,
  publisherId: 'probe',
  receivedAt: 0,
};

/** A template as an administrator writes it, for one kind of payload, or a URI. */
function runSource(feed: Feed): string {
  const kind = feed.byte() & 3;
  const source = feed.rest().toString();
  try {
    return kind === 3 ? runUri(source) : runPayload(source, [TEXT, JSON_FORMAT, CBOR][kind]);
  } catch (error) {
    if (error instanceof TemplateFailure) return `failure ${kind}`;
    assert.ok(error instanceof TemplateFault, error as Error);
    checkPlace(error, source);
    return `fault ${kind} ${error.message.replaceAll(/["'`].*|\d+/g, '').slice(0, 30)}`;
  }
}

/** A fault has a place that there is. */
function checkPlace({ line, column }: TemplateFault, source: string): void {
  const lines = source.split('\n');
  assert.ok(Number.isInteger(line) && line >= 1 && line <= lines.length, `line ${line} of ${lines.length}`);
  const most = lines[line - 1].length + 1;
  assert.ok(Number.isInteger(column) && column >= 1 && column <= most, `column ${column} of ${most} in line ${line}`);
}

function runPayload(source: string, format: number): string {
  const template = payloadTemplate(source, format);
  const made = template(new MessageValues(KNOWN_MESSAGE));
  assert.ok(made.length <= MOST_RENDERED);
  if (format === JSON_FORMAT) JSON.parse(made.toString());
  else if (format === CBOR) decodeCbor(made);
  assert.deepEqual(template(new MessageValues(KNOWN_MESSAGE)), made, 'the same each time');
  return `made ${format}`;
}

function runUri(source: string): string {
  const template = new UriTemplate(source);
  const { host, port } = template.uri;
  const { path, query } = template.resolve(new MessageValues(KNOWN_MESSAGE));
  if (!template.hasTemplates) assert.deepEqual(parseCoapUri(source), template.uri);
  else {
    const plain = parseCoapUri(source.replaceAll(/\{\{.*?\}\}|\{%.*?%\}/gs, 'x'));
    assert.ok(typeof plain === 'object');
    assert.deepEqual([plain.host, plain.port], [host, port], 'no template says where a request goes');
    assert.deepEqual([plain.path.length, plain.query.length], [path.length, query.length], 'none adds a part');
  }
  for (const part of [...path, ...query]) assert.ok(Buffer.byteLength(part) <= 255);
  assert.ok(!path.includes('.') && !path.includes('..'));
  return `uri ${path.length > 0} ${query.length > 0} ${template.hasTemplates}`;
}

const MAPPINGS = (
  [
    ['/s/{device}/{metric}', 'devices/{device}/{metric}', 'none'],
    ['/{b}/x/{a}', '{a}/{b}', 'cbor-to-json'],
    ['/c/{name}', '{name}/up', 'json-to-cbor'],
  ] as const
).map(([path, topic, convert]) => {
  const counters = { coapConversionFailures: 0 };
  const context = { counters, limit: () => {} } as unknown as PluginContext;
  return new Mapping({ path, topic, convert, methods: ['GET', 'PUT'] }, context);
});
const PATHS = new TopicPaths('ps');

/** A link leads to the resource that it names: what a client asks for by it is the topic again (RFC 3986 5.2.4, RFC 7252 6.4). */
function checkLink(href: string, topic: string, topicOf: (path: readonly string[]) => string | null | undefined): void {
  const [link, ...others] = parseLinks(formatLinks([{ href }]), 2) ?? [];
  assert.deepEqual([link?.href, others.length], [href, 0]);
  const uri = parseCoapUri(`coap://192.0.2.1${href}`);
  assert.ok(typeof uri === 'object', `${href}: ${uri}`);
  assert.equal(topicOf(uri.path), topic, href);
}

function runMapping(feed: Feed): string {
  const mapping = MAPPINGS[feed.byte() % MAPPINGS.length];
  const path: string[] = [];
  for (let count = feed.byte() & 7; count > 0; count--) path.push(feed.take(feed.byte()).toString());
  const said = feed.rest().toString();
  const topic = mapping.topicOf(path);
  if (typeof topic === 'string') {
    assert.ok(isValidName(topic));
    checkTopic(mapping, topic);
  }
  if (isValidName(said)) checkTopic(mapping, said);
  return `${topic === null} ${typeof topic} ${isValidName(said)}`;
}

function checkTopic(mapping: Mapping, topic: string): void {
  const link = mapping.linkOf(topic);
  if (link !== null) checkLink(link.href, topic, (path) => mapping.topicOf(path));
  const target = (path: readonly string[]): string | undefined => {
    const found = PATHS.target(path, path.join('/'));
    return found.kind === 'topic' ? found.topic : undefined;
  };
  const href = PATHS.linkOf(topic);
  const isSaid = topic.split('/').every((level) => !/^\.\.?$/.test(level) && Buffer.byteLength(level) <= 255);
  assert.equal(href !== null, isSaid, 'every topic that a request can ask for has its link');
  if (href !== null) checkLink(href, topic, target);
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  switch (feed.byte() >> 6) {
    case 2:
      return runSource(feed);
    case 3:
      return runMapping(feed);
    default:
      return runCommand(feed);
  }
}

function command(choice: number, topic: string, payload: string, more: string = ''): Buffer {
  return input(0, choice, topic.length, topic, 0, payload.length >> 8, payload.length & 0xff, payload, 0, 5, 0, more);
}

const SOURCES: readonly string[] = [
  '{"temp":{{ payload | number }},"unit":"C"}',
  '{{ topic }} {{ levels[1] }} {{ json.a.b[2]["c"] }} {{ client }} {{ content_type }} {{ properties.room }}',
  '{% for i in json.a.b %}{% if i == 1 %}{% continue %}{% else %}{{ i | json }}{% endif %}{% endfor %}',
  '{% case topic %}{% when "a" %}1{% else %}{% unless json.n > 0 %}{{ json.n | abs | ceil }}{% endunless %}{% endcase %}',
  '{% assign x = json.s | split: "," %}{% raw %}{{ x }}{% endraw %}{{ x | first | upcase | append: "!" }}',
  '{% comment %} a {% endcomment %}{%- # b -%}{{ "%Y" | date: "%s" }}',
  '{% for i in (1..3) limit:2 offset:1 reversed %}{% break %}{% endfor %}',
  'coap://[2001:db8::1]:5684/{{ levels[0] }}/a%2F{{ json.n }}?v={{ payload }}&u={% if client %}x{% endif %}',
  'coaps+tcp://h/a/../b?c',
];

export const templates: Target = {
  name: 'templates',
  scope: [
    '/src/plugins/coap-devices/command.',
    '/src/plugins/coap-devices/liquid',
    '/src/plugins/coap-devices/template',
    '/src/plugins/coap-devices/uri-template',
    '/src/plugins/coap-devices/values',
    '/src/plugins/coap-devices/message-values',
    '/src/plugins/coap-devices/response-values',
    '/src/plugins/coap-devices/reply',
    '/src/plugins/coap-topics/mappings',
    '/src/plugins/coap-topics/topic-paths',
    '/src/coap/client/uri',
    '/liquidjs/',
  ],
  longest: 1200,
  words: [
    ...[
      '{{ ',
      ' }}',
      '{% ',
      ' %}',
      'payload',
      'json',
      'levels[0]',
      'properties.',
      '| ',
      '{{ json.',
      '{{ json[payload] }}',
    ],
    ...[
      '| number',
      '| json',
      '| replace: "", payload',
      '| times: 1e9',
      '| slice: -9, 99',
      '| date: "%9999Y"',
      '| split: ""',
    ],
    ...[
      'for i in (1..9)',
      'endfor',
      'if',
      'endif',
      'constructor',
      '__proto__',
      '%2F',
      '%',
      '..',
      '\ud800',
      '{"a":',
      '1e999',
    ],
  ],
  seeds: () => [
    ...PROMISED.flatMap((_, choice) => [
      command(
        choice,
        'cmd/a',
        '{"path":"p","name":"n","from":1,"to":3,"a":1,"b":2,"n":1.5,"date":"2026-01-01","format":"%Y"}',
      ),
      command(choice, 'cmd/a', '","admin":true,"x":"', '{"value":"1","cmd/a":1}'),
      command(choice, 'a', '[{"name":"a,b"}]', '{"value":{}}'),
      input(0, choice, 1, 'a', 15, 2, '50', 4, 'room', 1, '1', 2, 'xy', 0, 3, '25\0', 2, 'me', 1, 4, 200, 0, 60, 'x'),
    ]),
    ...SOURCES.flatMap((source) => [0, 1, 2, 3].map((kind) => input(0x80, kind, source))),
    input(0xc0, 0, 3, 1, 's', 2, 'd1', 1, 'm', 'devices/d/m'),
    input(0xc0, 1, 3, 1, 'b', 1, 'x', 1, '.', '../a'),
    input(0xc0, 2, 2, 1, 'c', 3, 'a/b', '\u00e4/up'),
  ],
  run,
};
