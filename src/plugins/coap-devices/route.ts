/** The way to a device: a client on the socket that the device talked to, and where the device is. */
import type { CoapClient } from '../../coap/client/client.js';
import { peerKey } from '../../coap/client/peers.js';
import type { ClientRequest } from '../../coap/client/request.js';
import type { DatagramAddress } from '../../coap/transport.js';

export interface Route {
  readonly client: CoapClient;
  readonly address: DatagramAddress;
}

/** What tells the device from others there. */
export function peerOf({ address }: Route): string {
  return peerKey(address);
}

/** A line that loses nothing acknowledges nothing (RFC 8323 2.2). */
export function overLine(request: ClientRequest, { address }: Route): ClientRequest {
  return address.reliable === true ? { ...request, confirmable: false } : request;
}
