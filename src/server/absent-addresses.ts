/** Addresses and interfaces that this machine does not have, or does not have yet. */
import { bindAddresses } from '../config/listeners.js';
import type { ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/** Whether binding failed because this machine has no such address. */
export function isAbsent(error: unknown): boolean {
  if (!(error instanceof PorticoError) || !(error.cause instanceof Error) || !('code' in error.cause)) return false;
  return error.cause.code === 'EADDRNOTAVAIL' || error.cause.code === 'EAFNOSUPPORT';
}

/** Why nothing of a listener can be bound yet: its interface has no address. */
export function missingInterface(listener: ListenerConfig): PorticoError | null {
  if (!('interface' in listener) || listener.interface === undefined || bindAddresses(listener).length > 0) return null;
  const words = `cannot listen for ${listener.type} on ${listener.interface}: it has no address, or there is no such interface`;
  return new PorticoError(ErrorKinds.Listen, words);
}
