/** The npm package `coap` as client: an implementation of CoAP that shares no code with the broker's. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  Agent,
  type CoapRequestParams,
  type IncomingMessage,
  ObserveReadStream,
  type OutgoingMessage,
  request,
} from 'coap';
import { Inbox } from './inbox.js';

export interface CoapResponse {
  /** `2.05` and the like. */
  readonly code: string;
  readonly payload: Buffer;
  readonly headers: IncomingMessage['headers'];
}

/** `/ps/` and the topic, as `pathname` of a request; the package splits it at each "/" and decodes nothing. */
export const topicPath = (topic: string): string => `/ps/${topic}`;

/** Sends one request from a socket of its own. Blocks are put together by the package. */
export async function exchange(
  port: number,
  method: 'GET' | 'PUT' | 'POST' | 'DELETE',
  pathname: string,
  options: Partial<CoapRequestParams> & { readonly payload?: string | Buffer } = {},
): Promise<CoapResponse> {
  const { payload, ...params } = options;
  const agent = new Agent({ type: 'udp4' });
  try {
    const message = request({ host: '127.0.0.1', port, method, pathname, agent, ...params });
    message.end(payload);
    const response = await responseTo(message);
    return { code: response.code, payload: response.payload, headers: response.headers };
  } finally {
    agent.close();
  }
}

/** An observation; notifications arrive in `values`. */
export class CoapObserver {
  readonly #params: CoapRequestParams;
  readonly #socket: Socket;
  /** Payloads as text: the answer to the registration, then notifications. */
  readonly values: Inbox<string>;

  private constructor(params: CoapRequestParams, socket: Socket, values: Inbox<string>) {
    this.#params = params;
    this.#socket = socket;
    this.values = values;
  }

  static async start(port: number, pathname: string, confirmable = true): Promise<CoapObserver> {
    // An agent with a socket of its own would close that before it cancels the observation.
    const socket = createSocket('udp4').unref();
    const agent = new Agent({ type: 'udp4', socket });
    const params = {
      host: '127.0.0.1',
      port,
      method: 'GET',
      pathname,
      agent,
      confirmable,
      token: randomBytes(8),
    } as const;
    const message = request({ ...params, observe: true });
    message.end();
    const stream = await responseTo(message);
    if (!(stream instanceof ObserveReadStream)) throw new Error(`the observation was answered with ${stream.code}`);
    const values = new Inbox<string>(`observer of ${pathname}`);
    stream.on('data', (payload: Buffer) => values.put(payload.toString()));
    return new CoapObserver(params, socket, values);
  }

  /** Cancels the observation with Observe 1 and the same token (RFC 7641 3.6); the answer is an ordinary one. */
  async end(): Promise<void> {
    const message = request({ ...this.#params, observe: 1 });
    message.end();
    try {
      const response = await responseTo(message);
      assert.equal(response.code, '2.05');
      assert.equal(response.headers.Observe, undefined);
    } finally {
      this.#socket.close();
    }
  }
}

async function responseTo(message: OutgoingMessage): Promise<IncomingMessage> {
  const [response] = (await once(message, 'response', { signal: AbortSignal.timeout(15_000) })) as [IncomingMessage];
  return response;
}
