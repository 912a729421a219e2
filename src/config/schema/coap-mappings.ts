/** `coap.mappings`. */
import { z } from 'zod';
import { documentation, whole } from './documentation.js';

/** Levels of a path or topic of `coap.mappings` that have a name: `{device}`. */
export function namesOf(levels: string): string[] {
  return levels.split('/').flatMap((level) => /^\{(.+)\}$/.exec(level)?.[1] ?? []);
}

/** A level is a name in braces, or plain text. */
const MAPPED_LEVELS = /^(?:\{\w+\}|[^{}/?#+\s]+)(?:\/(?:\{\w+\}|[^{}/?#+\s]+))*$/;

export const mapping = z
  .strictObject({
    path: z
      .string()
      .startsWith('/')
      .refine((path) => MAPPED_LEVELS.test(path.slice(1)) && new Set(namesOf(path)).size === namesOf(path).length)
      .refine((path) => !/^\/(?:\.well-known|mqtt\/connection|rd|rd-lookup)(?:\/|$)/.test(path))
      .register(documentation, {
        doc: 'The path. A level in braces is any one, and has that name.',
        type: 'a path such as /s/{device}/{metric}, with each name once, and not that of a resource of the broker',
        since: '0.1.0',
      }),
    topic: z
      .string()
      .refine((topic) => MAPPED_LEVELS.test(topic))
      .register(documentation, {
        doc: 'The topic, with the same names.',
        type: 'a topic such as devices/{device}/{metric}, with the names of the path and no others',
        since: '0.1.0',
      }),
    methods: z
      .array(z.enum(['GET', 'PUT', 'POST', 'DELETE']))
      .min(1)
      .default(['GET', 'PUT', 'POST', 'DELETE'])
      .register(documentation, {
        doc: 'What may be done; GET stands for observing, too.',
        type: 'a list of GET, PUT, POST, DELETE',
        since: '0.1.0',
      }),
    qos: whole(0, 2).optional(),
    retain: z.boolean().optional(),
    content_format: whole(0, 65535).optional(),
    convert: z.enum(['none', 'json-to-cbor', 'cbor-to-json']).default('none'),
  })
  .refine(({ path, topic }) => namesOf(path).sort().join() === namesOf(topic).sort().join(), { path: ['topic'] })
  .refine(({ path, topic }) => new Set(namesOf(topic)).size === namesOf(path).length, { path: ['topic'] });
