/** Values for the schema, each with the place that said it. */
import type { Path } from '../options.js';
import { BUILT_IN, MOSQUITTO_BUILT_IN, type Place } from '../source.js';

/** Origin of what no line says. */
export const MOSQUITTO_DEFAULT: Place = { where: MOSQUITTO_BUILT_IN, line: 0 };

/** A value and who said it. */
export interface Said {
  readonly value: unknown;
  readonly place: Place;
}

/** An entry of `listeners`, by the names of its fields; those of a section in it stand behind it, with its name and a dot. */
export type DraftListener = Readonly<Record<string, Said>> & Readonly<Record<'type', Said>>;

export class Draft {
  readonly value: Record<string, unknown> = {};
  readonly #places = new Map<string, Place>();

  /** Puts a value in its place; what it stands in is made as needed. */
  set(name: string, value: unknown, place: Place): void {
    const path = name.split('.');
    let parent: object = this.value;
    for (const key of path.slice(0, -1)) {
      if (!Object.hasOwn(parent, key)) Reflect.set(parent, key, {});
      parent = Reflect.get(parent, key) as object;
    }
    Reflect.set(parent, path[path.length - 1], value);
    this.#places.set(name, place);
  }

  /** The list of listeners, of which each knows where it and its fields were written. */
  setListeners(entries: readonly DraftListener[]): void {
    this.set('listeners', [], entries[0]?.type.place ?? MOSQUITTO_DEFAULT);
    entries.forEach((entry, i) => {
      this.set(`listeners.${i}`, {}, entry.type.place);
      for (const [key, { value, place }] of Object.entries<Said>(entry))
        this.set(`listeners.${i}.${key}`, value, place);
    });
  }

  has(path: Path): boolean {
    return this.#places.has(path.join('.'));
  }

  /** Who said a value, or the section that it would stand in. */
  place(path: Path): Place {
    for (let length = path.length; length > 0; length--) {
      const place = this.#places.get(path.slice(0, length).join('.'));
      if (place !== undefined) return place;
    }
    return { where: BUILT_IN, line: 0 };
  }
}
