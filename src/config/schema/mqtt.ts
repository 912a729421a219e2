/** `mqtt`. */
import { z } from 'zod';
import { documentation, KIB, text, whole } from './documentation.js';

export const mqtt = z
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
    connect_timeout: whole(1, 3600)
      .default(10)
      .register(documentation, {
        doc:
          'Time that a new connection has until it is accepted, and a client to authenticate again. Up to 30 s in which its ' +
          'password waits to be checked do not count.',
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
