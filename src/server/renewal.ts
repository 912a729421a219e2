/**
 * Certificates, keys, CAs and lists of revoked ones, and secrets of back-ends, while the broker runs: their files are watched, read again once they have
 * changed, and put into force together or not at all. What speaks TLS or DTLS has a `Renewal` each; `Renewals` are all of them.
 */
import type { Logger } from 'pino';
import type { NamedFile } from '../access/certificate.js';
import { daysBetween, ExpiryNotice } from '../access/expiry.js';
import { FileWatch, type WatchEvents } from '../access/file-watch.js';
import type { Expiring, TlsFileNames, TlsFiles } from '../access/tls-files.js';
import type { Counters } from '../bus/counters.js';

/** Milliseconds between two looks at the time left, and at files in folders of which the system tells nothing. */
const LOOK = 3_600_000;

/** What files hold. */
export interface Renewable {
  /** When what can expire is past its time, in milliseconds since the epoch. */
  readonly ends: TlsFiles['ends'];
}

/** Where files are, and how they are read. */
export interface RenewalSource<Files extends Renewable> {
  /** What has them, for the log: `listeners.0`. */
  readonly path: string;
  /** What is renewed, in words: `certificates` without it. */
  readonly what?: string;
  readonly names: Partial<TlsFileNames>;
  /** Further files that are watched, and those of them that can be past their time. */
  readonly others?: readonly string[];
  readonly expiring?: Partial<Record<Expiring, NamedFile>>;
  /** Reads and tries all of them. Rejects with `PORTICO_SECURITY_FILE`. */
  read(): Promise<Files>;
  /** Whether files hold the same as others. */
  isSame(one: Files, other: Files): boolean;
}

/** Who is told. */
interface Telling {
  readonly logger: Logger;
  readonly counters: Counters;
}

/** The files of one listener, or of all devices that are asked. */
export class Renewal<Files extends Renewable> {
  #source: RenewalSource<Files>;
  #files: Files;
  readonly #renewed: (files: Files) => void;
  readonly #notices = new Map<Expiring, ExpiryNotice>();
  #watch: FileWatch | null = null;
  #telling: Telling | null = null;
  #reloading: Promise<void> = Promise.resolve();

  /** @param renewed told of new files, once they are in force */
  constructor(source: RenewalSource<Files>, files: Files, renewed: (files: Files) => void) {
    this.#source = source;
    this.#files = files;
    this.#renewed = renewed;
  }

  /** Those in force. */
  get files(): Files {
    return this.#files;
  }

  /** Looks at the files from now on. */
  async start(telling: Telling): Promise<void> {
    this.#telling = telling;
    this.#watch = this.#watchOf(telling);
    await this.#watch.arm();
    this.look(Date.now());
    // What has changed between the reading and this.
    void this.reload();
  }

  #watchOf({ logger }: Telling): FileWatch {
    const { path, names, others = [] } = this.#source;
    const { caFolder, ...single } = names;
    const named = Object.values<NamedFile | undefined>(single).flatMap((one) => one?.file ?? []);
    const events: WatchEvents = {
      changed: () => void this.reload(),
      failed: (folder, error) => {
        const sentence = `changes in ${folder} are noticed within an hour only: ${error.message}`;
        logger.warn({ listener: path, folder }, sentence);
      },
    };
    return new FileWatch([...named, ...others], events, caFolder === undefined ? [] : [caFolder.file]);
  }

  stop(): void {
    this.#watch?.close();
  }

  /** Reads the files again. A fault leaves the old ones in force, and is logged and counted. */
  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    const source = this.#source;
    try {
      await this.#watch?.arm();
      const files = await source.read();
      // Others may have been named meanwhile.
      if (source === this.#source) this.#take(files);
    } catch (error) {
      if (source === this.#source) this.#refused(error);
    }
  }

  #take(files: Files): void {
    if (this.#source.isSame(files, this.#files)) return;
    this.#files = files;
    this.#renewed(files);
    this.#tell(files);
  }

  #tell(files: Files): void {
    if (this.#telling === null) return;
    const { path, what = 'certificates' } = this.#source;
    const { logger, counters } = this.#telling;
    counters.certificatesRenewed++;
    const end = files.ends.cert_file;
    const until = end === undefined ? '' : `; the certificate is good until ${new Date(end).toISOString()}`;
    logger.info({ listener: path }, `${path}: new ${what} are in force${until}`);
    this.look(Date.now());
  }

  #refused(error: unknown): void {
    if (this.#telling === null) return;
    const { path, what = 'certificates' } = this.#source;
    const { logger, counters } = this.#telling;
    counters.certificatesRefused++;
    const words = error instanceof Error ? error.message : String(error);
    logger.error({ listener: path }, `${words}; the former ${what} stay in force`);
  }

  /** Takes the files of another configuration, which it has read; they are watched from then on. `renewed` is told in any case. */
  replace(other: Renewal<Files>): void {
    const files = other.#files;
    const same = other.#source.isSame(files, this.#files);
    // Its place in the other configuration may be another one.
    this.#source = { ...other.#source, path: this.#source.path };
    const former = this.#watch;
    if (this.#telling !== null) this.#watch = this.#watchOf(this.#telling);
    this.#files = files;
    this.#renewed(files);
    if (!same) this.#tell(files);
    // What has changed since it was read.
    void this.reload().then(() => former?.close());
  }

  /** Warns of what will soon be past its time. */
  look(now: number): void {
    const { names, expiring } = this.#source;
    const listed = { cert_file: names.cert, ca_file: names.ca ?? names.caFolder, crl_file: names.crl };
    const named: Partial<Record<Expiring, NamedFile | undefined>> = { ...listed, ...expiring };
    for (const [name, end] of Object.entries(this.#files.ends) as [Expiring, number][]) {
      const notice = this.#notices.get(name) ?? new ExpiryNotice(name);
      this.#notices.set(name, notice);
      const sentence = notice.due(end, now);
      const { option = name, file = '' } = named[name] ?? {};
      if (sentence !== null) {
        const daysLeft = daysBetween(now, end);
        this.#telling?.logger.warn({ option, daysLeft }, `${option}: ${file}: ${sentence}`);
      }
    }
  }
}

/** What is done with a renewal whatever its files hold. */
type AnyRenewal = Pick<Renewal<Renewable>, 'files' | 'start' | 'stop' | 'reload' | 'look'>;

/** All of one broker. */
export class Renewals {
  readonly #all: readonly AnyRenewal[];
  #timer: NodeJS.Timeout | null = null;

  constructor(all: readonly AnyRenewal[]) {
    this.#all = all;
  }

  /** Watches the files, and the time that they have left. */
  async start(logger: Logger, counters: Counters): Promise<void> {
    if (this.#all.length === 0) return;
    for (const renewal of this.#all) await renewal.start({ logger, counters });
    this.#timer = setInterval(() => {
      for (const renewal of this.#all) void renewal.reload().then(() => renewal.look(Date.now()));
    }, LOOK);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const renewal of this.#all) renewal.stop();
  }

  /** Days that the first certificate or list of all has left, by option; without an entry there is none. */
  daysLeft(now: number): Partial<Record<Expiring, number>> {
    const days: Partial<Record<Expiring, number>> = {};
    for (const { files } of this.#all) {
      for (const [name, end] of Object.entries(files.ends) as [Expiring, number][]) {
        days[name] = Math.min(days[name] ?? Number.POSITIVE_INFINITY, daysBetween(now, end));
      }
    }
    return days;
  }
}
