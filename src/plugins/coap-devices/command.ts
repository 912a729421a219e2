/** One entry of `coap.commands`: which messages become which request. */
import type { Message } from '../../bus/message.js';
import type { ClientRequest } from '../../coap/client/request.js';
import { type CoapUri, parseCoapUri } from '../../coap/client/uri.js';
import { ContentFormat, Method } from '../../coap/codes.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { contentFormatOf } from '../coap-topics/content-format.js';
import { AS_PUBLISHED, type PayloadTemplate } from './template.js';

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
  readonly retries: number;
  readonly response_topic?: string | undefined;
  readonly response: 'raw' | 'json';
}

/** Times that all commands share, from the section `coap`. */
export interface CommandTimes {
  /** Seconds. */
  readonly ack_timeout: number;
  readonly ack_random_factor: number;
  /** Bytes. */
  readonly block_size: number;
}

export class Command {
  readonly options: CommandOptions;
  readonly target: CoapUri;
  /** `host:port`: what `coap.commands_per_device` counts by. */
  readonly device: string;
  readonly #times: CommandTimes;
  readonly #template: PayloadTemplate = AS_PUBLISHED;

  /** @throws PorticoError `PORTICO_CONFIGURATION` if the URI is none */
  constructor(options: CommandOptions, times: CommandTimes) {
    const target = parseCoapUri(options.uri);
    if (typeof target === 'string') {
      throw new PorticoError(ErrorKinds.Configuration, `coap.commands: ${options.uri}: ${target}`);
    }
    this.options = options;
    this.target = target;
    this.device = target.kind === 'IPv6' ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
    this.#times = times;
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
      transmission: {
        timeout: options.timeout * 1000,
        maxRetransmit: options.retries,
        ackTimeout: this.#times.ack_timeout * 1000,
        ackRandomFactor: this.#times.ack_random_factor,
        blockSize: this.#times.block_size,
      },
    };
  }
}
