/**
 * Asks a server over HTTP whether a client may connect: POST with JSON. Whatever goes wrong, nobody is let in by it.
 */
import { isUtf8 } from 'node:buffer';
import { Questions, type QuestionsOptions } from '../questions.js';
import {
  type Answer,
  type Backend,
  type BackendCounts,
  type Candidate,
  IGNORED,
  textsOf,
  WebFailure,
} from './backend.js';
import type { WebAnswer, WebClient } from './web-client.js';

export interface HttpLoginsOptions extends QuestionsOptions {
  readonly url: string;
  /** Shown to the server as a bearer token (RFC 6750 2.1); null for none. */
  readonly token: string | null;
  /** Seconds for which an answer that allows, and one that does not, are known. */
  readonly cache: number;
  readonly deniedCache: number;
}

const OPTION = 'access.http_url';
/** The versions of MQTT by their numbers. */
const PROTOCOLS: Readonly<Record<number, string>> = { 3: 'mqtt 3.1', 4: 'mqtt 3.1.1', 5: 'mqtt 5.0' };

export class HttpLogins implements Backend {
  readonly by = 'http';
  readonly #options: HttpLoginsOptions;
  readonly #client: WebClient;
  readonly #counts: () => BackendCounts;
  readonly #now: () => number;
  readonly #questions: Questions<Answer>;

  /** @param now milliseconds since the epoch */
  constructor(
    options: HttpLoginsOptions,
    client: WebClient,
    counts: () => BackendCounts,
    now: () => number = Date.now,
  ) {
    this.#options = options;
    this.#client = client;
    this.#counts = counts;
    this.#now = now;
    this.#questions = new Questions(options, (answer) => this.#lifetime(answer), now);
  }

  async ask(candidate: Candidate, wanted: () => boolean): Promise<Answer> {
    // Who says nothing of itself is a matter of allow_anonymous.
    if (candidate.username === undefined) return IGNORED;
    const { username, password = null, clientId, remote, transport, version } = candidate;
    const parts = [username, password, clientId, addressIn(remote), transport, String(version)];
    const key = this.#questions.keyOf(parts);
    const known = this.#questions.recall(key);
    if (known !== undefined) {
      this.#counts().httpLoginsRemembered++;
      return known;
    }
    const answer = this.#questions.put(key, wanted, () => this.#ask(candidate));
    if (answer === 'busy') {
      const reason = 'too many questions to the server of logins wait';
      return { outcome: 'unavailable', busy: true, option: 'access.http_queue', reason };
    }
    try {
      return (await answer) ?? IGNORED;
    } catch (error) {
      const reason = `the server of logins cannot say who a client is: ${(error as Error).message}`;
      return { outcome: 'unavailable', busy: false, option: OPTION, reason };
    }
  }

  async #ask(candidate: Candidate): Promise<Answer> {
    const { url, token } = this.#options;
    const counts = this.#counts();
    counts.httpLogins++;
    try {
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(token === null ? null : { authorization: `Bearer ${token}` }),
      };
      const body = JSON.stringify(questionOf(candidate));
      const answer = answerOf(await this.#client.ask({ url, method: 'POST', headers, body }));
      const isOver = answer.outcome === 'allow' && answer.grant.expiresAt <= this.#now();
      return isOver ? deniedBy('expire_at is over') : answer;
    } catch (error) {
      counts.httpLoginFailures++;
      throw error;
    }
  }

  #lifetime(answer: Answer): number {
    const { cache, deniedCache } = this.#options;
    if (answer.outcome !== 'allow') return deniedCache * 1000;
    return Math.min(cache * 1000, answer.grant.expiresAt - this.#now());
  }

  /** What was asked before is answered yet. */
  close(): void {
    this.#questions.whenIdle(() => this.#client.close());
  }
}

/** The address of a client without its port. */
function addressIn(remote: string): string {
  return remote.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

function questionOf({ username, password, clientId, remote, transport, version }: Candidate): object {
  const readable = password === undefined || isUtf8(password);
  return {
    username,
    password: readable ? (password?.toString('utf8') ?? null) : null,
    ...(readable ? null : { password_base64: password?.toString('base64') }),
    clientid: clientId,
    address: addressIn(remote),
    listener: transport,
    protocol: PROTOCOLS[version] ?? 'coap',
  };
}

/**
 * What a server has said.
 * @throws WebFailure if that is nothing that anybody may be let in or refused for
 */
export function answerOf({ status, body }: WebAnswer): Answer {
  if (status === 204) return allowed({});
  if (status === 401 || status === 403) return deniedBy(`status ${status}`);
  if (status !== 200) throw new WebFailure(`it answers with status ${status}`);
  const said = parse(body);
  switch (said.result) {
    case 'allow':
      return allowed(said);
    case 'deny':
      return deniedBy('its answer');
    case 'ignore':
      return IGNORED;
    default:
      throw new WebFailure('the result in its answer is none of allow, deny, ignore');
  }
}

function deniedBy(what: string): Answer {
  return { outcome: 'deny', by: 'http', reason: `the server of logins refuses the client: ${what}` };
}

function parse(body: Buffer): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(body.toString('utf8'));
    if (typeof said === 'object' && said !== null) return said as Record<string, unknown>;
  } catch {
    throw new WebFailure('its answer is not JSON');
  }
  throw new WebFailure('its answer is no JSON object');
}

/** @throws WebFailure if what it says besides cannot be understood: it may be what bounds a client's rights */
function allowed({ is_superuser: superuser = false, groups = [], expire_at: end }: Record<string, unknown>): Answer {
  if (typeof superuser !== 'boolean') throw new WebFailure('is_superuser in its answer is neither true nor false');
  if (!Array.isArray(groups) || textsOf(groups).length !== groups.length) {
    throw new WebFailure('groups in its answer is no list of names');
  }
  if (end !== undefined && (typeof end !== 'number' || end <= 0)) {
    throw new WebFailure('expire_at in its answer is no number of seconds since the epoch');
  }
  const expiresAt = end === undefined ? Number.POSITIVE_INFINITY : end * 1000;
  return { outcome: 'allow', grant: { by: 'http', username: null, groups: textsOf(groups), superuser, expiresAt } };
}
