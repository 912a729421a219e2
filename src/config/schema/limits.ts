/** `limits`. */
import { z } from 'zod';
import { documentation, KIB, MIB, whole } from './documentation.js';

export const limits = z
  .strictObject({
    connections: whole(1, 10_000_000).default(100_000).register(documentation, {
      doc: 'Clients connected at once. Anonymous CoAP devices have no connection, and do not count.',
      unit: 'connections',
      since: '0.1.0',
    }),
    connections_per_address: whole(1, 10_000_000)
      .optional()
      .register(documentation, {
        doc:
          'Clients connected at once from one IP address, over TCP, TLS and WebSocket, CoAP over TCP and TLS among them; an ' +
          'IPv6 address stands for its /64. The CONNECT of a further one is refused (0x97, before MQTT 5.0 return code 3), ' +
          'unless it takes over a connection of that address; a CoAP device is refused with Abort. Twice as many ' +
          'connections, with those that have not said CONNECT, or what they can (RFC 8323 5.3), are all that stay open; ' +
          'further ones are closed at once. Unset: no bound.',
        unit: 'connections',
        example: 100,
        since: '0.1.0',
      }),
    connects_per_second: whole(1, 1_000_000)
      .optional()
      .register(documentation, {
        doc:
          'New connections that the broker reads from, over TCP and WebSocket, and for CoAP over TCP and TLS; as many may ' +
          'come at once after a second of rest. Further ones wait in the order in which they came, until ' +
          '`mqtt.connect_timeout` or `coap.tcp_open_time`. Unset: no bound.',
        unit: 'connections per second',
        example: 500,
        since: '0.1.0',
      }),
    pending_connections: whole(1, 10_000_000)
      .default(10_000)
      .register(documentation, {
        doc:
          'Connections that have not been accepted yet, of all listeners: no WebSocket yet, no CONNECT, still ' +
          'authenticating, or, for CoAP over TCP and TLS, no Capabilities and Settings Message (RFC 8323 5.3). Further ones ' +
          'are closed at once.',
        unit: 'connections',
        since: '0.1.0',
      }),
    lockout_entries: whole(100, 1_000_000)
      .default(10_000)
      .register(documentation, {
        doc:
          'Addresses, users, and users of an address, of each so many, whose failed logins are remembered; and bans. For a ' +
          'further one the one that has not failed for longest is forgotten, and counted.',
        unit: 'entries',
        since: '0.1.0',
      }),
    password_queue: whole(1, 10_000_000)
      .default(5000)
      .register(documentation, {
        doc:
          'Passwords that wait to be checked; the same password of one user counts once, however many clients send it. A ' +
          'client whose password would be one more is refused (0x89, before MQTT 5.0 return code 3).',
        unit: 'passwords',
        since: '0.1.0',
      }),
    traces: whole(1, 100).default(4).register(documentation, {
      doc: 'Traces at once (`portico trace`). One more is refused, and counted.',
      unit: 'traces',
      since: '0.1.0',
    }),
    messages_per_second: whole(1, 100_000_000)
      .optional()
      .register(documentation, {
        doc:
          'PUBLISH packets of one MQTT client; as many may come at once after a second of rest. A client that sends more ' +
          'is read more slowly; nothing is lost. A CoAP device is refused instead, with 4.29; devices without user name count ' +
          'together by their IP address, an IPv6 address by its /64. Unset: no bound.',
        unit: 'messages per second',
        example: 1000,
        since: '0.1.0',
      }),
    bytes_per_second: whole(1, Number.MAX_SAFE_INTEGER)
      .optional()
      .register(documentation, {
        doc:
          'Bytes from one MQTT client, counted by the chunk; as many may come at once after a second of rest. A client ' +
          'that sends more is read more slowly; nothing is lost. A CoAP device is refused instead, with 4.29, by the bytes of ' +
          'its payloads; devices without user name count together by their IP address, an IPv6 address by its /64. Unset: ' +
          'no bound.',
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
    queue_qos0: z
      .boolean()
      .default(false)
      .register(documentation, {
        doc:
          'Whether QoS 0 messages, too, wait for a client that is away and whose session is kept, in the same queue and by the ' +
          'same limits. They come at most once all the same: what may have been sent before a crash is not sent again.',
        since: '0.1.0',
      }),
    payload: whole(0, 268_435_455)
      .optional()
      .register(documentation, {
        doc:
          'Largest payload of a message. A larger one reaches nobody; its publisher is told 0x97 in MQTT 5.0 with QoS 1 and 2, ' +
          'and nothing otherwise. A will with a larger one is refused with its CONNECT (0x95, before MQTT 5.0 return code 3). ' +
          'Unset: any that `mqtt.max_packet_size` takes.',
        unit: 'bytes',
        example: 65_536,
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
