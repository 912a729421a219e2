/** Which characters of the compiled files have run, from V8's own block coverage. */
import { readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** Files that may be in a scope. */
const SEEN = /\/(src|node_modules\/(yaml|ws|liquidjs))\/[^:]*$/;

/** A compiled file. */
class Script {
  readonly source: string;
  /** By character: 1 if it has run. */
  readonly reached: Uint8Array;
  /** The same for one reading. */
  readonly reading: Uint8Array;
  /** The same for what ran when the file was loaded. */
  loaded: Uint8Array | null = null;

  constructor(url: string) {
    this.source = readFileSync(fileURLToPath(url), 'utf8');
    this.reached = new Uint8Array(this.source.length);
    this.reading = new Uint8Array(this.source.length);
  }

  /** Lines of code, but for those that run when the file is loaded, and those of them that have run. */
  lines(): { readonly all: number; readonly reached: number } {
    let all = 0;
    let reached = 0;
    let at = 0;
    for (const line of this.source.split('\n')) {
      const text = line.trimStart();
      const first = at + line.length - text.length;
      if (!/^$|^\/[/*]|^\*|^[})\]]|^export (class|function)/.test(text) && this.loaded?.[first] !== 1) {
        all++;
        reached += this.reached[first];
      }
      at += line.length + 1;
    }
    return { all, reached };
  }
}

/** Begins to count when it is made: only files that are loaded after that are seen block by block. */
export class Coverage {
  readonly #session = new Session();
  readonly #scripts = new Map<string, Script>();
  #scope: readonly string[] = [];

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Looks at files from now on whose path contains one of these parts; forgets what has run. */
  begin(scope: readonly string[]): void {
    this.take(true);
    for (const script of this.#scripts.values()) {
      script.loaded ??= Uint8Array.from(script.reached);
      script.reached.fill(0);
    }
    this.#scope = scope;
  }

  /** Reads what has run since the last reading; returns the characters that had not run before. */
  take(remember: boolean): number {
    let fresh = 0;
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error !== null) throw error;
      for (const script of result) fresh += this.#read(script, remember);
    });
    return fresh;
  }

  #read({ url, functions }: Profiler.ScriptCoverage, remember: boolean): number {
    if (!url.startsWith('file:') || !SEEN.test(url)) return 0;
    let script = this.#scripts.get(url);
    if (script === undefined) {
      script = new Script(url);
      this.#scripts.set(url, script);
    }
    const { reached, reading } = script;
    reading.fill(0);
    // What is inside of another function or block comes after it.
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) reading.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    }
    let fresh = 0;
    for (let i = 0; i < reading.length; i++) {
      if (reading[i] === 0 || reached[i] !== 0) continue;
      fresh++;
      if (remember) reached[i] = 1;
    }
    return this.#scope.some((part) => url.includes(part)) ? fresh : 0;
  }

  /** One line for each file in scope: lines of code that have run. */
  report(): string[] {
    return [...this.#scripts]
      .filter(([url]) => this.#scope.some((part) => url.includes(part)))
      .map(([url, script]) => {
        const { all, reached } = script.lines();
        const name = url.replace(/.*\/(src|node_modules)\//, '$1/');
        if (reached === 0) return '';
        return `${String(Math.round((100 * reached) / Math.max(1, all))).padStart(3)} %  ${name} (${reached} of ${all} lines)`;
      })
      .filter((line) => line !== '')
      .sort();
  }

  close(): void {
    this.#session.disconnect();
  }
}
