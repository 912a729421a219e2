/** Options of the section `coap` that exclude each other. */
import type { Config } from './schema.js';

/** A fault that no single option shows. */
export interface CoapFault {
  readonly path: (string | number)[];
  readonly sentence: string;
}

/** Whether a path is another one, or below it. Both begin with `/`. */
function isInside(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}

/** Paths of the broker's own resources. */
const OWN = ['/.well-known', '/mqtt/connection', '/rd', '/rd-lookup'];

export function coapFaults(coap: Config['coap']): CoapFault[] {
  return [...pathFaults(coap), ...formatFaults(coap)];
}

/** Topics or mappings whose path is another's: nobody would reach the one or the other. */
function pathFaults({ path, pubsub_path: pubsub, mappings }: Config['coap']): CoapFault[] {
  const faults: CoapFault[] = [];
  if (isInside(`/${path}`, `/${pubsub}`)) {
    const sentence =
      `coap.path ${JSON.stringify(path)} is inside of coap.pubsub_path ${JSON.stringify(pubsub)}, ` +
      'which would hide all topics: give one of them another path';
    // Whoever changed but the other one finds the fault there.
    faults.push({ path: ['coap', path === 'ps' ? 'pubsub_path' : 'path'], sentence });
  }
  for (const [option, base] of [
    ['path', path],
    ['pubsub_path', pubsub],
  ]) {
    const own = OWN.find((resource) => isInside(`/${base}`, resource));
    if (own === undefined) continue;
    const sentence = `coap.${option} ${JSON.stringify(base)} is that of a resource of the broker, ${own}: choose another path`;
    faults.push({ path: ['coap', option], sentence });
  }
  mappings.forEach((mapping, i) => {
    for (const [option, base] of [
      ['coap.path', path],
      ['coap.pubsub_path', pubsub],
    ]) {
      if (!isInside(mapping.path, `/${base}`)) continue;
      const sentence =
        `coap.mappings.${i}.path ${JSON.stringify(mapping.path)} is inside of ${option} ${JSON.stringify(base)}, ` +
        'where nobody would reach it: give it another path';
      faults.push({ path: ['coap', 'mappings', i, 'path'], sentence });
      break;
    }
  });
  return faults;
}

/** Mappings that name a Content-Format beside a conversion, which has its own. */
function formatFaults({ mappings }: Config['coap']): CoapFault[] {
  return mappings.flatMap(({ convert, content_format: format }, i) => {
    if (convert === 'none' || format === undefined) return [];
    const place = `coap.mappings.${i}`;
    const sentence =
      `${place}.content_format is ${format}, but ${place}.convert is ${JSON.stringify(convert)}, ` +
      'which says what format payloads have: leave one of them out';
    return [{ path: ['coap', 'mappings', i, 'content_format'], sentence }];
  });
}
