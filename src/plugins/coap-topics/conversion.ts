/** JSON (RFC 8259) to CBOR (RFC 8949) and back, as far as both can say the same. */
import { decode, encode } from 'cborg';

/** Bytes of the largest payload that is converted: a larger one would keep others waiting. */
export const MOST_CONVERTED = 65_536;

/** Converts a payload. @throws Error if it is not what it should be, or says what the other form cannot */
export type Converter = (payload: Buffer) => Buffer;

export const jsonToCbor: Converter = (payload) => Buffer.from(encode(JSON.parse(UTF8.decode(payload))));

export const cborToJson: Converter = (payload) => {
  const value: unknown = decode(payload, { allowBigInt: false, allowUndefined: true });
  return Buffer.from(JSON.stringify(value, plain) ?? 'null');
};

/** Bytes become base64url (RFC 8949 6.1); numbers without a JSON form become null, as JSON.stringify has it. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64url');
  return value === undefined ? null : value;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
