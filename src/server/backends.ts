/** The back-ends of authentication that a configuration names, in the order in which they are asked: tokens, then HTTP. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import {
  type Answer,
  type Backend,
  type BackendCounts,
  type Candidate,
  IGNORED,
  noCounts,
} from '../access/backends/backend.js';
import { readAuthorities } from '../access/certificate.js';
import { readAll } from '../access/every-fault.js';
import { decodeBase64, readSecurityFile } from '../access/security-file.js';
import type { Config } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';

// Their libraries take 20 MB and a tenth of a second, which nobody else has to pay for.
const httpLogins = () => import('../access/backends/http-logins.js');
const jwks = () => import('../access/backends/jwks.js');
const tokens = () => import('../access/backends/tokens.js');
const webClient = () => import('../access/backends/web-client.js');

type Access = Config['access'];

/** Most bytes of a set of keys, and of an answer about a client. */
const MOST_KEYS = 1_048_576;
const MOST_ANSWER = 65_536;

const nothing = Promise.resolve(null);

/** Those in force; a reload puts others in their place. */
export class Backends {
  #list: readonly Backend[];
  /** Where they count. */
  counts: BackendCounts = noCounts();

  constructor(list: readonly Backend[] = []) {
    this.#list = list;
  }

  /** @param make as `readBackends` gives it */
  static of(make: MakeBackends): Backends {
    const backends = new Backends();
    backends.replace(make);
    return backends;
  }

  get size(): number {
    return this.#list.length;
  }

  has(by: Backend['by']): boolean {
    return this.#list.some((backend) => backend.by === by);
  }

  /** Asks one after the other until one has decided. */
  async ask(candidate: Candidate, wanted: () => boolean): Promise<Answer> {
    for (const backend of this.#list) {
      const answer = await backend.ask(candidate, wanted);
      if (answer.outcome !== 'ignore') return answer;
    }
    return IGNORED;
  }

  replace(make: MakeBackends): void {
    this.close();
    this.#list = make({ counts: () => this.counts, now: Date.now });
  }

  close(): void {
    for (const backend of this.#list) backend.close();
  }
}

/** What back-ends need of the process. */
export interface Surroundings {
  /** Where they count, asked each time. */
  readonly counts: () => BackendCounts;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Makes back-ends of what was read. */
export type MakeBackends = (around: Surroundings) => readonly Backend[];
type Make = (around: Surroundings) => Backend;

/**
 * Reads the files that back-ends need. Nothing is asked of any server.
 * @throws PorticoError `PORTICO_CONFIGURATION` or `PORTICO_SECURITY_FILE` with a line for each fault
 */
export async function readBackends({ access }: Pick<Config, 'access'>): Promise<MakeBackends> {
  const made = await readAll(readTokens(access), readHttpLogins(access));
  return (around) => made.flatMap((make) => make?.(around) ?? []);
}

async function readHttpLogins(access: Access): Promise<Make | null> {
  const { http_url: url, http_token_file: tokenFile } = access;
  if (url === undefined) return null;
  const [ca, token] = await readAll(
    readCas('access.http_ca_file', access.http_ca_file),
    tokenFile === undefined ? nothing : readBearer(tokenFile),
  );
  const web = { ca, timeout: access.http_timeout * 1000, connections: access.http_concurrency, most: MOST_ANSWER };
  const options = {
    url,
    token,
    concurrency: access.http_concurrency,
    queue: access.http_queue,
    cache: access.http_cache,
    deniedCache: access.http_denied_cache,
  };
  const [{ HttpLogins }, { WebClient }] = await Promise.all([httpLogins(), webClient()]);
  return ({ counts, now }) => new HttpLogins(options, new WebClient(web), counts, now);
}

const SOURCES = ['jwt_secret_file', 'jwt_jwks_file', 'jwt_jwks_url'] as const;

async function readTokens(access: Access): Promise<Make | null> {
  const named = SOURCES.filter((name) => access[name] !== undefined).map((name) => `access.${name}`);
  if (named.length === 0) return null;
  if (named.length > 1) throw misconfigured(`${named.join(' and ')}: there can be one of them`);
  const [{ Tokens }, { RemoteKeys, readJwksFile }] = await Promise.all([tokens(), jwks()]);
  const algorithms = await algorithmsOf(access, named[0]);
  const options = {
    algorithms,
    issuer: access.jwt_issuer,
    audience: access.jwt_audience,
    usernameClaim: access.jwt_username_claim,
    matchUsername: access.jwt_match_username,
    claims: access.jwt_claims.map((claim) => {
      const at = claim.indexOf('=');
      return { name: claim.slice(0, at), value: claim.slice(at + 1) };
    }),
    groupsClaim: access.jwt_groups_claim,
    leeway: access.jwt_leeway,
    requireExpiry: access.jwt_require_expiry,
    disconnectAfterExpiry: access.jwt_disconnect_after_expiry,
  };
  const { jwt_secret_file: secretFile, jwt_jwks_file: file, jwt_jwks_url: url = '' } = access;
  if (secretFile !== undefined || file !== undefined) {
    const key = secretFile === undefined ? await readJwksFile(file ?? '') : await readSecret(secretFile, algorithms);
    return ({ now }) => new Tokens({ ...options, key }, now);
  }
  const ca = await readCas('access.jwt_jwks_ca_file', access.jwt_jwks_ca_file);
  const { WebClient } = await webClient();
  const web = { ca, timeout: access.jwt_jwks_timeout * 1000, connections: 1, most: MOST_KEYS };
  return ({ counts, now }) => {
    const client = new WebClient(web);
    const key = new RemoteKeys(url, client, access.jwt_jwks_cache * 1000, counts, now).keyOf;
    return new Tokens({ ...options, key }, now, () => client.close());
  };
}

/** A token says itself how it is signed: what verifies it must be of one kind, or a public key could be taken for a secret. */
async function algorithmsOf(
  { jwt_algorithms: named, jwt_secret_file: secret }: Access,
  source: string,
): Promise<readonly string[]> {
  const { KEY_ALGORITHMS, SECRET_ALGORITHMS } = await tokens();
  const possible: readonly string[] = secret === undefined ? KEY_ALGORITHMS : SECRET_ALGORITHMS;
  if (named.length === 0) return secret === undefined ? KEY_ALGORITHMS : ['HS256'];
  for (const name of named) {
    if (!possible.includes(name)) {
      throw misconfigured(`access.jwt_algorithms: ${name} is not for ${source}, which is for ${possible.join(', ')}`);
    }
  }
  return named;
}

function misconfigured(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, sentence);
}

/** What stands in a file of one line. */
async function readLine(file: string, kind: string): Promise<string> {
  const text = (await readSecurityFile(file, kind, file, true)).toString('utf8').replace(/\r?\n$/, '');
  if (text === '') throw new PorticoError(ErrorKinds.SecurityFile, `${file}: the ${kind} is empty`);
  if (/[\r\n]/.test(text)) throw new PorticoError(ErrorKinds.SecurityFile, `${file}: the ${kind} has one line`);
  return text;
}

async function readSecret(file: string, algorithms: readonly string[]): Promise<KeyObject> {
  const text = await readLine(file, 'secret of tokens');
  const bytes = text.startsWith('base64:') ? decodeBase64(text.slice(7)) : Buffer.from(text);
  if (bytes === null) {
    throw new PorticoError(ErrorKinds.SecurityFile, `${file}: what stands behind base64: is not base64`);
  }
  // RFC 7518 3.2
  const longest = algorithms.reduce((most, name) => Math.max(most, Number(name.slice(2)) / 8), 0);
  if (bytes.length < longest) {
    const sentence = `${file}: the secret of tokens has ${bytes.length} bytes, and needs ${longest} for HS${longest * 8}`;
    throw new PorticoError(ErrorKinds.SecurityFile, sentence);
  }
  return createSecretKey(bytes);
}

async function readBearer(file: string): Promise<string> {
  const token = await readLine(file, 'token of the broker');
  // RFC 6750 2.1
  if (/^[\w.~+/-]+=*$/.test(token)) return token;
  const sentence = `${file}: the token of the broker has characters that no bearer token may have`;
  throw new PorticoError(ErrorKinds.SecurityFile, sentence);
}

async function readCas(option: string, file: string | undefined): Promise<Buffer | null> {
  if (file === undefined) return null;
  await readAuthorities({ option, file });
  return readSecurityFile(file, 'file of CAs');
}
