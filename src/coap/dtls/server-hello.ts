/** The server's messages of the first flight, and HelloVerifyRequest. */
import type { ClientHello } from './client-hello.js';
import { connectionIdExtension, uint16, writeExtension } from './extensions.js';
import type { Choice } from './negotiation.js';
import { Extension, UNCOMPRESSED_POINTS, VERSION_1_0, VERSION_1_2 } from './protocol.js';

/**
 * ServerHello: no session is ever resumed, nothing compressed.
 * @param cid the server's Connection ID, if the client knows of them
 */
export function serverHello(hello: ClientHello, choice: Choice, random: Buffer, cid: Buffer | undefined): Buffer {
  const { suite, serverType, clientType } = choice;
  const extensions: Buffer[] = [];
  if (hello.secureRenegotiation) extensions.push(writeExtension(Extension.RenegotiationInfo, Buffer.from([0])));
  if (hello.extendedMasterSecret) extensions.push(writeExtension(Extension.ExtendedMasterSecret, Buffer.alloc(0)));
  // RFC 8422 5.2: only with a suite that uses points.
  if (hello.pointFormats !== undefined && suite.keyExchange === 'ecdhe-ecdsa') {
    extensions.push(writeExtension(Extension.EcPointFormats, Buffer.from([1, UNCOMPRESSED_POINTS])));
  }
  // RFC 7250 4.2: only to who has asked; that of the client only if it is asked for a certificate.
  if (hello.serverCertificateTypes !== undefined && serverType !== undefined) {
    extensions.push(writeExtension(Extension.ServerCertificateType, Buffer.from([serverType])));
  }
  if (hello.clientCertificateTypes !== undefined && clientType !== undefined) {
    extensions.push(writeExtension(Extension.ClientCertificateType, Buffer.from([clientType])));
  }
  if (cid !== undefined) extensions.push(writeExtension(Extension.ConnectionId, connectionIdExtension(cid)));
  const list = Buffer.concat(extensions);
  const body = [uint16(VERSION_1_2), random, Buffer.from([0]), uint16(suite.code), Buffer.from([0])];
  if (list.length > 0) body.push(uint16(list.length), list);
  return Buffer.concat(body);
}

/** ServerKeyExchange with an identity hint (RFC 4279 2). */
export function serverKeyExchange(hint: Buffer): Buffer {
  return Buffer.concat([uint16(hint.length), hint]);
}

/** HelloVerifyRequest. Its version is that of DTLS 1.0 whatever will be agreed on (RFC 6347 4.2.1). */
export function helloVerifyRequest(cookie: Buffer): Buffer {
  return Buffer.concat([uint16(VERSION_1_0), Buffer.from([cookie.length]), cookie]);
}
