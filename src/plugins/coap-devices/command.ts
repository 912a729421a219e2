/** One entry of `coap.commands`: which messages become which request. */
import type { Message } from '../../bus/message.js';
import { isShared, isValidFilter } from '../../bus/topics.js';
import type { RequestTransmission } from '../../coap/client/limits.js';
import type { ClientRequest } from '../../coap/client/request.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { authorityOf, type CoapUri } from '../../coap/client/uri.js';
import { ContentFormat, Method } from '../../coap/codes.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { contentFormatOf } from '../coap-topics/content-format.js';
import type { DeviceCredentials } from './credentials.js';
import { type FormatOption, formatNumber } from './format-names.js';
import { TemplateFault } from './liquid.js';
import { MessageValues } from './message-values.js';
import { RESPONSE_VARIABLES, ResponseValues } from './response-values.js';
import { type PayloadTemplate, payloadTemplate } from './template.js';
import { requestTransmission, type SharedOptions } from './transmission.js';
import { UriTemplate } from './uri-template.js';

const METHODS = {
  GET: Method.Get,
  POST: Method.Post,
  PUT: Method.Put,
  DELETE: Method.Delete,
  FETCH: Method.Fetch,
  PATCH: Method.Patch,
  iPATCH: Method.IPatch,
} as const;

/** An entry as configured; its options are documented under `coap.commands`. */
export interface CommandOptions {
  readonly filter: string;
  readonly uri: string;
  readonly method: keyof typeof METHODS;
  readonly content_format?: FormatOption | undefined;
  readonly accept?: FormatOption | undefined;
  readonly template?: string | undefined;
  readonly confirmable: boolean;
  /** Seconds. */
  readonly timeout: number;
  readonly retries?: number | undefined;
  readonly response_topic?: string | undefined;
  readonly response: 'raw' | 'json';
  readonly response_template?: string | undefined;
}

/** Where an option was written, such as `FILE:LINE`. */
export type PlaceOf = (option: string) => string;

/** Something wrong with one of the options of a command. */
class CommandFault extends Error {
  readonly field: keyof CommandOptions;

  constructor(field: keyof CommandOptions, sentence: string) {
    super(sentence);
    this.field = field;
  }
}

/**
 * Reads the entries of `coap.commands`.
 * @throws PorticoError `PORTICO_CONFIGURATION` with a line for each entry that cannot be carried out
 */
export function readCommands(
  entries: readonly CommandOptions[],
  shared: SharedOptions,
  credentials: DeviceCredentials,
  placeOf?: PlaceOf,
): Command[] {
  const commands: Command[] = [];
  const faults: string[] = [];
  for (const [index, entry] of entries.entries()) {
    try {
      commands.push(new Command(entry, shared, credentials));
    } catch (error) {
      if (!(error instanceof CommandFault)) throw error;
      const option = `coap.commands.${index}.${error.field}`;
      faults.push(`${placeOf === undefined ? '' : `${placeOf(option)}: `}${option}${error.message}`);
    }
  }
  if (faults.length > 0) throw new PorticoError(ErrorKinds.Configuration, faults.join('\n'));
  return commands;
}

export class Command {
  readonly options: CommandOptions;
  readonly target: CoapUri;
  /** `host:port`: what `coap.commands_per_device` counts by. */
  readonly device: string;
  readonly #transmission: RequestTransmission;
  readonly #uri: UriTemplate;
  /** Null if the payload is that of the message. */
  readonly #template: PayloadTemplate | null;
  readonly #contentFormat: number | undefined;
  readonly #accept: number | undefined;
  /** Makes what is published of a response; undefined if it is published as it is. @throws TemplateFailure */
  readonly render: ((message: Message, response: ClientResponse) => Buffer) | undefined;

  /** @throws CommandFault */
  constructor(options: CommandOptions, shared: SharedOptions, credentials: DeviceCredentials) {
    const { filter, uri, content_format: format, template } = options;
    this.#uri = parsed('uri', uri, () => new UriTemplate(uri));
    const { uri: target } = this.#uri;
    if (!isValidFilter(filter) || isShared(filter)) {
      throw new CommandFault('filter', `: ${filter} is no topic filter for it`);
    }
    if (template !== undefined && isBodiless(options)) {
      throw new CommandFault('template', `: ${options.method} is sent without payload`);
    }
    this.#contentFormat = formatNumber(format);
    this.#accept = formatNumber(options.accept);
    this.#template =
      template === undefined
        ? null
        : parsed('template', undefined, () => payloadTemplate(template, this.#contentFormat));
    this.render = responseTemplate(options);
    this.options = options;
    this.target = target;
    this.device = authorityOf(target);
    const lack = target.secure ? credentials.lack(target) : null;
    if (lack !== null) throw new CommandFault('uri', `: ${lack}`);
    this.#transmission = requestTransmission(shared, options.timeout, options.retries);
  }

  /** @throws TemplateFailure if the message has not what the templates take */
  request(message: Message): ClientRequest {
    const { options, target } = this;
    const values = new MessageValues(message);
    const { path, query } = this.#uri.resolve(values);
    const bodiless = isBodiless(options);
    const contentFormat = bodiless ? undefined : this.#contentFormatOf(message);
    return {
      method: METHODS[options.method],
      path,
      query,
      ...(target.kind === 'name' ? { uriHost: target.host } : null),
      ...(bodiless ? null : { payload: this.#template?.(values) ?? message.payload }),
      ...(contentFormat === undefined ? null : { contentFormat }),
      ...(this.#accept === undefined ? null : { accept: this.#accept }),
      confirmable: options.confirmable,
      transmission: this.#transmission,
    };
  }

  /** The Content Type of a message says nothing about what a template makes of it. */
  #contentFormatOf(message: Message): number | undefined {
    return this.#contentFormat ?? (this.#template === null ? contentFormatOf(message) : undefined);
  }
}

function isBodiless({ method }: CommandOptions): boolean {
  return method === 'GET' || method === 'DELETE';
}

/** @throws CommandFault */
function responseTemplate({ response: form, response_template: source }: CommandOptions): Command['render'] {
  if (source === undefined) return undefined;
  const format = form === 'json' ? ContentFormat.Json : undefined;
  const template = parsed('response_template', undefined, () => payloadTemplate(source, format, RESPONSE_VARIABLES));
  return (message, response) => template(new ResponseValues(message, response));
}

/** @throws CommandFault with the place within the option, and the option itself if it is short */
function parsed<T>(field: keyof CommandOptions, shown: string | undefined, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof TemplateFault)) throw error;
    const { line, column, message } = error;
    const place = `, line ${line}, column ${column}`;
    throw new CommandFault(field, `${place}: ${shown === undefined ? '' : `${shown}: `}${message}`);
  }
}
