/** Servers with certificates for the tests, and what becomes of clients that they refuse. */
import assert from 'node:assert/strict';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { CA, FROM, SERVER } from './certificates.js';
import { type ClientOptions, DtlsBench, ECDSA_CCM, ECDSA_CCM_8, ECDSA_GCM } from './client.js';

export const NOON = FROM + 86_400_000;
export const SUITES = [ECDSA_CCM_8, ECDSA_CCM, ECDSA_GCM] as const;
export const DEVICE = CA.issue();

/** A server with certificates and no keys. */
export function bench(more: Partial<DtlsOptions> = {}): DtlsBench {
  return new DtlsBench({ psk: undefined, certificate: SERVER.credential, ...more });
}

/** One that asks its clients for certificates. */
export function asking(required = true, more: Partial<DtlsOptions> = {}): DtlsBench {
  return bench({ clientCertificates: { ca: [CA.x509], required, now: () => NOON }, ...more });
}

export function sessionOf(server: DtlsBench): DtlsSession {
  return { ...(server.received.at(-1)!.source.session as DtlsSession) };
}

/** What becomes of a client that is not to be served: its one alert, and the words for the operator. */
export function refused(server: DtlsBench, options: ClientOptions): { alert: number; words: string } {
  const client = server.client(1, { suites: SUITES, ...options });
  client.start();
  server.deliver();
  assert.ok(!client.connected);
  assert.equal(client.alerts.length, 1);
  const [[epoch, level, alert]] = client.alerts;
  assert.deepEqual([epoch, level], [0, 2]);
  assert.deepEqual(server.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(server.dtls.counters.handshakesFailed, 1);
  assert.equal(server.dtls.counters.internalErrors, 0);
  assert.equal(server.events.length, 1);
  return { alert, words: server.events[0].replace('handshake-failed 1 ', '') };
}
