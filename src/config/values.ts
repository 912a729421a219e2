/** Values as written, before validation: plain data from several origins, each of them known. */
import type { z } from 'zod';
import { unknownOption, wrongValue } from './faults.js';
import { child, type Path } from './options.js';
import type { Override } from './overrides.js';
import { BUILT_IN, type Fault, type Place, type Source } from './source.js';

export class Values {
  /** The values of all origins together. */
  readonly raw: Record<string, unknown>;
  readonly #source: Source | null;
  readonly #overrides: Override[] = [];

  /**
   * @param raw top level of the file; changed by `set`
   * @param source the file, or null without one
   */
  constructor(raw: Record<string, unknown>, source: Source | null) {
    this.raw = raw;
    this.#source = source;
  }

  /** Puts a value in its place. Where the file has no section but something else, that is a fault of its own. */
  set(override: Override): void {
    let parent: unknown = this.raw;
    for (const key of override.path.slice(0, -1)) {
      if (typeof parent !== 'object' || parent === null) return;
      if (child(parent, key) === undefined) Reflect.set(parent, key, {});
      parent = child(parent, key);
    }
    const last = override.path.at(-1);
    if (typeof parent !== 'object' || parent === null || last === undefined) return;
    Reflect.set(parent, last, override.value);
    this.#overrides.push(override);
  }

  /** The last override of a path or of something that contains it. */
  #override(path: Path): Override | undefined {
    return this.#overrides.findLast((one) => one.path.every((key, i) => key === path[i]));
  }

  /** Where a path was written. */
  place(path: Path): Place {
    const override = this.#override(path);
    if (override !== undefined && override.origin !== '') return { where: override.origin, line: 0 };
    if (override !== undefined || this.#source === null) return { where: BUILT_IN, line: 0 };
    return this.#source.place(path);
  }

  /** One fault for each option that the schema refuses. */
  faultsOf(issues: readonly z.core.$ZodIssue[]): Fault[] {
    const faults = new Map<string, Fault>();
    for (const issue of issues) {
      const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
      if (issue.code === 'unrecognized_keys') {
        for (const key of issue.keys) {
          const full = [...path, key];
          faults.set(full.join('.'), { ...this.place(full), sentence: unknownOption(path, key, this.raw) });
        }
      } else if (!faults.has(path.join('.'))) {
        faults.set(path.join('.'), { ...this.place(path), sentence: wrongValue(path, this.raw) });
      }
    }
    return [...faults.values()];
  }

  /** The origin of everything that is no built-in default, by dotted path. */
  sources(): Map<string, string> {
    const sources = new Map<string, string>();
    const walk = (value: unknown, path: Path): void => {
      if (path.length > 0 && (this.#override(path) !== undefined || this.#source?.has(path) === true)) {
        sources.set(path.join('.'), this.place(path).where);
      }
      if (typeof value !== 'object' || value === null) return;
      for (const [key, entry] of Object.entries(value))
        walk(entry, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    walk(this.raw, []);
    return sources;
  }
}
