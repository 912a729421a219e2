/** A trace of a broker in memory, and its lines. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { SubjectKind } from '../../src/admin/tracing/subject.js';
import { TracedJournal } from '../../src/admin/tracing/traced-journal.js';
import { Traces } from '../../src/admin/tracing/traces.js';
import type { Broker, BrokerOptions } from '../../src/broker.js';
import { SILENT } from '../../src/session/journal.js';
import { Tracing } from '../../src/session/tracing.js';
import type { Engine } from './engine.js';

const MOST_TURNS = 1000;

/** Options of a broker that tells what it tells its journal to traces, too. */
export function traced(options: BrokerOptions = {}): BrokerOptions {
  const tracing = new Tracing();
  return { ...options, tracing, journal: new TracedJournal(options.journal ?? SILENT, tracing) };
}

const known = new WeakMap<Broker, Traces>();

/** Those of a broker that have no bound. */
function tracesOf(broker: Broker): Traces {
  const traces = known.get(broker) ?? new Traces(broker, () => Number.POSITIVE_INFINITY);
  known.set(broker, traces);
  return traces;
}

export interface Line {
  readonly event: string;
  readonly client?: string | null;
  readonly packet?: string;
  readonly [field: string]: unknown;
}

/** Whoever reads a trace. */
export class Follower extends Writable {
  readonly #end: () => void;
  readonly #waiting: Line[] = [];
  /** All that has come. */
  text = '';
  #stalled: (() => void) | null = null;
  #stalls = false;

  /** @param payloadBytes of payloads that are shown */
  constructor({ broker }: Engine, kind: SubjectKind, value: string, payloadBytes = 0, traces = tracesOf(broker)) {
    super();
    this.#end = traces.begin({ kind, value }, payloadBytes, this);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const text = String(chunk);
    this.text += text;
    for (const line of text.split('\n').slice(0, -1)) this.#waiting.push(JSON.parse(line) as Line);
    if (this.#stalls) this.#stalled = done;
    else done();
  }

  /** Takes nothing more until `resume`. */
  stall(): void {
    this.#stalls = true;
  }

  resume(): void {
    this.#stalls = false;
    this.#stalled?.();
    this.#stalled = null;
  }

  /** The next line of this event, and of this packet if one is named; those before it are passed over. */
  async next(event: string, packet?: string): Promise<Line> {
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      while (this.#waiting.length > 0) {
        const line = this.#waiting.shift()!;
        if (line.event === event && (packet === undefined || line.packet === packet)) return line;
      }
      await turn();
    }
    return assert.fail(`no line ${event} ${packet ?? ''} among:\n${this.text}`);
  }

  /** Lines that have come and were not asked for, once everything has had its turn. */
  async rest(): Promise<Line[]> {
    for (let turns = 0; turns < 20; turns++) await turn();
    return this.#waiting.splice(0);
  }

  /** Goes; the trace ends. */
  leave(): void {
    this.#end();
    this.end();
  }
}

/** The fields of a line besides those that say when and whose it is. */
export function fieldsOf({
  time: _time,
  client: _client,
  username: _user,
  address: _at,
  transport: _by,
  ...line
}: Line): object {
  return line;
}
