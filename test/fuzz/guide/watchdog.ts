/** Ends the process when one input takes for ever, and says which, and where it is: nobody else could. */
import { Worker } from 'node:worker_threads';

const MOST_INPUT = 1024 * 1024;
/** Milliseconds that one input may take. */
const PATIENCE = 30_000;

/** Runs in a thread of its own, since the one that hangs cannot. */
const WATCH = `
const { workerData: { shared, patience, save } } = require('node:worker_threads');
const { mkdirSync, writeFileSync, writeSync } = require('node:fs');
const { dirname } = require('node:path');
const { Session } = require('node:inspector');
const head = new Int32Array(shared, 0, 2);
let last = 0;
setInterval(() => {
  const count = Atomics.load(head, 0);
  if (count === 0 || count !== last) { last = count; return; }
  const input = Buffer.from(Buffer.from(shared, 8, head[1]));
  mkdirSync(dirname(save), { recursive: true });
  writeFileSync(save, input.toString('hex') + '\\n');
  writeSync(2, 'this input has not come to an end: ' + input.toString('hex') + '\\nsaved in ' + save + '\\n');
  const session = new Session();
  session.connectToMainThread();
  session.on('Debugger.paused', ({ params: { callFrames } }) => {
    const lines = callFrames.map(({ functionName, url, location }) =>
      '    at ' + functionName + ' (line ' + (location.lineNumber + 1) + ' of ' + url + ')\\n');
    writeSync(2, lines.join(''));
    process.kill(process.pid, 'SIGKILL');
  });
  session.post('Debugger.enable');
  session.post('Debugger.pause');
  // What waits for ever runs nothing, and has no place.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000);
}, patience);
`;

export class Watchdog {
  readonly #shared = new SharedArrayBuffer(8 + MOST_INPUT);
  readonly #head = new Int32Array(this.#shared, 0, 2);
  readonly #bytes = new Uint8Array(this.#shared, 8);
  readonly #worker: Worker;
  #count = 0;

  /** @param save the file into which an input without end is written */
  constructor(save: string) {
    const workerData = { shared: this.#shared, patience: PATIENCE, save };
    this.#worker = new Worker(WATCH, { eval: true, workerData });
    this.#worker.unref();
  }

  /** An input begins. */
  begin(input: Buffer): void {
    this.#bytes.set(input.subarray(0, MOST_INPUT));
    this.#head[1] = Math.min(input.length, MOST_INPUT);
    this.#count = (this.#count % 1_000_000_000) + 1;
    Atomics.store(this.#head, 0, this.#count);
  }

  /** Nothing is under way. */
  rest(): void {
    Atomics.store(this.#head, 0, 0);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
