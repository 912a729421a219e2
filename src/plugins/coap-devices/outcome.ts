/** How a command ends: as its request does, or without one. */
import type { FailureReason } from '../../coap/client/outcome.js';
import type { ClientResponse } from '../../coap/client/response.js';

export interface CommandFailure {
  /** `template`: the message or the response has not what the templates of the command take. */
  readonly reason: FailureReason | 'template';
  readonly detail: string;
  /** Of a response that is there, but has not what the template of the command takes. */
  readonly code?: number;
}

export type CommandOutcome =
  | { readonly response: ClientResponse; readonly failure: null }
  | { readonly response: null; readonly failure: CommandFailure };
