/** Requests to the servers that back-ends ask: bounded in time, size and number, and never redirected. */
import { Agent, request } from 'undici';
import { WebFailure } from './backend.js';

export interface WebClientOptions {
  /** Certificates of the CAs of an https server in PEM; null for those that Node.js knows. */
  readonly ca: Buffer | null;
  /** Milliseconds from the request to the end of its answer. */
  readonly timeout: number;
  /** Most connections at once. */
  readonly connections: number;
  /** Most bytes of an answer. */
  readonly most: number;
}

export interface WebRequest {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface WebAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export class WebClient {
  readonly #options: WebClientOptions;
  readonly #agent: Agent;

  constructor(options: WebClientOptions) {
    this.#options = options;
    const { ca, timeout, connections } = options;
    this.#agent = new Agent({ connections, connect: { timeout, ...(ca === null ? null : { ca }) } });
  }

  /** @throws WebFailure */
  async ask({ url, method, headers = {}, body }: WebRequest): Promise<WebAnswer> {
    const { timeout, most } = this.#options;
    try {
      // Without an interceptor for them, redirections are answers like any other.
      const answer = await request(url, {
        dispatcher: this.#agent,
        method,
        headers: { 'user-agent': 'portico', ...headers },
        body: body ?? null,
        signal: AbortSignal.timeout(timeout),
      });
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        length += chunk.length;
        // Leaving the loop closes the connection: nobody reads the rest.
        if (length > most) throw new WebFailure(`its answer is longer than ${most} bytes`);
        chunks.push(chunk);
      }
      return { status: answer.statusCode, body: Buffer.concat(chunks) };
    } catch (error) {
      throw error instanceof WebFailure ? error : new WebFailure(this.#wordsOf(error), { cause: error });
    }
  }

  #wordsOf(error: unknown): string {
    const { name, code, message } = error as NodeJS.ErrnoException;
    const isLate = name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT';
    if (isLate) return `it has not answered within ${this.#options.timeout / 1000} s`;
    return message === '' ? String(code) : message;
  }

  /** Takes no more requests, and ends its connections once those under way are answered. */
  close(): void {
    this.#agent.close().catch(() => {});
  }
}
