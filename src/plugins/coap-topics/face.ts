/** Resources that stand beside those of topics, on every address that CoAP listens on. */
import type { CoapExchange } from '../../coap/exchange.js';
import type { Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { SharedLine } from '../../coap/shared-line.js';
import type { InProcessClient } from '../plugin.js';

/** Such resources on one address. */
export interface Face {
  /** Handles a request for one of its paths; false if it is for another. */
  handle(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): boolean;
  /** Links for `/.well-known/core`. */
  links(): Iterable<Link>;
}

/** Whoever has them. */
export interface FaceOwner {
  /**
   * One more address is served.
   * @param line for requests to devices from the endpoint's own socket
   * @param via the address, `scheme://host:port`: TCP and UDP may have the same port
   * @param plain whether any UDP address can be reached through it; if not, only who has come by it
   */
  open(line: SharedLine, via: string, plain: boolean): Face;
}
