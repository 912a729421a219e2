/** What is left of a configuration without what is wrong with it, so that more of its faults can be found. */
import type { z } from 'zod';
import { child } from './options.js';
import { type Config, configSchema } from './schema.js';

/** What takes out one fault may bring out another: a key of the wrong type, and then that it is missing. */
const ROUNDS = 4;

/** Stands for a listener of which nothing can be said, so that the others keep their numbers. */
const NO_LISTENER = { type: 'mqtt', host: 'loopback', port: 0 } as const;

/** @param raw as it is written; stays as it is. Returns null if nothing is left of it. */
export function soundPartOf(raw: Record<string, unknown>): Config | null {
  const rest = structuredClone(raw);
  for (let round = 0; round < ROUNDS; round++) {
    const parsed = configSchema.safeParse(rest);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) takeOut(rest, issue);
  }
  return null;
}

function takeOut(rest: Record<string, unknown>, issue: z.core.$ZodIssue): void {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const parent = path.reduce<unknown>(child, rest);
    for (const key of issue.keys)
      if (typeof parent === 'object' && parent !== null) Reflect.deleteProperty(parent, key);
    return;
  }
  const [section, option] = path;
  if (section === undefined) return;
  const { listeners } = rest;
  const parent = path.slice(0, -1).reduce<unknown>(child, rest);
  const last = path[path.length - 1];
  if (path.length > 2 && isObject(parent) && Object.hasOwn(parent, last)) Reflect.deleteProperty(parent, last);
  else if (section === 'listeners' && Array.isArray(listeners) && typeof option === 'number') {
    listeners[option] = NO_LISTENER;
  } else {
    // Of a list with an entry that lacks something nothing is left.
    const whole = child(rest, section);
    if (option !== undefined && isObject(whole)) Reflect.deleteProperty(whole, option);
    else Reflect.deleteProperty(rest, section);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
