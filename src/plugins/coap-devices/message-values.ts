/** What templates can say about a message. */
import type { Message } from '../../bus/message.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { jsonOf, type Readers, textOf, Values } from './values.js';

const READERS: Readers<Message> = {
  topic: ({ topic }) => topic,
  levels: ({ topic }) => topic.split('/'),
  payload: ({ payload }) => textOf(payload),
  json: ({ payload }) => jsonOf(payload),
  client: ({ publisherId }) => (publisherId === '' ? undefined : publisherId),
  content_type: ({ properties }) => decodeForwardedProperties(properties).contentType,
  properties: ({ properties }) => {
    const byName: Record<string, string> = Object.create(null);
    const { userProperties = [] } = decodeForwardedProperties(properties);
    for (const [name, value] of userProperties) byName[name] ??= value;
    return byName;
  },
};

export const VARIABLES: readonly string[] = Object.keys(READERS);

export class MessageValues extends Values<Message> {
  constructor(message: Message) {
    super(READERS, message);
  }
}
