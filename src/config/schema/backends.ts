/** Of `access`: JSON Web Tokens, and the server that is asked over HTTP. */
import { z } from 'zod';
import { documentation, text, whole } from './documentation.js';

const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const;
const ELLIPTIC = ['ES256', 'ES384', 'ES512'] as const;

/** A URL of http or https without a user in it: what is secret has a file. */
function isWebUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === '';
}

const url = () => z.string().refine(isWebUrl).optional();
const URL_TYPE = 'a URL of https or http, without user and fragment';
const CA = 'in PEM, in the place of those that Node.js knows. A relative path starts at the working directory.';

export const tokens = {
  jwt_secret_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The secret of JSON Web Tokens (RFC 7519) that clients show as passwords, signed with HS256, HS384 or HS512; in base64 if it ' +
        'begins with `base64:`. It has as many bytes as the hash, or more. A file that everybody may read stops the start. A ' +
        'relative path starts at the working directory. Unset: no token is signed with a secret.',
      example: '/etc/portico/jwt-secret',
      since: '0.1.0',
    }),
  jwt_jwks_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The public keys of those who sign tokens, a JSON Web Key Set (RFC 7517); in the place of `access.jwt_secret_file`. A relative ' +
        'path starts at the working directory. Unset: there is no such file.',
      example: '/etc/portico/jwks.json',
      since: '0.1.0',
    }),
  jwt_jwks_url: url().register(documentation, {
    doc:
      'Where the keys are fetched from, in the place of a file: when a token first needs them, when they are old, and, every 10 s at ' +
      'most, when a token names a key that is not there. While they cannot be fetched, tokens are refused. Unset: nowhere.',
    type: URL_TYPE,
    example: 'https://id.example.org/.well-known/jwks.json',
    since: '0.1.0',
  }),
  jwt_jwks_ca_file: text()
    .optional()
    .register(documentation, {
      doc: `The CAs of the server of \`access.jwt_jwks_url\` ${CA} Unset: the CAs that Node.js knows.`,
      example: '/etc/portico/id-ca.pem',
      since: '0.1.0',
    }),
  jwt_jwks_timeout: whole(1, 30).default(5).register(documentation, {
    doc: 'How long a fetch of the keys may take.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  jwt_jwks_cache: whole(10, 86_400).default(600).register(documentation, {
    doc: 'Time after which the keys are fetched again.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  jwt_algorithms: z
    .array(z.enum([...ALGORITHMS, ...ELLIPTIC]))
    .default([])
    .register(documentation, {
      doc:
        'The algorithms that are taken; all of one kind, HS for a secret, the others for keys. An empty list: HS256 with a secret; with ' +
        'keys all of RS, PS and ES.',
      type: `a list of ${[...ALGORITHMS, ...ELLIPTIC].join(', ')}`,
      since: '0.1.0',
    }),
  jwt_issuer: text().optional().register(documentation, {
    doc: 'What the claim `iss` has to be. Unset: it is not looked at.',
    example: 'https://id.example.org',
    since: '0.1.0',
  }),
  jwt_audience: text().optional().register(documentation, {
    doc: 'What the claim `aud` has to be, or to have in its list. Unset: it is not looked at.',
    example: 'portico',
    since: '0.1.0',
  }),
  jwt_username_claim: text().default('sub').register(documentation, {
    doc: 'The claim that is the user name of the client from then on; with dots, one inside others.',
    since: '0.1.0',
  }),
  jwt_match_username: z.boolean().default(true).register(documentation, {
    doc: 'Whether a user name in CONNECT has to be that of the token. `false`: it is not looked at.',
    since: '0.1.0',
  }),
  jwt_claims: z
    .array(z.string().regex(/^[^=]+=.+$/s))
    .default([])
    .register(documentation, {
      doc:
        'Further claims that a token has to have, as `NAME=VALUE`; in the value `%u` stands for the user name and `%c` for the client ' +
        'identifier. A claim that is a list has to have the value in it.',
      type: 'a list of NAME=VALUE, such as "client_id=%c"',
      since: '0.1.0',
    }),
  jwt_groups_claim: text()
    .optional()
    .register(documentation, {
      doc:
        'The claim with the groups of the client, a list or a text with spaces between them: those that `access.acl` has under these ' +
        'names give it their roles. Unset: a token says nothing about groups.',
      example: 'realm_access.roles',
      since: '0.1.0',
    }),
  jwt_leeway: whole(0, 300).default(5).register(documentation, {
    doc: 'How far the clock of whoever signs may be from that of the broker, for `exp` and `nbf`.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  jwt_require_expiry: z.boolean().default(true).register(documentation, {
    doc: 'Whether a token without `exp` is refused, which would be good for ever.',
    since: '0.1.0',
  }),
  jwt_disconnect_after_expiry: z.boolean().default(true).register(documentation, {
    doc: 'Whether a client is disconnected (0x87) when the token that it came with expires.',
    since: '0.1.0',
  }),
};

export const httpLogins = {
  http_url: url().register(documentation, {
    doc:
      'The server that is asked, with POST and JSON, about users that neither the password file nor a token has decided on; ' +
      'docs/authentication.md has what is sent and answered. Nobody is let in if it cannot answer. Unset: nobody is asked.',
    type: URL_TYPE,
    example: 'http://127.0.0.1:8080/mqtt/login',
    since: '0.1.0',
  }),
  http_ca_file: text()
    .optional()
    .register(documentation, {
      doc: `The CAs of the server of \`access.http_url\` ${CA} Unset: the CAs that Node.js knows.`,
      example: '/etc/portico/login-ca.pem',
      since: '0.1.0',
    }),
  http_token_file: text()
    .optional()
    .register(documentation, {
      doc:
        'A file with the token that shows the server who asks, as `Authorization: Bearer`. A file that everybody may read stops the ' +
        'start. A relative path starts at the working directory. Unset: no token is shown.',
      example: '/etc/portico/login-token',
      since: '0.1.0',
    }),
  http_timeout: whole(1, 30).default(5).register(documentation, {
    doc: 'How long the server may take for an answer.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  http_concurrency: whole(1, 1000).default(20).register(documentation, {
    doc: 'Questions to the server at once; the others wait.',
    unit: 'questions',
    since: '0.1.0',
  }),
  http_queue: whole(0, 1_000_000).default(5000).register(documentation, {
    doc: 'Questions that wait; a client beyond it is told to come again (CONNACK 0x89, return code 3 before MQTT 5.0; CoAP 5.03).',
    unit: 'questions',
    since: '0.1.0',
  }),
  http_cache: whole(0, 3600).default(60).register(documentation, {
    doc: 'Time for which an answer that lets a client in is good for the same question. Passwords are not kept. 0: each is asked.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  http_denied_cache: whole(0, 60).default(5).register(documentation, {
    doc: 'The same for an answer that does not let it in.',
    unit: 'seconds',
    since: '0.1.0',
  }),
};
