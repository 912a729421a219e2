/** `coap`. */
import { z } from 'zod';
import { command } from './coap-commands.js';
import { registeredDevices } from './coap-devices.js';
import { mapping } from './coap-mappings.js';
import { observation } from './coap-observations.js';
import { transportOptions } from './coap-transports.js';
import { documentation, KIB, MIB, whole } from './documentation.js';

/** Segments without / at their ends. */
const path = () => z.string().regex(/^[^/?#\s]+(\/[^/?#\s]+)*$/);

export const coap = z
  .strictObject({
    path: path().default('ps').register(documentation, {
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
      doc: 'ACK_TIMEOUT: the shortest wait before the first retransmission (RFC 7252 4.8) to a device whose round-trip time is not known. Unset: that of `coap.profile`.',
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
          'that it sent; a larger answer is 4.01 with the option Echo (RFC 9175 2.4). This machine itself and TCP have nothing ' +
          'to show, DTLS only when its address has changed (RFC 9146 6). `off` answers everybody.',
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
    clients: whole(1, 16_777_216)
      .default(65_536)
      .register(documentation, {
        doc:
          'Devices that each address that CoAP listens on remembers, and anonymous ones that it counts among the clients; idle ' +
          'ones are forgotten for new ones.',
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
      doc: 'Messages that become requests to CoAP devices; docs/coap-commands.md has the fields and an example.',
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
    observations: z.array(observation).default([]).register(documentation, {
      doc: 'Resources of CoAP devices whose states are published; docs/coap-commands.md has the fields and an example.',
      type: 'a list of observations',
      since: '0.1.0',
    }),
    ...registeredDevices,
    mappings: z
      .array(mapping)
      .default([])
      .register(documentation, {
        doc:
          'Further resources for topics, a list: `{path: /s/{device}/{metric}, topic: sensors/{device}/{metric}}` with ' +
          '`methods`, `qos`, `retain`, `content_format` and `convert` if they are to differ; docs/coap.md has them all. ' +
          'The first path that matches counts.',
        type: 'a list of mappings with path and topic',
        since: '0.1.0',
      }),
    listed: whole(1, 60_000)
      .default(1_000)
      .register(documentation, {
        doc:
          'Most retained values in the answer to a topic filter, and most topics in a list of links. Beyond it the list is ' +
          'cut; that of a filter says so.',
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
    tell_publisher: z
      .boolean()
      .default(false)
      .register(documentation, {
        doc:
          'Whether a device that reads or observes a topic filter is told the client identifier of who has published each ' +
          'message, as `publisher`. Subscribers of MQTT never are.',
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
          'Whether a device may send its password in a query without DTLS or TLS, where anyone on its way can read it. If not, ' +
          'such a request is refused with 4.01.',
        since: '0.1.0',
      }),
    ...transportOptions,
    pubsub_path: path()
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
          'Publications a second from one address and port, DTLS association or connection on data of that collection; one ' +
          'second’s worth may come at once. A further one is answered with 4.29, and with the seconds to wait as its Max-Age. ' +
          'Unset: any number.',
        example: 100,
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'The CoAP front door.', since: '0.1.0' });
