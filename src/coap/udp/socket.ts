/** A bound UDP socket. */
export interface UdpSocket {
  readonly address: string;
  readonly port: number;
  /** Bytes of the kernel's receive buffer. */
  readonly receiveBuffer: number;
  /**
   * Sends `bytes[offset, offset + length)`; the bytes are the caller's again when this returns.
   * @returns whether that failed already
   */
  send(bytes: Buffer, offset: number, length: number, port: number, address: string): boolean;
  close(): Promise<void>;
}

/** What a socket tells. */
export interface UdpEvents {
  /** The bytes are handed over. */
  datagram(bytes: Buffer, source: UdpSource): void;
  /** So many datagrams could not be sent, later than when they were given. */
  lost(count: number): void;
  /** The socket has reported an error. */
  error(): void;
}

export interface UdpSource {
  /** With the zone of a link-local one. */
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

export interface UdpPlace {
  /** IP address. */
  readonly address: string;
  /** 0 chooses one. */
  readonly port: number;
  /** Bytes asked for the kernel's receive buffer; it may grant less. */
  readonly receiveBuffer: number;
}
