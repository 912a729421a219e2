/** Certificates of clients over TLS: who shows a good one has its name, and nobody is served with a bad one. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { TlsCertificates, TlsSession } from '../../src/coap/tcp/tls-session.js';
import { TcpTransport } from '../../src/coap/tcp/transport.js';
import { Made, type Wish } from './dtls/certificates.js';

const DAY = 86_400_000;
/** TLS has no other clock. */
const VALID = { from: Date.now() - DAY, to: Date.now() + DAY };
const CA = new Made({ ...VALID, names: ['the CA'], ca: true });
const OTHER_CA = new Made({ ...VALID, names: ['another CA'], ca: true });
const SERVER = CA.issue({ ...VALID, names: ['server'] });

const pem = (...certificates: Buffer[]): string => certificates.map((der) => String(new X509Certificate(der))).join('');
const keyOf = ({ keys }: Made): string => String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
const shows = (made: Made): ConnectionOptions => ({ cert: pem(...made.chain), key: keyOf(made) });
const issued = (wish: Wish = {}): ConnectionOptions => shows(CA.issue({ ...VALID, ...wish }));

interface Server {
  readonly transport: TcpTransport;
  readonly sessions: TlsSession[];
  readonly events: string[];
  client(options?: ConnectionOptions): TLSSocket;
}

async function serve(context: TestContext, clients?: TlsCertificates['clients']): Promise<Server> {
  const sessions: TlsSession[] = [];
  const events: string[] = [];
  const transport = await TcpTransport.bind({
    address: '127.0.0.1',
    port: 0,
    tls: {
      cert: Buffer.from(pem(...SERVER.chain)),
      key: Buffer.from(keyOf(SERVER)),
      ...(clients === undefined ? null : { clients }),
    },
    onEvent: (name, _peer, detail) => events.push(`${name}: ${detail}`),
  });
  transport.onDatagram = (_bytes, { session }) => sessions.push(session as TlsSession);
  context.after(() => transport.close());
  return {
    transport,
    sessions,
    events,
    client(options) {
      const trust = { ca: pem(CA.der), checkServerIdentity: () => undefined };
      const socket = connect({ port: transport.port, host: '127.0.0.1', ...trust, ...options });
      socket.on('error', () => {});
      context.after(() => socket.destroy());
      return socket;
    },
  };
}

/** Sends a Capabilities and Settings Message and a GET; the session that comes with it. */
async function sessionOf(server: Server, socket: TLSSocket): Promise<TlsSession> {
  const { onDatagram } = server.transport;
  const came = new Promise<void>((resolve) => {
    server.transport.onDatagram = (bytes, source) => {
      onDatagram?.(bytes, source);
      resolve();
    };
  });
  socket.write(Buffer.from([0x00, 0xe1, 0x00, 0x01]));
  await came;
  return server.sessions.at(-1)!;
}

/** Everything that comes before the end of a connection. */
async function toTheEnd(socket: TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

const ASKED = { ca: [pem(CA.der)], required: false };
const REQUIRED = { ca: [pem(CA.der)], required: true };

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${maxVersion}: the identity is the common name of a good certificate; without one there is none`, async (context) => {
    for (const clients of [ASKED, REQUIRED]) {
      const server = await serve(context, clients);
      const session = await sessionOf(server, server.client({ maxVersion, ...issued({ usages: [2] }) }));
      assert.deepEqual([session.identity, session.proof], ['device', 'certificate']);
      assert.match(session.cipherSuite, /^TLS_/);
    }
    for (const clients of [ASKED, undefined]) {
      const server = await serve(context, clients);
      const options = clients === undefined ? issued() : {};
      const session = await sessionOf(server, server.client({ maxVersion, ...options }));
      assert.deepEqual([session.identity, session.proof], [undefined, 'none']);
    }
  });

  test(`${maxVersion}: a bad certificate, or none where one is required, ends the connection, which is told, counted and logged`, async (context) => {
    const refused = (code: string, subject: string): string => `client certificate refused: ${code}, "CN=${subject}"`;
    for (const [options, clients, reason] of [
      [{}, REQUIRED, 'no client certificate'],
      [shows(OTHER_CA.issue(VALID)), ASKED, refused('unable to verify leaf signature', 'device')],
      [
        shows(new Made({ ...VALID, names: ['the CA'], ca: true }).issue(VALID)),
        ASKED,
        refused('cert signature failure', 'device'),
      ],
      [issued({ to: Date.now() - DAY / 2 }), ASKED, refused('cert has expired', 'device')],
      [issued({ from: Date.now() + DAY / 2 }), REQUIRED, refused('cert not yet valid', 'device')],
      [issued({ usages: [1] }), ASKED, refused('invalid purpose', 'device')],
      [issued({ names: [] }), ASKED, 'no common name that could be an identity ""'],
      [issued({ names: ['a\u0007b'] }), ASKED, 'no common name that could be an identity "CN=a\\\\07b"'],
      [issued({ names: ['one', 'two'] }), ASKED, 'no common name that could be an identity "CN=one\\nCN=two"'],
    ] as const) {
      const server = await serve(context, clients);
      const said = await toTheEnd(server.client({ maxVersion, ...options }));
      assert.deepEqual(server.events, [`handshake-failed: ${reason}`]);
      // Capabilities and Settings first, then an Abort with words (RFC 8323 5.6).
      assert.equal(said[1], 0xe1);
      assert.ok(said.includes(reason), `${said}`);
      const { handshakesFailed, connectionsAccepted } = server.transport.counters;
      assert.deepEqual([handshakesFailed, connectionsAccepted, server.sessions.length], [1, 0, 0]);
    }
  });

  test(`${maxVersion}: with lists of revoked certificates, one on a list is refused, and so is one whose CA has no list in force`, async (context) => {
    const lost = CA.issue({ ...VALID, names: ['lost'] });
    const list = (ca: Made, until = VALID.to): string => {
      const base64 = ca.list([lost], { from: VALID.from, until }).toString('base64');
      return `-----BEGIN X509 CRL-----\n${base64.replace(/.{64}/g, '$&\n')}\n-----END X509 CRL-----\n`;
    };
    const good = await serve(context, { ...REQUIRED, crl: [list(CA)] });
    assert.equal((await sessionOf(good, good.client({ maxVersion, ...issued() }))).identity, 'device');
    for (const [crl, options, reason] of [
      [list(CA), shows(lost), 'cert revoked, "CN=lost"'],
      [list(CA, Date.now() - DAY / 2), issued(), 'crl has expired, "CN=device"'],
      [list(OTHER_CA), issued(), 'unable to get crl, "CN=device"'],
    ] as const) {
      for (const clients of [ASKED, REQUIRED]) {
        const server = await serve(context, { ...clients, crl: [crl] });
        await toTheEnd(server.client({ maxVersion, ...options }));
        assert.deepEqual(server.events, [`handshake-failed: client certificate refused: ${reason}`]);
      }
    }
  });

  test(`${maxVersion}: certificates between the device and the CA come with it, or stand with the CA`, async (context) => {
    const between = CA.issue({ ...VALID, names: ['between'], ca: true });
    const device = between.issue({ ...VALID, names: ['below'] });
    const server = await serve(context, REQUIRED);
    const session = await sessionOf(server, server.client({ maxVersion, ...shows(device) }));
    assert.equal(session.identity, 'below');
    const lower = await serve(context, { ca: [pem(between.der), pem(CA.der)], required: true });
    const alone = { cert: pem(device.der), key: keyOf(device) };
    assert.equal((await sessionOf(lower, lower.client({ maxVersion, ...alone }))).identity, 'below');
  });

  test(`${maxVersion}: a session that is resumed has the identity that its first handshake showed`, async (context) => {
    const server = await serve(context, REQUIRED);
    const first = server.client({ maxVersion, ...issued({ names: ['first'] }) });
    const tickets = once(first, 'session') as Promise<[Buffer]>;
    assert.equal((await sessionOf(server, first)).identity, 'first');
    const [session] = await tickets;
    first.destroy();
    const again = server.client({ maxVersion, session });
    assert.equal((await sessionOf(server, again)).identity, 'first');
    assert.ok(again.isSessionReused());
  });
}
