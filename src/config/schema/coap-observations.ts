/** `coap.observations`. */
import { z } from 'zod';
import { contentFormat, FORMATS } from './content-format.js';
import { documentation, text, whole } from './documentation.js';

const field = (doc: string, type?: string) => ({ doc, since: '0.1.0', ...(type === undefined ? null : { type }) });
const seconds = (doc: string) => ({ ...field(doc), unit: 'seconds' }) as const;

/** One entry of `coap.observations`. */
export const observation = z.strictObject({
  uri: z
    .string()
    .regex(/^coaps?:\/\/./i)
    .register(documentation, field('The resource that is observed.', 'coap://host:port/path?query, or coaps://')),
  topic: text().register(documentation, field('Where each of its states is published.')),
  qos: z.literal([0, 1, 2]).default(1).register(documentation, field('QoS of these messages.')),
  retain: z.boolean().default(true).register(documentation, field('Whether the last state is retained.')),
  accept: contentFormat.register(
    documentation,
    field(
      'Content-Format that the states are to have; a device without it answers 4.06. Unset: the device chooses.',
      FORMATS,
    ),
  ),
  response: z
    .enum(['raw', 'json'])
    .default('raw')
    .register(
      documentation,
      field('`raw`: the state, with its code as User Property; `json`: all in one JSON object.'),
    ),
  confirmable: z.boolean().default(true).register(documentation, field('Whether requests are Confirmable.')),
  timeout: z
    .number()
    .min(0.1)
    .max(3600)
    .default(5)
    .register(documentation, seconds('From a registration to its failure `timeout`.')),
  retry: whole(1, 86_400)
    .default(60)
    .register(
      documentation,
      seconds(
        'From the end of an observation, or its failure, until it is begun anew. What cannot be observed is read so often.',
      ),
    ),
  silence: whole(1, 604_800)
    .optional()
    .register(
      documentation,
      seconds(
        'After so long without a state the broker registers anew, also if Max-Age is longer. Unset: after Max-Age alone.',
      ),
    ),
  failure_topic: text()
    .optional()
    .register(documentation, field('Where it is published why an observation failed or ended. Unset: nowhere.')),
});
