/** What templates can say about a message. */
import { isUtf8 } from 'node:buffer';
import type { Message } from '../../bus/message.js';
import type { Properties } from '../../wire/packets.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { MOST_RENDERED, TemplateFailure, type Variables } from './liquid.js';

const READERS: Readonly<Record<string, (message: Message, properties: Properties) => unknown>> = {
  topic: ({ topic }) => topic,
  levels: ({ topic }) => topic.split('/'),
  payload: textOf,
  json: jsonOf,
  client: ({ publisherId }) => (publisherId === '' ? undefined : publisherId),
  content_type: (_message, { contentType }) => contentType,
  properties: (_message, { userProperties = [] }) => {
    const byName: Record<string, string> = Object.create(null);
    for (const [name, value] of userProperties) byName[name] ??= value;
    return byName;
  },
};

export const VARIABLES: readonly string[] = Object.keys(READERS);

/** The variables of one message; each is read once, and only if it is asked for. */
export class MessageValues implements Variables {
  readonly #message: Message;
  readonly #read = new Map<string, unknown>();
  #properties: Properties | undefined;

  constructor(message: Message) {
    this.#message = message;
  }

  get(name: string): unknown {
    if (!this.#read.has(name)) {
      this.#properties ??= decodeForwardedProperties(this.#message.properties);
      this.#read.set(name, READERS[name](this.#message, this.#properties));
    }
    return this.#read.get(name);
  }
}

function textOf({ payload }: Message): string {
  if (payload.length > MOST_RENDERED) throw new TemplateFailure(`the payload has more than ${MOST_RENDERED} bytes`);
  if (!isUtf8(payload)) throw new TemplateFailure('the payload is not UTF-8');
  return payload.toString();
}

function jsonOf(message: Message): unknown {
  const text = textOf(message);
  try {
    return JSON.parse(text);
  } catch {
    throw new TemplateFailure('the payload is not JSON');
  }
}
