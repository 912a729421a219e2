/** The extensions of hello messages (RFC 5246 7.4.1.4). */
import { FieldReader } from './fields.js';
import { Alert, Extension } from './protocol.js';

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function writeExtension(type: number, data: Buffer): Buffer {
  return Buffer.concat([uint16(type), uint16(data.length), data]);
}

/** connection_id (RFC 9146 3). */
export function connectionIdExtension(cid: Buffer): Buffer {
  return Buffer.concat([Buffer.from([cid.length]), cid]);
}

/** What ends a hello message, as views by type; or the alert that it deserves. */
export function readExtensions(reader: FieldReader): Map<number, Buffer> | number {
  const extensions = new Map<number, Buffer>();
  if (reader.left > 0) {
    const list = new FieldReader(reader.vector(2));
    while (list.left > 0 && !list.failed) {
      const type = list.uint(2);
      const data = list.vector(2);
      if (extensions.has(type)) return Alert.IllegalParameter;
      extensions.set(type, data);
    }
    if (list.failed) return Alert.DecodeError;
  }
  return reader.failed || reader.left > 0 ? Alert.DecodeError : extensions;
}

/** What both hello messages say in the same form. */
export interface CommonExtensions {
  readonly extendedMasterSecret: boolean;
  /** The sender knows RFC 5746. */
  readonly secureRenegotiation: boolean;
  /** The Connection ID that the sender wants on records to it; undefined if it does not know RFC 9146. */
  readonly connectionId: Buffer | undefined;
}

/** Reads them, as views; or the alert that they deserve. */
export function readCommonExtensions(extensions: ReadonlyMap<number, Buffer>): CommonExtensions | number {
  const renegotiation = extensions.get(Extension.RenegotiationInfo);
  // RFC 5746 3.4, 3.6: empty in the first handshake of a connection, and there is no other.
  if (renegotiation !== undefined && !(renegotiation.length === 1 && renegotiation[0] === 0)) {
    return Alert.HandshakeFailure;
  }
  const master = extensions.get(Extension.ExtendedMasterSecret);
  if (master !== undefined && master.length > 0) return Alert.DecodeError;
  const cid = extensions.get(Extension.ConnectionId);
  if (cid !== undefined && (cid.length === 0 || cid[0] !== cid.length - 1)) return Alert.DecodeError;
  return {
    extendedMasterSecret: master !== undefined,
    secureRenegotiation: renegotiation !== undefined,
    connectionId: cid?.subarray(1),
  };
}
