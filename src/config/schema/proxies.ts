/** Options of listeners with a proxy in front of them. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { documentation } from './documentation.js';

/** An address, or one with the bits of its network behind it. */
function isNetwork(text: string): boolean {
  const [address, bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** What every listener that serves clients of TCP has. */
export const trustedProxies = {
  trusted_proxies: z
    .array(z.string().refine(isNetwork))
    .min(1)
    .optional()
    .register(documentation, {
      doc:
        'The proxies whose word about their clients counts: in a PROXY header, and over HTTP in X-Forwarded-For. With it the ' +
        'listener counts as one that other machines reach. Unset: there are none.',
      type: 'a list of addresses and networks, such as 10.0.0.0/8',
      example: '["10.0.0.0/8"]',
      since: '0.1.0',
    }),
};

/** What a listener of MQTT has that speaks the PROXY protocol. */
export const proxyProtocol = {
  proxy_protocol: z
    .enum(['v1', 'v2', 'any'])
    .optional()
    .register(documentation, {
      doc:
        'The version of the PROXY header with which each connection has to begin, before TLS if there is any; `any` is either. ' +
        'What comes from none of `trusted_proxies` is closed. Unset: there is no such header.',
      example: 'v2',
      since: '0.1.0',
    }),
  proxy_require_tls: z.boolean().optional().register(documentation, {
    doc: 'Whether a client is refused unless the PROXY header, version 2, says that it speaks TLS to the proxy. Unset: it is not.',
    example: true,
    since: '0.1.0',
  }),
  proxy_require_certificate: z
    .boolean()
    .optional()
    .register(documentation, {
      doc:
        'Whether a client is refused unless the PROXY header, version 2, says that it has shown the proxy a certificate which the ' +
        'proxy has found good. Unset: it is not.',
      example: true,
      since: '0.1.0',
    }),
  proxy_username_from: z
    .enum(['identity', 'connect'])
    .optional()
    .register(documentation, {
      doc:
        'Who a client is that has shown its proxy a good certificate. `identity`: the common name that the PROXY header, version 2, ' +
        'says is its user name, whatever CONNECT says, and it needs no password. Unset: `connect`, the user name and password of ' +
        'CONNECT are asked for.',
      example: 'identity',
      since: '0.1.0',
    }),
};
