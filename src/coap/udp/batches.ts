/** What `batches.c` exports, where it was built: on Linux with a C compiler. */
import { loadNative } from '../native.js';

/** A socket of `batches.c`. */
export type NativeSocket = { readonly native: unique symbol };

export interface Batches {
  /** Gives it the tables, once. */
  use(inBytes: Buffer, inRows: Uint32Array, outBytes: Buffer, outRows: Uint32Array, failures: Uint32Array): void;
  /** Whether a text is an IP address, which then stands in the row. */
  parse(address: string, row: Uint32Array): boolean;
  /** The address of a row in text form, with the zone of a link-local one. */
  format(row: Uint32Array): string;
  /**
   * @param receiveBuffer bytes asked for the kernel's receive buffer
   * @param onBatch told of so many datagrams in the table, or with -1 of an error that the socket has reported
   * @param onWritable told that there is room again, if it is watched for
   * @throws Error with the system's code
   */
  open(
    address: string,
    port: number,
    receiveBuffer: number,
    onBatch: (count: number) => void,
    onWritable: () => void,
  ): [socket: NativeSocket, address: string, port: number];
  /** @returns how many of the first rows are done with; for the next one there is no room */
  send(socket: NativeSocket, count: number): number;
  watch(socket: NativeSocket, writable: 0 | 1): void;
  receiveBuffer(socket: NativeSocket): number;
  close(socket: NativeSocket): void;
}

/** Null where it was not built, and Node's own sockets have to do. */
export const BATCHES = loadNative<Batches>(new URL('./batches.node', import.meta.url));
