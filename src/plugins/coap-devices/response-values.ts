/** What templates can say about the response to a command. */
import type { Message } from '../../bus/message.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { codeDigits } from '../../coap/codes.js';
import { jsonOf, type Readers, textOf, Values } from './values.js';

interface Answered {
  /** The command. */
  readonly message: Message;
  readonly response: ClientResponse;
}

const READERS: Readers<Answered> = {
  code: ({ response }) => codeDigits(response.code),
  payload: ({ response }) => textOf(response.payload),
  json: ({ response }) => jsonOf(response.payload),
  topic: ({ message }) => message.topic,
  levels: ({ message }) => message.topic.split('/'),
};

export const RESPONSE_VARIABLES: readonly string[] = Object.keys(READERS);

export class ResponseValues extends Values<Answered> {
  constructor(message: Message, response: ClientResponse) {
    super(READERS, { message, response });
  }
}
