/** `coap.commands`. */
import { z } from 'zod';
import { contentFormat, FORMATS } from './content-format.js';
import { documentation, text, whole } from './documentation.js';

const field = (doc: string, type?: string) => ({ doc, since: '0.1.0', ...(type === undefined ? null : { type }) });

/** One entry of `coap.commands`. */
export const command = z.strictObject({
  filter: text().register(documentation, field('Topic filter of the messages that are sent.')),
  uri: z
    .string()
    .regex(/^coaps?:\/\/./i)
    .register(
      documentation,
      field(
        'The resource that the request goes to. Segments of the path and parts of the query may hold templates.',
        'coap://host:port/path?query, or coaps://',
      ),
    ),
  method: z
    .enum(['GET', 'POST', 'PUT', 'DELETE', 'FETCH', 'PATCH', 'iPATCH'])
    .default('PUT')
    .register(documentation, field('GET and DELETE are sent without payload.')),
  content_format: contentFormat.register(
    documentation,
    field(
      'Content-Format of the payload. Unset: the Content Type of the message, if it has one and there is no `template`.',
      FORMATS,
    ),
  ),
  accept: contentFormat.register(
    documentation,
    field(
      'Content-Format that the response is to have; a device without it answers 4.06. Unset: the device chooses.',
      FORMATS,
    ),
  ),
  template: text()
    .optional()
    .register(
      documentation,
      field('Liquid template of the payload; with `cbor` what it renders is JSON. Unset: the payload of the message.'),
    ),
  confirmable: z.boolean().default(true).register(documentation, field('Whether the request is Confirmable.')),
  timeout: z
    .number()
    .min(0.1)
    .max(3600)
    .default(5)
    .register(documentation, { ...field('From the message to the failure `timeout`.'), unit: 'seconds' }),
  retries: whole(0, 20)
    .optional()
    .register(
      documentation,
      field('MAX_RETRANSMIT of a confirmable request (RFC 7252 4.8). Unset: that of the section.'),
    ),
  response_topic: text()
    .optional()
    .register(
      documentation,
      field(
        'Where the outcome is published unless the message has a Response Topic on which its publisher may publish. Unset: nowhere.',
      ),
    ),
  response: z
    .enum(['raw', 'json'])
    .default('raw')
    .register(
      documentation,
      field('`raw`: the body, with code and failure as User Properties; `json`: all in one JSON object.'),
    ),
  response_template: text()
    .optional()
    .register(
      documentation,
      field(
        'Liquid template of what is published of a response: text, or JSON with `response: json`. Unset: as `response` says.',
      ),
    ),
});
