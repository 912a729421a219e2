/** Options of listeners that MQTT comes by: what one of them asks of its clients, and gives them. */
import { z } from 'zod';
import { documentation, whole } from './documentation.js';

const LONGEST_PREFIX = 50;
const LONGEST_MOUNT = 1024;

/** What every listener of MQTT has. */
export const clientOptions = {
  allow_anonymous: z.boolean().optional().register(documentation, {
    doc: 'Whether clients without user name may connect to this listener of MQTT. Unset: as `allow_anonymous` of the top level says.',
    example: false,
    since: '0.1.0',
  }),
  max_connections: whole(1, 1_000_000)
    .optional()
    .register(documentation, {
      doc:
        'Clients that may be connected through this listener. One more is refused: CONNACK 0x89, return code 3 before MQTT 5.0. ' +
        'Unset: as many as `limits.connections` lets in.',
      unit: 'connections',
      example: 1000,
      since: '0.1.0',
    }),
  max_qos: whole(0, 2).optional().register(documentation, {
    doc: 'The highest QoS here; it cannot be more than `mqtt.max_qos`. Unset: that.',
    example: 1,
    since: '0.1.0',
  }),
  protocol_versions: z
    .array(z.literal([3, 4, 5]))
    .min(1)
    .optional()
    .register(documentation, {
      doc: 'The versions of MQTT that are spoken here: 3 is 3.1, 4 is 3.1.1, 5 is 5.0. Unset: all of them.',
      type: 'a list of 3, 4 and 5',
      example: '[4, 5]',
      since: '0.1.0',
    }),
  mount_point: z
    .string()
    .refine(
      (prefix) => /^(?!\$)[^+#\p{Cc}]*\/$/u.test(prefix) && prefix.isWellFormed() && prefix.length <= LONGEST_MOUNT,
    )
    .optional()
    .register(documentation, {
      doc:
        'What stands before every topic and filter of the clients of this listener, wills among them; the clients do not see ' +
        'it. Access control lists have the full topics. Unset: nothing.',
      type: 'the beginning of a topic, without wildcards, that ends with /',
      example: 'site-7/',
      since: '0.1.0',
    }),
  use_username_as_clientid: z
    .boolean()
    .optional()
    .register(documentation, {
      doc:
        'Whether the user name of a client is its client identifier, whatever it says in CONNECT, so that no client takes over ' +
        'the session of another user; one without user name is refused. Unset: it is not.',
      example: true,
      since: '0.1.0',
    }),
  allow_empty_client_id: z
    .boolean()
    .optional()
    .register(documentation, {
      doc:
        'Whether clients of MQTT 3.1.1 and 5.0 may come without a client identifier, and get one. Otherwise they are refused: CONNACK ' +
        '0x85, return code 2 before MQTT 5.0. Unset: they may.',
      example: false,
      since: '0.1.0',
    }),
  client_id_prefix: z
    .string()
    .refine((prefix) => prefix.length > 0 && prefix.isWellFormed() && !/\p{Cc}/u.test(prefix))
    .optional()
    .register(documentation, {
      doc:
        'What the client identifiers of clients have to begin with, generated ones too. Others are refused: CONNACK 0x87, return ' +
        'code 5 before MQTT 5.0. Unset: with anything.',
      type: 'text without control characters',
      example: 'secure-',
      since: '0.1.0',
    }),
  auto_id_prefix: z
    .string()
    .refine((prefix) => Buffer.byteLength(prefix) <= LONGEST_PREFIX && !/\p{Cc}/u.test(prefix))
    .optional()
    .register(documentation, {
      doc: 'What the identifiers begin with that clients get which have none of their own. Unset: `auto-`.',
      type: `text of at most ${LONGEST_PREFIX} bytes`,
      example: 'auto-',
      since: '0.1.0',
    }),
};

/** What a listener of MQTT has that binds addresses. */
export const bindOptions = {
  interface: z
    .string()
    .min(1)
    .optional()
    .register(documentation, {
      doc:
        'Name of a network interface: every address that it has is bound, in the place of `host`. (It is no SO_BINDTODEVICE: what ' +
        'comes by another interface for such an address is served.) Unset: `host` says where.',
      example: 'eth0',
      since: '0.1.0',
    }),
  ipv6_only: z.boolean().optional().register(documentation, {
    doc: 'Whether `::` is IPv6 alone. Unset: it is every address of IPv4, too.',
    example: true,
    since: '0.1.0',
  }),
};

/** An origin as browsers send it: scheme, host, and the port where it is not the usual one (RFC 6454 6.2). */
function isOrigin(text: string): boolean {
  return text === 'null' || /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@,]+$/i.test(text);
}

/** What a listener of WebSockets has. */
export const pageOptions = {
  origins: z
    .array(z.string().refine(isOrigin))
    .min(1)
    .optional()
    .register(documentation, {
      doc:
        'Origins of the pages whose scripts may connect; others get 403. Programs that are no browsers send none, and may ' +
        'connect. Unset: every page may.',
      type: 'a list of origins, such as https://example.org',
      example: '["https://example.org"]',
      since: '0.1.0',
    }),
};
