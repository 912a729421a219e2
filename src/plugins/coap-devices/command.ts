/** One entry of `coap.commands`: which messages become which request. */
import type { Message } from '../../bus/message.js';
import { isShared, isValidFilter } from '../../bus/topics.js';
import type { RequestTransmission } from '../../coap/client/limits.js';
import type { ClientRequest } from '../../coap/client/request.js';
import { type CoapUri, parseCoapUri } from '../../coap/client/uri.js';
import { ContentFormat, Method } from '../../coap/codes.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { contentFormatOf } from '../coap-topics/content-format.js';
import { AS_PUBLISHED, type PayloadTemplate } from './template.js';
import { requestTransmission, type SharedOptions } from './transmission.js';

const METHODS = {
  GET: Method.Get,
  POST: Method.Post,
  PUT: Method.Put,
  DELETE: Method.Delete,
  FETCH: Method.Fetch,
  PATCH: Method.Patch,
  iPATCH: Method.IPatch,
} as const;

const FORMATS = {
  text: ContentFormat.Text,
  link: ContentFormat.LinkFormat,
  octets: ContentFormat.OctetStream,
  json: ContentFormat.Json,
  cbor: ContentFormat.Cbor,
} as const;

/** An entry as configured; its options are documented under `coap.commands`. */
export interface CommandOptions {
  readonly filter: string;
  readonly uri: string;
  readonly method: keyof typeof METHODS;
  readonly content_format?: keyof typeof FORMATS | number | undefined;
  readonly confirmable: boolean;
  /** Seconds. */
  readonly timeout: number;
  readonly retries?: number | undefined;
  readonly response_topic?: string | undefined;
  readonly response: 'raw' | 'json';
}

export class Command {
  readonly options: CommandOptions;
  readonly target: CoapUri;
  /** `host:port`: what `coap.commands_per_device` counts by. */
  readonly device: string;
  readonly #transmission: RequestTransmission;
  readonly #template: PayloadTemplate = AS_PUBLISHED;

  /** @throws PorticoError `PORTICO_CONFIGURATION` if the URI or the filter is none */
  constructor(options: CommandOptions, shared: SharedOptions) {
    const target = parseCoapUri(options.uri);
    if (typeof target === 'string') {
      throw new PorticoError(ErrorKinds.Configuration, `coap.commands: ${options.uri}: ${target}`);
    }
    if (!isValidFilter(options.filter) || isShared(options.filter)) {
      throw new PorticoError(ErrorKinds.Configuration, `coap.commands: ${options.filter} is no topic filter for it`);
    }
    this.options = options;
    this.target = target;
    this.device = target.kind === 'IPv6' ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
    this.#transmission = requestTransmission(shared, options.timeout, options.retries);
  }

  request(message: Message): ClientRequest {
    const { options, target } = this;
    const method = METHODS[options.method];
    const bodiless = method === Method.Get || method === Method.Delete;
    const { content_format: format } = options;
    const configured = typeof format === 'string' ? FORMATS[format] : format;
    const contentFormat = bodiless ? undefined : (configured ?? contentFormatOf(message));
    return {
      method,
      path: target.path,
      query: target.query,
      ...(target.kind === 'name' ? { uriHost: target.host } : null),
      ...(bodiless ? null : { payload: this.#template(message) }),
      ...(contentFormat === undefined ? null : { contentFormat }),
      confirmable: options.confirmable,
      transmission: this.#transmission,
    };
  }
}
