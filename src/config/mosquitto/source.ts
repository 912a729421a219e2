/** A mosquitto.conf as plain values for the schema that know their lines. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Path } from '../options.js';
import type { Fault, Place, Source } from '../source.js';
import { fileReason } from '../unreadable.js';
import type { Draft } from './draft.js';
import { leftBehind } from './left-behind.js';
import { type Files, Reader } from './reader.js';
import { translate } from './translation.js';

function orSentence<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${path} cannot be read: ${fileReason(error)}`, { cause: error });
  }
}

const DISK: Files = {
  read: (path) => orSentence(path, () => readFileSync(path, 'utf8')),
  list: (folder) => orSentence(folder, () => readdirSync(folder)),
};

export class MosquittoSource implements Source {
  readonly name: string;
  readonly value: Record<string, unknown>;
  /** Whether each line is understood; if not, `value` is what the others say. */
  readonly readable: boolean;
  readonly faults: readonly Fault[];
  /** Options that are accepted without effect. */
  readonly warnings: readonly string[];
  readonly #draft: Draft;

  /** @param files where `include_dir` looks */
  constructor(name: string, text: string, files: Files = DISK) {
    this.name = name;
    const reader = new Reader(files);
    reader.read(name, text);
    const { length } = reader.faults;
    this.#draft = translate(reader);
    // What follows from a line that is not understood is no fault of its own.
    this.faults = length === 0 ? reader.faults : reader.faults.slice(0, length);
    this.value = this.#draft.value;
    const left = files === DISK ? leftBehind(name, reader, this.#draft.value.data_dir) : [];
    this.warnings = [...reader.warnings, ...left];
    this.readable = this.faults.length === 0;
  }

  has(path: Path): boolean {
    return this.#draft.has(path);
  }

  place(path: Path): Place {
    return this.#draft.place(path);
  }
}
