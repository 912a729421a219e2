import { ReasonCode } from './reason-codes.js';

/** A packet that breaks the protocol. */
export class WireError extends Error {
  /** MQTT 5.0 reason code for CONNACK or DISCONNECT. */
  readonly reasonCode: number;

  constructor(reasonCode: number, message: string) {
    super(message);
    this.name = 'WireError';
    this.reasonCode = reasonCode;
  }
}

/** Throws `WireError` 0x81: the bytes cannot be read as the specification lays them out (MQTT 5.0 1.2). */
export function malformed(message: string): never {
  throw new WireError(ReasonCode.MalformedPacket, message);
}

/** Throws `WireError` 0x82: the bytes can be read, and say what they must not (MQTT 5.0 1.2). */
export function protocolError(message: string): never {
  throw new WireError(ReasonCode.ProtocolError, message);
}
