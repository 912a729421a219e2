/** Paths of the section `coap` that would hide each other. */
import type { Config } from './schema.js';

/** A fault that no single option shows. */
export interface PathFault {
  readonly path: (string | number)[];
  readonly sentence: string;
}

/** Whether a path is another one, or below it. Both begin with `/`. */
function isInside(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}

/** Topics or mappings whose path is another's: nobody would reach the one or the other. */
export function pathFaults({ path, pubsub_path: pubsub, mappings }: Config['coap']): PathFault[] {
  const faults: PathFault[] = [];
  if (isInside(`/${path}`, `/${pubsub}`)) {
    const sentence =
      `coap.path ${JSON.stringify(path)} is inside of coap.pubsub_path ${JSON.stringify(pubsub)}, ` +
      'which would hide all topics: give one of them another path';
    // Whoever changed but the other one finds the fault there.
    faults.push({ path: ['coap', path === 'ps' ? 'pubsub_path' : 'path'], sentence });
  }
  mappings.forEach((mapping, i) => {
    for (const [option, base] of [
      ['coap.path', path],
      ['coap.pubsub_path', pubsub],
    ]) {
      if (!isInside(mapping.path, `/${base}`)) continue;
      const sentence =
        `coap.mappings.${i}.path ${JSON.stringify(mapping.path)} is inside of ${option} ${JSON.stringify(base)}, ` +
        'whose resources it would stand in for: give it another path';
      faults.push({ path: ['coap', 'mappings', i, 'path'], sentence });
      break;
    }
  });
  return faults;
}
