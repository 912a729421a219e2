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
