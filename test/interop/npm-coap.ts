/** The npm package `coap` as client: an implementation of CoAP that shares no code with the broker's. */
import { once } from 'node:events';
import { Agent, type CoapRequestParams, type IncomingMessage, ObserveReadStream, request } from 'coap';
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
    const [response] = (await once(message, 'response', { signal: AbortSignal.timeout(15_000) })) as [IncomingMessage];
    return { code: response.code, payload: response.payload, headers: response.headers };
  } finally {
    agent.close();
  }
}

/** An observation; notifications arrive in `values`. */
export class CoapObserver {
  readonly #agent: Agent;
  readonly #stream: ObserveReadStream;
  /** Payloads as text: the answer to the registration, then notifications. */
  readonly values: Inbox<string>;

  private constructor(agent: Agent, stream: ObserveReadStream, values: Inbox<string>) {
    this.#agent = agent;
    this.#stream = stream;
    this.values = values;
  }

  static async start(port: number, pathname: string, confirmable = true): Promise<CoapObserver> {
    const agent = new Agent({ type: 'udp4' });
    const message = request({ host: '127.0.0.1', port, method: 'GET', pathname, agent, confirmable, observe: true });
    message.end();
    const [stream] = (await once(message, 'response', { signal: AbortSignal.timeout(15_000) })) as [IncomingMessage];
    if (!(stream instanceof ObserveReadStream)) throw new Error(`the observation was answered with ${stream.code}`);
    const values = new Inbox<string>(`observer of ${pathname}`);
    stream.on('data', (payload: Buffer) => values.put(payload.toString()));
    return new CoapObserver(agent, stream, values);
  }

  /** Cancels the observation with Observe 1 (RFC 7641 3.6). */
  async end(): Promise<void> {
    const closed = once(this.#agent, 'close');
    this.#stream.close(true);
    await closed;
  }
}
