/**
 * Every option: the single home of names, defaults, ranges and documentation. `docs/options.md`, `config/portico.yaml`,
 * the names of the environment variables and the sentences about faults are derived from this file.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

/** What stands beside an option. */
export interface OptionDoc {
  /** One or two short sentences. */
  readonly doc: string;
  /** Unit of a number. */
  readonly unit?:
    | 'bytes'
    | 'seconds'
    | 'milliseconds'
    | 'messages'
    | 'levels'
    | 'connections'
    | 'sessions'
    | 'subscriptions'
    | 'connections per second'
    | 'messages per second'
    | 'bytes per second';
  /** The first version that knows the option. */
  readonly since: string;
  /** What is right, where the schema itself cannot say it in words. */
  readonly type?: string;
  /** A value for the example file, for an option without default. */
  readonly example?: string | number | boolean;
}

/** The documentation of every option and section. */
export const documentation = z.registry<OptionDoc>();

const KIB = 1024;
const MIB = 1024 * KIB;

const whole = (least: number, most: number) => z.int().min(least).max(most);
const text = () => z.string().min(1);

/** An address, a host name, or the word `loopback`. What only looks like an IPv4 address is none. */
function isHost(host: string): boolean {
  return isIP(host) !== 0 || (/^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(host) && !/^[\d.]+$/.test(host));
}

const host = z
  .string()
  .refine(isHost)
  .or(z.array(z.string().refine(isHost)).min(1))
  .default('loopback')
  .register(documentation, {
    doc:
      'Address or host name, or a list of them. `loopback` is 127.0.0.1 and, where the machine has it, ::1; ' +
      '`0.0.0.0` and `::` are every address of the machine.',
    type: 'an address, a host name, `loopback`, or a list of these',
    since: '0.1.0',
  });

const port = (usual: number) =>
  whole(0, 65535)
    .default(usual)
    .register(documentation, { doc: 'Port; 0 takes a free one, which the log names.', since: '0.1.0' });

const mqttListener = z.strictObject({
  type: z.literal('mqtt').register(documentation, { doc: 'MQTT over TCP.', since: '0.1.0' }),
  host,
  port: port(1883),
});

const websocketListener = z.strictObject({
  type: z.literal('websocket').register(documentation, { doc: 'MQTT over WebSocket.', since: '0.1.0' }),
  host,
  port: port(9001),
  path: z.string().startsWith('/').optional().register(documentation, {
    doc: 'The only path of the URL that is answered. Unset: any path.',
    type: 'a path that begins with /',
    example: '/mqtt',
    since: '0.1.0',
  }),
});

const coapListener = z.strictObject({
  type: z.literal('coap').register(documentation, { doc: 'CoAP over UDP.', since: '0.1.0' }),
  host,
  port: port(5683),
});

const httpListener = z.strictObject({
  type: z.literal('http').register(documentation, {
    doc: 'HTTP for programs that look after the broker: `/metrics` for Prometheus, and `/health`.',
    since: '0.1.0',
  }),
  host,
  port: port(9883),
  allow_anonymous: z
    .boolean()
    .default(false)
    .register(documentation, {
      doc:
        'Whether anyone who reaches an http listener may read what it serves. It asks for no credentials yet, so on any ' +
        'address but loopback it needs `true` here, or the `allow_anonymous` of the top level.',
      since: '0.1.0',
    }),
});

const listeners = z
  .array(z.discriminatedUnion('type', [mqttListener, websocketListener, coapListener, httpListener]))
  .prefault([{ type: 'mqtt' }, { type: 'websocket' }, { type: 'coap' }, { type: 'http' }])
  .register(documentation, {
    doc: 'Where the broker listens. A list in the file replaces the default list as a whole.',
    type: 'a list of listeners',
    since: '0.1.0',
  });

const access = z
  .strictObject({
    password_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and password hashes as `mosquitto_passwd` writes them. A relative path starts at the working directory. ' +
          'Unset: nobody has a password.',
        example: '/etc/portico/passwords',
        since: '0.1.0',
      }),
    scram_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and their SCRAM-SHA-256 credentials, a line each as `portico scram NAME` prints it, for MQTT 5.0 clients ' +
          'with that authentication method. A relative path starts at the working directory. Unset: the method is not ' +
          'offered.',
        example: '/etc/portico/scram',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'Who may connect.', since: '0.1.0' });

const store = z
  .strictObject({
    type: z.enum(['level', 'memory']).default('level').register(documentation, {
      doc: '`level` keeps sessions, queues and retained messages in `data_dir`; `memory` forgets them when the broker ends.',
      since: '0.1.0',
    }),
    sync: z
      .enum(['always', 'interval', 'never'])
      .default('always')
      .register(documentation, {
        doc:
          'When an acknowledgement may leave. `always`: once the disk has it, so a power cut loses nothing acknowledged. ' +
          '`interval`: once the operating system has it; a power cut loses what was acknowledged since the last flush began, about `store.sync_interval`. ' +
          '`never`: the same, and the operating system chooses when to write. A crash of the broker alone loses nothing ' +
          'acknowledged with any of them.',
        since: '0.1.0',
      }),
    sync_interval: whole(1, 3_600_000).default(1000).register(documentation, {
      doc: 'Time between two flushes to the disk, with `store.sync: interval`.',
      unit: 'milliseconds',
      since: '0.1.0',
    }),
    unwritten_bytes: whole(64 * KIB, Number.MAX_SAFE_INTEGER)
      .default(64 * MIB)
      .register(documentation, {
        doc:
          'Bytes of all clients that wait to be written. Whoever publishes what would be more is not read further until ' +
          'there is room, at an eighth of it for one client; a retained QoS 0 message is delivered, but not kept, and ' +
          'counted. While the disk fails, MQTT 5.0 clients are refused at once with 0x97 instead.',
        unit: 'bytes',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'What survives a restart, and how surely.', since: '0.1.0' });

const mqtt = z
  .strictObject({
    max_packet_size: whole(128, 268_435_460).default(2_000_000).register(documentation, {
      doc: 'Largest packet that a client may send. A larger one ends its connection.',
      unit: 'bytes',
      since: '0.1.0',
    }),
    keepalive_max: whole(0, 65535)
      .default(65535)
      .register(documentation, {
        doc:
          'Longest keep-alive of an MQTT 5.0 client. One that asks for more, or for none, gets this one. 0 accepts any. ' +
          'Older clients cannot be told of another keep-alive and keep their own.',
        unit: 'seconds',
        since: '0.1.0',
      }),
    connect_timeout: whole(1, 3600).default(10).register(documentation, {
      doc: 'Time that a new connection has until it is accepted, and a client to authenticate again.',
      unit: 'seconds',
      since: '0.1.0',
    }),
    max_client_id_length: whole(23, 65535).default(1024).register(documentation, {
      doc: 'Longest client identifier, in UTF-8. Beyond 16,383 the time that a CONNECT takes grows with those there are.',
      unit: 'bytes',
      since: '0.1.0',
    }),
    max_topic_levels: whole(1, 65535).default(100).register(documentation, {
      doc: 'Most levels of a topic name or topic filter.',
      unit: 'levels',
      since: '0.1.0',
    }),
    max_topic_length: whole(1, 65535)
      .default(65535)
      .register(documentation, {
        doc:
          'Longest topic name or topic filter, in UTF-8; a shared one with its `$share/{ShareName}/`. A client that sends ' +
          'a longer one is disconnected, a CoAP request with one is refused.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    max_connect_size: whole(128, 268_435_460)
      .default(128 * KIB)
      .register(documentation, {
        doc:
          'Largest packet, and over WebSocket the largest frame, of a connection that has not been accepted yet. A larger ' +
          'one is not waited for: the connection is closed.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    session_expiry_max: whole(0, 0xff_ff_ff_fe)
      .optional()
      .register(documentation, {
        doc:
          'Longest time that a session outlives its connection. It also bounds the sessions of MQTT 3.1 and 3.1.1 ' +
          'clients that ask to be kept. Unset: as long as the client asks, also for ever.',
        unit: 'seconds',
        example: 604_800,
        since: '0.1.0',
      }),
    session_expiry_default: whole(0, 4_294_967_294)
      .optional()
      .register(documentation, {
        doc:
          'How long the session of an MQTT 3.1 or 3.1.1 client with Clean Session 0 outlives its connection: such a ' +
          'client cannot say. Unset: as long as `mqtt.session_expiry_max` allows.',
        unit: 'seconds',
        example: 604_800,
        since: '0.1.0',
      }),
    receive_maximum: whole(1, 65535).default(1024).register(documentation, {
      doc: 'QoS 1 and 2 messages of one client that may wait for their acknowledgement by the broker.',
      unit: 'messages',
      since: '0.1.0',
    }),
    max_inflight: whole(1, 65535).default(512).register(documentation, {
      doc: 'QoS 1 and 2 messages to one client that may wait for its acknowledgement. An MQTT 5.0 client can lower it.',
      unit: 'messages',
      since: '0.1.0',
    }),
    max_qos: whole(0, 2).default(2).register(documentation, {
      doc: 'Highest QoS. A client that publishes above it is disconnected; a subscription above it is granted this one.',
      since: '0.1.0',
    }),
    retain_available: z.boolean().default(true).register(documentation, {
      doc: 'Whether messages may be retained. If not, a client that asks for it is disconnected.',
      since: '0.1.0',
    }),
    wildcard_subscriptions: z.boolean().default(true).register(documentation, {
      doc: 'Whether topic filters may have wildcards.',
      since: '0.1.0',
    }),
    subscription_identifiers: z.boolean().default(true).register(documentation, {
      doc: 'Whether MQTT 5.0 subscriptions may have an identifier.',
      since: '0.1.0',
    }),
    shared_subscriptions: z.boolean().default(true).register(documentation, {
      doc: 'Whether clients may share a subscription, `$share/{ShareName}/{filter}`.',
      since: '0.1.0',
    }),
    shared_strategy: z
      .enum(['round_robin', 'least_in_flight', 'sticky', 'topic_hash'])
      .default('round_robin')
      .register(documentation, {
        doc:
          'Who of a shared subscription gets the next message. `round_robin`: one after the other. `least_in_flight`: ' +
          'whoever has the fewest unacknowledged. `sticky`: the same one for each publisher. `topic_hash`: the same one ' +
          'for each topic. Clients that are connected come first.',
        since: '0.1.0',
      }),
    topic_alias_maximum: whole(0, 65535).default(128).register(documentation, {
      doc: 'Topic Aliases that an MQTT 5.0 client may use towards the broker. 0: none.',
      since: '0.1.0',
    }),
    topic_alias_maximum_out: whole(0, 65535).default(128).register(documentation, {
      doc: 'Topic Aliases that the broker uses towards an MQTT 5.0 client that takes them. 0: none.',
      since: '0.1.0',
    }),
    validate_payload_format: z
      .boolean()
      .default(false)
      .register(documentation, {
        doc:
          'Whether a payload whose Payload Format Indicator says UTF-8 has to be UTF-8. One that is not is refused with ' +
          'reason code 0x99.',
        since: '0.1.0',
      }),
    response_information: text()
      .optional()
      .register(documentation, {
        doc:
          'Response Information for MQTT 5.0 clients that ask for it: usually the beginning of the topics for their ' +
          'answers. `%c` is the client identifier, `%u` the user name. Unset: they get none.',
        example: 'responses/%c',
        since: '0.1.0',
      }),
    server_reference: text().optional().register(documentation, {
      doc: 'Server Reference: where MQTT 5.0 clients go when this broker is drained. Unset: they are not told.',
      example: 'other.example:1883',
      since: '0.1.0',
    }),
    draining: z
      .enum(['no', 'temporary', 'permanent'])
      .default('no')
      .register(documentation, {
        doc:
          'Whether clients are sent away: `temporary` with reason code 0x9C (use another server), `permanent` with 0x9D ' +
          '(server moved), both with `mqtt.server_reference`. Older clients get return code 3.',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'What an MQTT client may ask for.', since: '0.1.0' });

const limits = z
  .strictObject({
    connections: whole(1, 10_000_000).default(100_000).register(documentation, {
      doc: 'Clients connected at once.',
      unit: 'connections',
      since: '0.1.0',
    }),
    connections_per_address: whole(1, 10_000_000)
      .optional()
      .register(documentation, {
        doc:
          'Clients connected at once from one IP address, over TCP and WebSocket; an IPv6 address stands for its /64. ' +
          'The CONNECT of a further one is refused (0x97, before MQTT 5.0 return code 3), unless it takes over a ' +
          'connection of that address. Twice as many connections, with those that have not said CONNECT, are all that ' +
          'stay open; further ones are closed at once. Unset: no bound.',
        unit: 'connections',
        example: 100,
        since: '0.1.0',
      }),
    connects_per_second: whole(1, 1_000_000)
      .optional()
      .register(documentation, {
        doc:
          'New connections that the broker reads from, over TCP and WebSocket; as many may come at once after a second ' +
          'of rest. Further ones wait in the order in which they came, until `mqtt.connect_timeout`. Unset: no bound.',
        unit: 'connections per second',
        example: 500,
        since: '0.1.0',
      }),
    pending_connections: whole(1, 10_000_000)
      .default(10_000)
      .register(documentation, {
        doc:
          'Connections that have not been accepted yet, of all listeners: no WebSocket yet, no CONNECT, or still ' +
          'authenticating. Further ones are closed at once.',
        unit: 'connections',
        since: '0.1.0',
      }),
    messages_per_second: whole(1, 100_000_000)
      .optional()
      .register(documentation, {
        doc:
          'PUBLISH packets of one MQTT client; as many may come at once after a second of rest. A client that sends more ' +
          'is read more slowly; nothing is lost. Unset: no bound.',
        unit: 'messages per second',
        example: 1000,
        since: '0.1.0',
      }),
    bytes_per_second: whole(1, Number.MAX_SAFE_INTEGER)
      .optional()
      .register(documentation, {
        doc:
          'Bytes from one MQTT client, counted by the chunk; as many may come at once after a second of rest. A client ' +
          'that sends more is read more slowly; nothing is lost. Unset: no bound.',
        unit: 'bytes per second',
        example: MIB,
        since: '0.1.0',
      }),
    sessions: whole(1, 100_000_000).default(1_000_000).register(documentation, {
      doc: 'Sessions, also those whose client is away. A client whose session would be one more is refused.',
      unit: 'sessions',
      since: '0.1.0',
    }),
    subscriptions_per_client: whole(1, 10_000_000)
      .default(100_000)
      .register(documentation, {
        doc:
          'Subscriptions of one client. The levels of all their filters may be ten times as many. One packet with more ' +
          'filters than that, and more than 1000, ends the connection (0x97).',
        unit: 'subscriptions',
        since: '0.1.0',
      }),
    queued_messages: whole(1, 1_000_000_000).default(100_000).register(documentation, {
      doc: 'QoS 1 and 2 messages that wait for one client. Further ones are dropped and counted.',
      unit: 'messages',
      since: '0.1.0',
    }),
    queued_bytes: whole(1024, Number.MAX_SAFE_INTEGER)
      .default(256 * MIB)
      .register(documentation, {
        doc: 'Bytes of QoS 1 and 2 messages that wait for one client. Further ones are dropped and counted.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    queue_full: z
      .enum(['drop_newest', 'drop_oldest'])
      .default('drop_newest')
      .register(documentation, {
        doc:
          'Which message is dropped when `limits.queued_messages` or `limits.queued_bytes` is reached: the one that comes, ' +
          'or the one that has waited longest and has not been sent.',
        since: '0.1.0',
      }),
    queue_age: whole(0, 4_294_967_295).default(0).register(documentation, {
      doc: 'Longest time that a QoS 1 or 2 message waits for a client. Then it is dropped and counted. 0: any time.',
      unit: 'seconds',
      since: '0.1.0',
    }),
    memory: whole(MIB, Number.MAX_SAFE_INTEGER)
      .optional()
      .register(documentation, {
        doc:
          'Memory for what waits for clients, for retained messages and for wills. Beyond it, a client that holds more ' +
          'than half of an even share gets no further message that would wait in memory, a new retained message is ' +
          'delivered but not kept, and a client with a new will is refused; all of it is counted. Messages of durable ' +
          'sessions wait in the store instead. Sessions, subscriptions, Topic Aliases and unreleased QoS 2 publications ' +
          'may take as much again, but no more than half of the JavaScript heap; so may packets that have not arrived ' +
          'in full. Unset: half of the memory of the machine or container.',
        unit: 'bytes',
        example: 536_870_912,
        since: '0.1.0',
      }),
    queue_memory: whole(1024, Number.MAX_SAFE_INTEGER)
      .default(256 * KIB)
      .register(documentation, {
        doc: 'Bytes of waiting messages of one durable session that stay in memory; the rest waits in the store.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    output_buffer: whole(1024, Number.MAX_SAFE_INTEGER).default(MIB).register(documentation, {
      doc: 'Bytes that wait for one slow client before QoS 0 messages to it are dropped and counted.',
      unit: 'bytes',
      since: '0.1.0',
    }),
    stalled_timeout: whole(0, 86_400)
      .default(120)
      .register(documentation, {
        doc:
          'Time after which a client that takes nothing, while more than `limits.output_buffer` waits for it, is ' +
          'disconnected. 0: never.',
        unit: 'seconds',
        since: '0.1.0',
      }),
    retained_messages: whole(0, 1_000_000_000).default(1_000_000).register(documentation, {
      doc: 'Retained messages. A further one is delivered, but not kept, and counted.',
      unit: 'messages',
      since: '0.1.0',
    }),
    retained_payload: whole(0, 268_435_455).optional().register(documentation, {
      doc: 'Largest payload that is retained. A larger one is delivered, but not kept, and counted. Unset: any.',
      unit: 'bytes',
      example: 65_536,
      since: '0.1.0',
    }),
    retained_bytes: whole(0, Number.MAX_SAFE_INTEGER)
      .default(1024 * MIB)
      .register(documentation, {
        doc: 'Bytes of all retained messages. A further one is delivered, but not kept, and counted.',
        unit: 'bytes',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'How much the broker takes on.', since: '0.1.0' });

const field = (doc: string, type?: string) => ({ doc, since: '0.1.0', ...(type === undefined ? null : { type }) });

/** One entry of `coap.commands`. */
const command = z.strictObject({
  filter: text().register(documentation, field('Topic filter of the messages that are sent.')),
  uri: z
    .string()
    .regex(/^coap:\/\/./i)
    .register(documentation, field('The resource that the request goes to.', 'coap://host:port/path?query')),
  method: z
    .enum(['GET', 'POST', 'PUT', 'DELETE', 'FETCH', 'PATCH', 'iPATCH'])
    .default('PUT')
    .register(documentation, field('GET and DELETE are sent without payload.')),
  content_format: z
    .enum(['text', 'link', 'octets', 'json', 'cbor'])
    .or(whole(0, 65_535))
    .optional()
    .register(
      documentation,
      field(
        'Content-Format of the payload. Unset: the Content Type of the message, if it has one.',
        'text, link, octets, json, cbor or a whole number from 0 to 65535',
      ),
    ),
  confirmable: z.boolean().default(true).register(documentation, field('Whether the request is Confirmable.')),
  timeout: z
    .number()
    .min(0.1)
    .max(3600)
    .default(5)
    .register(documentation, { ...field('From the message to the failure `timeout`.'), unit: 'seconds' }),
  retries: whole(0, 20)
    .optional()
    .register(
      documentation,
      field('MAX_RETRANSMIT of a confirmable request (RFC 7252 4.8). Unset: that of the section.'),
    ),
  response_topic: text()
    .optional()
    .register(
      documentation,
      field('Where the outcome is published if the message has no Response Topic. Unset: nowhere.'),
    ),
  response: z
    .enum(['raw', 'json'])
    .default('raw')
    .register(
      documentation,
      field('`raw`: the body, with code and failure as User Properties; `json`: all in one JSON object.'),
    ),
});

/** Levels of a path or topic of `coap.mappings` that have a name: `{device}`. */
export function namesOf(levels: string): string[] {
  return levels.split('/').flatMap((level) => /^\{(.+)\}$/.exec(level)?.[1] ?? []);
}

/** A level is a name in braces, or plain text. */
const MAPPED_LEVELS = /^(?:\{\w+\}|[^{}/?#+\s]+)(?:\/(?:\{\w+\}|[^{}/?#+\s]+))*$/;

const mapping = z
  .strictObject({
    path: z
      .string()
      .startsWith('/')
      .refine((path) => MAPPED_LEVELS.test(path.slice(1)) && new Set(namesOf(path)).size === namesOf(path).length)
      .refine((path) => !/^\/(?:\.well-known|mqtt\/connection)(?:\/|$)/.test(path))
      .register(documentation, {
        doc: 'The path. A level in braces is any one, and has that name.',
        type: 'a path such as /s/{device}/{metric}, with each name once, and not that of a resource of the broker',
        since: '0.1.0',
      }),
    topic: z
      .string()
      .refine((topic) => MAPPED_LEVELS.test(topic))
      .register(documentation, {
        doc: 'The topic, with the same names.',
        type: 'a topic such as devices/{device}/{metric}, with the names of the path and no others',
        since: '0.1.0',
      }),
    methods: z
      .array(z.enum(['GET', 'PUT', 'POST', 'DELETE']))
      .min(1)
      .default(['GET', 'PUT', 'POST', 'DELETE'])
      .register(documentation, {
        doc: 'What may be done; GET stands for observing, too.',
        type: 'a list of GET, PUT, POST, DELETE',
        since: '0.1.0',
      }),
    qos: whole(0, 2).optional(),
    retain: z.boolean().optional(),
    content_format: whole(0, 65535).optional(),
    convert: z.enum(['none', 'json-to-cbor', 'cbor-to-json']).default('none'),
  })
  .refine(({ path, topic }) => namesOf(path).sort().join() === namesOf(topic).sort().join(), { path: ['topic'] })
  .refine(({ path, topic }) => new Set(namesOf(topic)).size === namesOf(path).length, { path: ['topic'] })
  .refine(({ convert, content_format: format }) => convert === 'none' || format === undefined, {
    path: ['content_format'],
  });

const coap = z
  .strictObject({
    path: z
      .string()
      .regex(/^[^/?#\s]+(\/[^/?#\s]+)*$/)
      .default('ps')
      .register(documentation, {
        doc: 'Path under which topics are resources: `ps` serves topic `a/b` as `/ps/a/b`.',
        type: 'a path without / at its ends',
        since: '0.1.0',
      }),
    profile: z
      .enum(['default', 'lossy', 'nb-iot'])
      .default('default')
      .register(documentation, {
        doc:
          'The kind of network between the broker and its devices, which sets each of the six options below that is unset: ' +
          '`default` as RFC 7252 says, `lossy` for long links that lose datagrams, `nb-iot` for narrow-band cellular ones.',
        since: '0.1.0',
      }),
    ack_timeout: z.number().min(0.1).max(600).optional().register(documentation, {
      doc: 'ACK_TIMEOUT: the shortest wait before the first retransmission (RFC 7252 4.8). Unset: that of `coap.profile`.',
      unit: 'seconds',
      example: 2,
      since: '0.1.0',
    }),
    ack_random_factor: z.number().min(1).max(10).optional().register(documentation, {
      doc: 'ACK_RANDOM_FACTOR: the first wait is up to this factor longer (RFC 7252 4.8). Unset: that of `coap.profile`.',
      example: 1.5,
      since: '0.1.0',
    }),
    max_retransmit: whole(0, 20).optional().register(documentation, {
      doc: 'MAX_RETRANSMIT: retransmissions of a confirmable message (RFC 7252 4.8). Unset: those of `coap.profile`.',
      example: 4,
      since: '0.1.0',
    }),
    max_latency: z
      .number()
      .min(1)
      .max(3600)
      .optional()
      .register(documentation, {
        doc:
          'MAX_LATENCY: how long a datagram may take. It makes EXCHANGE_LIFETIME, for which requests are known as repeated ' +
          'and blocks wait for the next one (RFC 7252 4.8.2). Unset: that of `coap.profile`.',
        unit: 'seconds',
        example: 100,
        since: '0.1.0',
      }),
    acknowledge_after: z
      .number()
      .min(0.01)
      .max(10)
      .optional()
      .register(documentation, {
        doc:
          'A confirmable request that is not answered by then gets an empty acknowledgement, and a separate response later ' +
          '(RFC 7252 5.2.2). Unset: that of `coap.profile`.',
        unit: 'seconds',
        example: 0.05,
        since: '0.1.0',
      }),
    notification_interval: z
      .number()
      .min(0)
      .max(3600)
      .optional()
      .register(documentation, {
        doc:
          'Non-confirmable notifications to a device whose round-trip time is not known are on average so far apart; those ' +
          'beyond that are confirmable, which tells the time (RFC 7641 4.5.1). 0 sends all as they come. Unset: that of ' +
          '`coap.profile`.',
        unit: 'seconds',
        example: 3,
        since: '0.1.0',
      }),
    observer_check: whole(1, 86_400).default(86_400).register(documentation, {
      doc: 'At least one notification in this time is confirmable, so that devices that are gone are noticed (RFC 7641 4.5).',
      unit: 'seconds',
      since: '0.1.0',
    }),
    echo: z
      .enum(['auto', 'off'])
      .default('auto')
      .register(documentation, {
        doc:
          'With `auto`, a device that has not shown that it is where its datagrams say gets at most three times the bytes ' +
          'that it sent; a larger answer is 4.01 with the option Echo (RFC 9175 2.4). This machine itself, DTLS and TCP have ' +
          'nothing to show. `off` answers everybody.',
        since: '0.1.0',
      }),
    max_payload: whole(16, 268_435_455).default(MIB).register(documentation, {
      doc: 'Largest payload put together from blocks (RFC 7959).',
      unit: 'bytes',
      since: '0.1.0',
    }),
    block_size: z.literal([16, 32, 64, 128, 256, 512, 1024]).default(1024).register(documentation, {
      doc: 'Largest block that the broker sends (RFC 7959 2.2). A device can ask for smaller ones.',
      unit: 'bytes',
      since: '0.1.0',
    }),
    observers: whole(0, 10_000_000).default(10_000).register(documentation, {
      doc: 'Observations of all devices together, for each address that CoAP listens on (RFC 7641).',
      since: '0.1.0',
    }),
    observers_per_client: whole(0, 10_000_000).default(100).register(documentation, {
      doc: 'Observations of one device.',
      since: '0.1.0',
    }),
    clients: whole(1, 16_777_216).default(65_536).register(documentation, {
      doc: 'Devices that each address that CoAP listens on remembers; idle ones are forgotten for new ones.',
      since: '0.1.0',
    }),
    exchanges: whole(1, 10_000_000).default(16_384).register(documentation, {
      doc: 'Requests of all devices together that wait for their answer. A further one is answered with 5.03.',
      since: '0.1.0',
    }),
    exchanges_per_client: whole(1, 10_000_000).default(1_024).register(documentation, {
      doc: 'Requests of one device that wait for their answer. A further one is answered with 5.03.',
      since: '0.1.0',
    }),
    separate_responses: whole(1, 10_000_000).default(16_384).register(documentation, {
      doc: 'Separate responses to all devices together that are not acknowledged. A further one is dropped.',
      since: '0.1.0',
    }),
    separate_responses_per_client: whole(1, 10_000_000).default(64).register(documentation, {
      doc: 'Separate responses to one device that are not acknowledged. A further one is dropped.',
      since: '0.1.0',
    }),
    request_bodies: whole(1, 10_000_000).default(1_024).register(documentation, {
      doc: 'Payloads that are being put together from blocks. The oldest one goes for a further one.',
      since: '0.1.0',
    }),
    request_bytes: whole(4 * KIB, Number.MAX_SAFE_INTEGER)
      .default(16 * MIB)
      .register(documentation, {
        doc: 'Memory for payloads that are being put together from blocks. The oldest ones go for a further one.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    response_bodies: whole(1, 10_000_000).default(1_024).register(documentation, {
      doc: 'Answers that are kept until a device has asked for all their blocks. The oldest one goes for a further one.',
      since: '0.1.0',
    }),
    response_bytes: whole(4 * KIB, Number.MAX_SAFE_INTEGER)
      .default(16 * MIB)
      .register(documentation, {
        doc: 'Memory for answers that are kept for their next blocks. The oldest ones go for a further one.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    deduplication_bytes: whole(256 * KIB, Number.MAX_SAFE_INTEGER)
      .default(16 * MIB)
      .register(documentation, {
        doc:
          'Memory for the answers that repeated requests get again (RFC 7252 4.5), for each address that CoAP listens on; ' +
          'rounded down to a power of two.',
        unit: 'bytes',
        since: '0.1.0',
      }),
    notification: z
      .enum(['auto', 'con', 'non'])
      .default('auto')
      .register(documentation, {
        doc:
          'Notifications to observers: `con` confirmable, `non` non-confirmable, `auto` confirmable for QoS 1 and 2 ' +
          'messages and non-confirmable for QoS 0 ones.',
        since: '0.1.0',
      }),
    commands: z.array(command).default([]).register(documentation, {
      doc: 'Messages that become requests to CoAP devices; docs/coap.md has the fields and an example.',
      type: 'a list of commands',
      since: '0.1.0',
    }),
    commands_in_flight: whole(1, 1_000_000)
      .default(1_000)
      .register(documentation, {
        doc:
          'Requests to all devices together that are under way or wait for their turn. A message beyond it is not sent: ' +
          'the failure `limit` is published in place of its response.',
        unit: 'messages',
        since: '0.1.0',
      }),
    commands_per_device: whole(1, 1_000_000).default(16).register(documentation, {
      doc: 'The same for the requests to one device, of which one is in flight at a time (NSTART, RFC 7252 4.7).',
      unit: 'messages',
      since: '0.1.0',
    }),
    mappings: z
      .array(mapping)
      .default([])
      .register(documentation, {
        doc:
          'Further resources for topics, a list: `{path: /s/{device}/{metric}, topic: devices/{device}/{metric}}` with ' +
          '`methods`, `qos`, `retain`, `content_format` and `convert` if they are to differ; docs/coap.md has them all. ' +
          'The first path that matches counts.',
        type: 'a list of mappings with path and topic',
        since: '0.1.0',
      }),
    waiting_notifications: whole(1, 1_000_000)
      .default(100)
      .register(documentation, {
        doc:
          'Topics of one wildcard observation whose newest message waits until the device has acknowledged the last ' +
          'notification. Beyond it the topic that has waited longest is dropped.',
        unit: 'messages',
        since: '0.1.0',
      }),
    connections: whole(0, 10_000_000)
      .default(10_000)
      .register(documentation, {
        doc:
          'Devices with a connection (`mqtt/connection`, or DTLS) at once, for each address that CoAP listens on. A ' +
          'further one is refused with 5.03.',
        unit: 'connections',
        since: '0.1.0',
      }),
    heartbeat: whole(1, 86_400)
      .default(30)
      .register(documentation, {
        doc:
          'How often a device with a connection has to say something, at the least. After one and a half times as long a ' +
          'connection of `mqtt/connection` ends; one of DTLS does so only while it observes nothing.',
        unit: 'seconds',
        since: '0.1.0',
      }),
    session_expiry: whole(1, 0xff_ff_ff_fe)
      .default(86_400)
      .register(documentation, {
        doc:
          'How long messages wait for a durable observation (`session=NAME`) whose device is gone; ' +
          '`mqtt.session_expiry_max` bounds it.',
        unit: 'seconds',
        since: '0.1.0',
      }),
    insecure_password: z
      .boolean()
      .default(false)
      .register(documentation, {
        doc:
          'Whether a device may send its password in a query without DTLS, where anyone on its way can read it. If not, ' +
          'such a request is refused with 4.01.',
        since: '0.1.0',
      }),
    pubsub_path: z
      .string()
      .regex(/^[^/?#\s]+(\/[^/?#\s]+)*$/)
      .default('pubsub')
      .register(documentation, {
        doc:
          'Path of the topic collection of draft-ietf-core-coap-pubsub. What is below it is not a topic of `coap.path`; ' +
          'let the two differ.',
        type: 'a path without / at its ends',
        since: '0.1.0',
      }),
    pubsub_content_format: whole(0, 65_535)
      .default(606)
      .register(documentation, {
        doc:
          'Content-Format of `application/core-pubsub+cbor`, the configurations of topics. The draft asks for 606, which ' +
          'is not assigned yet.',
        since: '0.1.0',
      }),
    pubsub_topics: whole(0, 10_000).default(1000).register(documentation, {
      doc: 'Topics in the collection of draft-ietf-core-coap-pubsub. A further one is answered with 5.03, and counted.',
      since: '0.1.0',
    }),
    pubsub_publications_per_second: whole(1, 1_000_000)
      .optional()
      .register(documentation, {
        doc:
          'Publications a second of one device on data of that collection; one second’s worth may come at once. A further ' +
          'one is answered with 4.29, and with the seconds to wait as its Max-Age. Unset: any number.',
        example: 100,
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'The CoAP front door.', since: '0.1.0' });

const sys = z
  .strictObject({
    interval: whole(0, 86_400).default(10).register(documentation, {
      doc: 'Time between two publications of the `$SYS/broker/...` topics. 0 publishes none.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  })
  .prefault({})
  .register(documentation, { doc: 'The `$SYS` topics.', since: '0.1.0' });

const log = z
  .strictObject({
    level: z.enum(['error', 'warn', 'info', 'debug']).default('info').register(documentation, {
      doc: 'The least important messages that are logged. `-v` on the command line means `debug`.',
      since: '0.1.0',
    }),
    format: z.enum(['auto', 'pretty', 'json']).default('auto').register(documentation, {
      doc: '`pretty` lines for people, `json` lines for machines; `auto` is `pretty` on a terminal and `json` elsewhere.',
      since: '0.1.0',
    }),
  })
  .prefault({})
  .register(documentation, { doc: 'The log, on standard output.', since: '0.1.0' });

/** The whole configuration. Unknown keys are faults. */
export const configSchema = z.strictObject({
  listeners,
  allow_anonymous: z
    .boolean()
    .optional()
    .register(documentation, {
      doc:
        'Whether clients without user name may connect. Unset: only to listeners on loopback, and only while ' +
        '`access.password_file` and `access.scram_file` are unset. `true` lets a listener on any other address start ' +
        'without credentials.',
      example: true,
      since: '0.1.0',
    }),
  access,
  data_dir: text().default('./data').register(documentation, {
    doc: 'Folder of the store; created if it is missing. A relative path starts at the working directory.',
    since: '0.1.0',
  }),
  store,
  mqtt,
  limits,
  coap,
  sys,
  log,
});

/** A complete, valid configuration. */
export type Config = z.output<typeof configSchema>;
/** One entry of `listeners`. */
export type ListenerConfig = Config['listeners'][number];
export type ListenerType = ListenerConfig['type'];
/** The options that decide who may connect where. */
export type ExposureConfig = Pick<Config, 'listeners' | 'allow_anonymous' | 'access'>;
