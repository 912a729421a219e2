/** How the payload of a request is made of a message. */
import type { Message } from '../../bus/message.js';

/** Makes a payload; `message` is not changed. */
export type PayloadTemplate = (message: Message) => Buffer;

/** The payload as it was published. */
export const AS_PUBLISHED: PayloadTemplate = (message) => message.payload;
