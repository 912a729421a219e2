/** Messages that became requests to devices: bounded in all and for each device, and whatever comes of one is published. */
import type { Message } from '../../bus/message.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import type { Answer } from './answer-topic.js';
import type { DeviceCounters } from './counters.js';
import { TemplateFailure } from './liquid.js';
import type { CommandFailure, CommandOutcome } from './outcome.js';
import { type Reply, renderedReply, replyOf } from './reply.js';

/** Options with their names in the section `coap`. */
export interface ErrandLimits {
  readonly commands_in_flight: number;
  readonly commands_per_device: number;
}

/** One message and where it goes. */
export interface Errand {
  readonly message: Message;
  /** What `coap.commands_per_device` counts by, and the log names. */
  readonly device: string;
  /** Where the outcome goes. */
  readonly answer: Answer;
  readonly form: 'raw' | 'json';
  /** Makes the payload of a response that is published. @throws TemplateFailure */
  readonly render?: ((message: Message, response: ClientResponse) => Buffer) | undefined;
  /** The client that publishes the outcome. */
  readonly bus: InProcessClient;
}

export class Errands {
  readonly #limits: ErrandLimits;
  readonly #counters: DeviceCounters;
  readonly #context: PluginContext;
  readonly #byDevice = new Map<string, number>();

  constructor(limits: ErrandLimits, counters: DeviceCounters, context: PluginContext) {
    this.#limits = limits;
    this.#counters = counters;
    this.#context = context;
  }

  /** Takes a place for an errand, until `end`. If there is none it is refused, which is published, and false. */
  begin(errand: Errand): boolean {
    const { device } = errand;
    const ofDevice = this.#byDevice.get(device) ?? 0;
    if (this.#counters.inFlight >= this.#limits.commands_in_flight) {
      this.#counters.refusedInFlight++;
      this.#refuse(errand, 'commands_in_flight');
      return false;
    }
    if (ofDevice >= this.#limits.commands_per_device) {
      this.#counters.refusedPerDevice++;
      this.#refuse(errand, 'commands_per_device');
      return false;
    }
    this.#counters.inFlight++;
    this.#byDevice.set(device, ofDevice + 1);
    return true;
  }

  #refuse(errand: Errand, option: 'commands_in_flight' | 'commands_per_device'): void {
    const detail = `a message on ${errand.message.topic} for ${errand.device} was not sent`;
    this.#context.limit(errand.bus, `coap.${option}`, detail);
    this.reply(errand, failed('limit', `coap.${option}`));
  }

  /** An errand that has begun has come to its outcome. */
  end(errand: Errand, outcome: CommandOutcome): void {
    const { device, message } = errand;
    const ofDevice = (this.#byDevice.get(device) ?? 1) - 1;
    this.#counters.inFlight--;
    if (ofDevice === 0) this.#byDevice.delete(device);
    else this.#byDevice.set(device, ofDevice);
    const { failure } = outcome;
    if (failure?.reason === 'limit') {
      const option = optionOf(failure.detail);
      this.#context.limit(errand.bus, option, `reached by ${device}`);
      this.reply(errand, { response: null, failure: { ...failure, detail: option } });
      return;
    }
    if (failure !== null) {
      const { reason, detail } = failure;
      this.#context.logger.debug(
        { device, topic: message.topic, reason, detail },
        `coap: ${device}: ${reason} ${detail}`,
      );
    }
    this.reply(errand, outcome);
  }

  /** An errand that has begun cannot be sent: its device has no address that can be reached. */
  unreachable(errand: Errand, detail: string): void {
    this.#counters.unresolved++;
    this.end(errand, failed('unsendable', detail));
  }

  /** An errand that has not begun cannot be sent: its message asks for what no request can say. */
  unsendable(errand: Errand, detail: string): void {
    this.#counters.unsendable++;
    this.reply(errand, failed('unsendable', detail));
  }

  /** An errand that has begun is not sent: its message has not what the templates of the command take. */
  unrendered(errand: Errand, detail: string): void {
    const { message, device, bus } = errand;
    this.#counters.templateFailures++;
    this.#context.limit(bus, 'coap.commands', `a message on ${message.topic} for ${device} was not sent: ${detail}`);
    this.end(errand, failed('template', detail));
  }

  /** Publishes an outcome. */
  reply(errand: Errand, outcome: CommandOutcome): void {
    errand.answer.whenKnown((topic) => {
      if (topic !== undefined) this.#publish(topic, errand, outcome);
    });
  }

  #publish(topic: string, errand: Errand, outcome: CommandOutcome): void {
    const { message, device, form, bus } = errand;
    const { correlationData } = decodeForwardedProperties(message.properties);
    let reply: Reply;
    try {
      reply = this.#rendered(errand, outcome, correlationData) ?? replyOf(outcome, form, correlationData);
    } catch (error) {
      // Not reached by any response known.
      this.#counters.droppedReplies++;
      this.#context.logger.error({ err: error }, `the response of ${device} could not be published`);
      return;
    }
    bus.publish(topic, reply.payload, { qos: message.qos, properties: reply.properties }, null);
  }

  /** What the command’s template makes of a response, or the failure to do so; null without template or response. */
  #rendered(errand: Errand, outcome: CommandOutcome, correlationData: Buffer | undefined): Reply | null {
    const { message, device, form, render, bus } = errand;
    const { response } = outcome;
    if (render === undefined || response === null) return null;
    try {
      return renderedReply(render(message, response), response, form, correlationData);
    } catch (error) {
      if (!(error instanceof TemplateFailure)) throw error;
      this.#counters.responseTemplateFailures++;
      const detail = `a response of ${device} to a message on ${message.topic}: ${error.message}`;
      this.#context.limit(bus, 'coap.commands', detail);
      const failure = { reason: 'template', detail: error.message, code: response.code } as const;
      return replyOf({ response: null, failure }, form, correlationData);
    }
  }
}

export function failed<Reason extends CommandFailure['reason']>(reason: Reason, detail: string) {
  return { response: null, failure: { reason, detail } };
}

const OPTION_OF: Readonly<Record<string, string>> = {
  bodyBytes: 'coap.max_payload',
  observations: 'coap.device_observations',
  observationsPerPeer: 'coap.device_observations_per_device',
};

/** The name of a limit of the client; some have no option. */
function optionOf(limit: string): string {
  return OPTION_OF[limit] ?? `coap ${limit}`;
}
