/** Messages that became requests to devices: bounded in all and for each device, and whatever comes of one is published. */
import type { Message } from '../../bus/message.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import type { DeviceCounters } from './counters.js';
import type { CommandFailure, CommandOutcome } from './outcome.js';
import { type Reply, replyOf } from './reply.js';

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
  /** Where the outcome goes if the message names no Response Topic; undefined for nowhere. */
  readonly responseTopic: string | undefined;
  readonly form: 'raw' | 'json';
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
    if (failure?.reason === 'limit') this.#context.limit(errand.bus, optionOf(failure.detail), `reached by ${device}`);
    else if (failure !== null) {
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

  /** An errand that has begun is not sent: its message has not what the templates of the command take. */
  unrendered(errand: Errand, detail: string): void {
    const { message, device, bus } = errand;
    this.#counters.templateFailures++;
    this.#context.limit(bus, 'coap.commands', `a message on ${message.topic} for ${device} was not sent: ${detail}`);
    this.end(errand, failed('template', detail));
  }

  /** Publishes an outcome. */
  reply({ message, device, responseTopic, form, bus }: Errand, outcome: CommandOutcome): void {
    const { responseTopic: asked, correlationData } = decodeForwardedProperties(message.properties);
    const topic = asked ?? responseTopic;
    if (topic === undefined) return;
    let reply: Reply;
    try {
      reply = replyOf(outcome, form, correlationData);
    } catch (error) {
      // Not reached by any response known.
      this.#counters.droppedReplies++;
      this.#context.logger.error({ err: error }, `the response of ${device} could not be published`);
      return;
    }
    bus.publish(topic, reply.payload, { qos: message.qos, properties: reply.properties }, null);
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

/** The name of a limit of the client for the log; some have no option. */
function optionOf(limit: string): string {
  return OPTION_OF[limit] ?? `coap ${limit}`;
}
