/**
 * The plugin that commands CoAP devices: a message on a topic becomes a request to a device, and what the device answers
 * is published. It reaches the bus through one client of its own.
 */
import type { Message } from '../../bus/message.js';
import { CoapClient } from '../../coap/client/client.js';
import type { ClientCounters } from '../../coap/client/counters.js';
import type { ClientRequest } from '../../coap/client/request.js';
import { type DatagramAddress, UdpTransport } from '../../coap/transport.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import type { InProcessClient, Plugin, PluginContext } from '../plugin.js';
import { DeviceAddresses } from './addresses.js';
import { type Command, type CommandOptions, type PlaceOf, readCommands, type SharedOptions } from './command.js';
import { DeviceCounters } from './counters.js';
import { TemplateFailure } from './liquid.js';
import type { CommandFailure, CommandOutcome } from './outcome.js';
import { type Reply, replyOf } from './reply.js';

/** Options of the plugin; those with a name in `coap.` are documented there. */
export interface CoapDevicesOptions extends SharedOptions {
  readonly commands: readonly CommandOptions[];
  readonly commands_in_flight: number;
  readonly commands_per_device: number;
  /** Bytes. */
  readonly max_payload: number;
}

const CLIENT_ID = 'coap-commands';
type Family = DatagramAddress['family'];

export class CoapDevices implements Plugin {
  readonly name = 'coap-devices';
  readonly #options: CoapDevicesOptions;
  readonly #commands: readonly Command[];
  readonly #addresses = new DeviceAddresses();
  /** One socket for each family of addresses that the machine has. */
  readonly #clients = new Map<Family, CoapClient>();
  readonly #byDevice = new Map<string, number>();
  readonly #counters = new DeviceCounters();
  #context: PluginContext | null = null;
  #bus: InProcessClient | null = null;

  /** @throws PorticoError `PORTICO_CONFIGURATION` for a command that cannot be carried out */
  constructor(options: CoapDevicesOptions, placeOf?: PlaceOf) {
    this.#options = options;
    this.#commands = readCommands(options.commands, options, placeOf);
  }

  describe(): string[] {
    return this.#commands.map(({ options }) => `${options.filter} to ${options.method} ${options.uri}`);
  }

  counters(): Readonly<Record<string, number>> {
    const sum = Object.assign(new DeviceCounters(), this.#counters);
    for (const { counters } of this.#clients.values()) {
      for (const name of Object.keys(counters) as (keyof ClientCounters)[]) sum[name] += counters[name];
    }
    return { ...sum };
  }

  async start(context: PluginContext): Promise<void> {
    this.#context = context;
    const families = new Set(this.#commands.map(({ target }) => target.kind));
    if (families.has('IPv4') || families.has('name')) await this.#bind('IPv4', '0.0.0.0');
    if (families.has('IPv6')) await this.#bind('IPv6', '::');
    else if (families.has('name')) await this.#bind('IPv6', '::').catch(() => {});
    const bus = context.openClient({ id: CLIENT_ID, remote: 'internal', transport: 'internal' });
    this.#bus = bus;
    for (const command of this.#commands) {
      const { filter } = command.options;
      const subscription = bus.subscribe(filter, 2, (message) => this.#received(command, message));
      if (typeof subscription === 'number') {
        await this.stop();
        throw new PorticoError(ErrorKinds.Configuration, `coap.commands: ${filter} cannot be subscribed to`);
      }
    }
  }

  async stop(): Promise<void> {
    // What is under way fails as `closed`, and that is published.
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
    this.#bus?.close();
  }

  async #bind(family: Family, address: string): Promise<void> {
    const {
      commands_in_flight: requests,
      commands_per_device: requestsPerPeer,
      max_payload: bodyBytes,
    } = this.#options;
    const limits = { requests, requestsPerPeer, bodyBytes };
    this.#clients.set(family, new CoapClient(await UdpTransport.bind({ address, port: 0 }), { limits }));
  }

  #received(command: Command, message: Message): void {
    // What is published about a command is no command, or one answer would ask for the next without end.
    if (message.publisherId === CLIENT_ID) return;
    const { device } = command;
    const ofDevice = this.#byDevice.get(device) ?? 0;
    if (this.#counters.inFlight >= this.#options.commands_in_flight) {
      this.#counters.refusedInFlight++;
      this.#refuse(command, message, 'commands_in_flight');
    } else if (ofDevice >= this.#options.commands_per_device) {
      this.#counters.refusedPerDevice++;
      this.#refuse(command, message, 'commands_per_device');
    } else {
      this.#counters.inFlight++;
      this.#byDevice.set(device, ofDevice + 1);
      this.#addresses.find(command.target, (address) => this.#send(command, message, address));
    }
  }

  #refuse(command: Command, message: Message, option: 'commands_in_flight' | 'commands_per_device'): void {
    const detail = `a message on ${message.topic} for ${command.device} was not sent`;
    this.#context?.limit(this.#bus, `coap.${option}`, detail);
    this.#reply(command, message, failed('limit', `coap.${option}`));
  }

  #send(command: Command, message: Message, address: DatagramAddress | null): void {
    const client = address === null ? undefined : this.#clients.get(address.family);
    if (address === null || client === undefined) {
      this.#counters.unresolved++;
      this.#over(command, message, failed('unsendable', `${command.target.host} has no address that can be reached`));
      return;
    }
    let request: ClientRequest;
    try {
      request = command.request(message);
    } catch (error) {
      if (!(error instanceof TemplateFailure)) throw error;
      this.#counters.templateFailures++;
      const detail = `a message on ${message.topic} for ${command.device} was not sent: ${error.message}`;
      this.#context?.limit(this.#bus, 'coap.commands', detail);
      this.#over(command, message, failed('template', error.message));
      return;
    }
    client.request(address, request, (outcome) => this.#over(command, message, outcome));
  }

  #over(command: Command, message: Message, outcome: CommandOutcome): void {
    const { device } = command;
    const ofDevice = (this.#byDevice.get(device) ?? 1) - 1;
    this.#counters.inFlight--;
    if (ofDevice === 0) this.#byDevice.delete(device);
    else this.#byDevice.set(device, ofDevice);
    const { failure } = outcome;
    if (failure?.reason === 'limit') this.#context?.limit(this.#bus, optionOf(failure.detail), `reached by ${device}`);
    else if (failure !== null) {
      const { reason, detail } = failure;
      this.#context?.logger.debug(
        { device, topic: message.topic, reason, detail },
        `coap: ${device}: ${reason} ${detail}`,
      );
    }
    this.#reply(command, message, outcome);
  }

  #reply(command: Command, message: Message, outcome: CommandOutcome): void {
    const { responseTopic, correlationData } = decodeForwardedProperties(message.properties);
    const topic = responseTopic ?? command.options.response_topic;
    if (topic === undefined) return;
    let reply: Reply;
    try {
      reply = replyOf(outcome, command.options.response, correlationData);
    } catch (error) {
      // Not reached by any response known.
      this.#counters.droppedReplies++;
      this.#context?.logger.error({ err: error }, `the response of ${command.device} could not be published`);
      return;
    }
    this.#bus?.publish(topic, reply.payload, { qos: message.qos, properties: reply.properties }, null);
  }
}

function failed(reason: CommandFailure['reason'], detail: string): CommandOutcome {
  return { response: null, failure: { reason, detail } };
}

/** The name of a limit of the client for the log; some have no option. */
function optionOf(limit: string): string {
  return limit === 'bodyBytes' ? 'coap.max_payload' : `coap ${limit}`;
}
