/** The journal as log lines: one line per connection, disconnection, denial and limit. */
import type { Logger } from 'pino';
import { TextMap } from '../bus/text-map.js';
import type { Journal, Party } from '../session/journal.js';
import type { Outage } from '../store/commit.js';
import { VERSION_NAMES } from '../wire/protocol.js';

/** Characters of anything that a client has chosen; of longer texts the log has the beginning. */
const MOST_CHARACTERS = 256;

/** What happens to one client a thousand times a second is one line a second with a count. */
const INTERVAL = 1000;

interface Throttled {
  since: number;
  suppressed: number;
}

export class JournalLog implements Journal {
  readonly #logger: Logger;
  /** By what happens, and to whom: two looks take less than one for a text put together from both. */
  readonly #throttled = new Map<string, TextMap<Throttled>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  connected(party: Party, kept: boolean, sessionPresent: boolean, keepalive: number): void {
    const session = sessionPresent ? 'session resumed' : kept ? 'new session to be kept' : 'new session';
    this.#logger.info({ ...fields(party), keepalive }, `${name(party)} connected from ${party.remote}: ${session}`);
  }

  disconnected(party: Party, reason: string): void {
    this.#logger.info({ ...fields(party), reason }, `${name(party)} disconnected: ${reason}`);
  }

  refused(party: Party, reason: string): void {
    this.#logger.warn({ ...fields(party), reason }, `connection from ${party.remote} refused: ${reason}`);
  }

  /**
   * One line for each, so that programs that watch the log can count. Its beginning is a promise (docs/authentication.md): what
   * a client has chosen stands behind it.
   */
  loginFailed(party: Party, username: string | null, method: string): void {
    const address = party.remote.replace(/^\[?(.*?)\]?:\d+$/, '$1');
    const user = username === null ? {} : { username: short(username) };
    const client = party.id === '' ? {} : { client: short(party.id) };
    this.#logger.warn(
      { event: 'login_failed', address, transport: party.transport, method, ...user, ...client },
      `login failed: address ${address} transport ${party.transport} method ${method}` +
        `${username === null ? '' : ` user ${JSON.stringify(short(username))}`}`,
    );
  }

  denied(party: Party, action: string, topic: string, reason: string): void {
    const again = this.#throttle(action, party.id);
    if (again === null) return;
    const shown = short(topic);
    this.#logger.warn(
      { ...fields(party), action, topic: shown, reason },
      `${name(party)} may not ${action} ${shown}: ${reason}${again}`,
    );
  }

  subscribed(party: Party, filter: string, qos: number): void {
    if (!this.#logger.isLevelEnabled('debug')) return;
    const shown = short(filter);
    this.#logger.debug(
      { ...fields(party), filter: shown, qos },
      `${name(party)} subscribed to ${shown} with QoS ${qos}`,
    );
  }

  unsubscribed(party: Party, filter: string): void {
    if (!this.#logger.isLevelEnabled('debug')) return;
    const shown = short(filter);
    this.#logger.debug({ ...fields(party), filter: shown }, `${name(party)} unsubscribed from ${shown}`);
  }

  limit(party: Party | null, option: string, detail: string): void {
    const again = this.#throttle(option, party?.id ?? '');
    if (again === null) return;
    const who = party === null ? {} : fields(party);
    const shown = short(detail);
    this.#logger.warn({ ...who, option, detail: shown }, `limit ${option}: ${shown}${again}`);
  }

  /** How many lines of this kind were left out before this one, in words; null if this one is left out too. */
  #throttle(what: string, whom: string): string | null {
    const now = Date.now();
    let throttled = this.#throttled.get(what);
    if (throttled === undefined) {
      throttled = new TextMap();
      this.#throttled.set(what, throttled);
    }
    const known = throttled.get(whom);
    if (known !== undefined && now - known.since < INTERVAL) {
      known.suppressed++;
      return null;
    }
    if (throttled.size > 1000) throttled.clear();
    throttled.set(whom, { since: now, suppressed: 0 });
    if (known === undefined || known.suppressed === 0) return '';
    return ` (and ${known.suppressed} times since the last line)`;
  }

  storeFailed(error: unknown): void {
    this.#storeError(`the store failed, acknowledgements wait: ${reasonOf(error)}`);
  }

  internalFault(error: unknown, held: boolean): void {
    const again = this.#throttle('internal fault', '');
    if (again === null) return;
    const effect = held ? ', nothing is written and acknowledgements wait' : '';
    const words = error instanceof Error ? error.message : String(error);
    this.#logger.error({ err: error }, `internal fault of the broker${effect}: ${words}${again}`);
  }

  storeDamaged(sentence: string): void {
    this.#logger.error({ option: 'store' }, sentence);
  }

  storeTorn(sentence: string): void {
    this.#logger.info(sentence);
  }

  storeSilent(seconds: number): void {
    this.#storeError(`the store has not answered for ${seconds} s, acknowledgements wait`);
  }

  #storeError(sentence: string): void {
    const again = this.#throttle('store', '');
    if (again !== null) this.#logger.error({ option: 'store' }, `${sentence}${again}`);
  }

  storeRecovered({ faulty, milliseconds, refused }: Outage): void {
    const seconds = Math.round(milliseconds / 100) / 10;
    const what = faulty ? 'the internal fault is over: changes are written again' : 'the store works again';
    const words = `${what} after ${seconds} s; ${refused} packets were refused meanwhile`;
    this.#logger.warn({ seconds, refused }, words);
  }

  syncFailed(error: unknown): void {
    const again = this.#throttle('store.sync', '');
    if (again === null) return;
    const words = 'a timed sync failed: until one succeeds, a power cut loses what was acknowledged since the last one';
    this.#logger.error({ option: 'store.sync' }, `${words}: ${reasonOf(error)}${again}`);
  }

  syncRecovered(milliseconds: number): void {
    const seconds = Math.round(milliseconds / 100) / 10;
    const words = `timed syncs work again after ${seconds} s`;
    this.#logger.warn({ option: 'store.sync', seconds }, words);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** A text as it is, or its beginning. */
function short(text: string): string {
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}… (${text.length} characters)`;
}

function name(party: Party): string {
  const user = party.username === null ? '' : ` (user ${JSON.stringify(short(party.username))})`;
  return `client ${JSON.stringify(short(party.id))}${user}`;
}

function fields(party: Party): object {
  return {
    client: short(party.id),
    remote: party.remote,
    transport: party.transport,
    ...(party.username === null ? {} : { username: short(party.username) }),
    ...(party.version === 0 ? {} : { version: VERSION_NAMES[party.version] ?? party.version }),
  };
}
