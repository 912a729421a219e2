/**
 * The plugin that commands CoAP devices: a message on a topic becomes a request to a device, and what the device answers
 * is published. It reaches the bus through one client of its own.
 */
import type { Message } from '../../bus/message.js';
import type { Party } from '../../bus/party.js';
import type { ClientRequest } from '../../coap/client/request.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import type { TransportOptions } from '../coap-topics/transports.js';
import type { InProcessClient, Plugin, PluginContext } from '../plugin.js';
import { AnswerTopic } from './answer-topic.js';
import { type Command, type CommandOptions, type PlaceOf, readCommands } from './command.js';
import { DeviceCounters, sumOf } from './counters.js';
import { type DeviceCredentials, NO_CREDENTIALS } from './credentials.js';
import { type Errand, type ErrandLimits, Errands } from './errands.js';
import { TemplateFailure } from './liquid.js';
import type { Route } from './route.js';
import { DeviceSockets } from './sockets.js';
import type { SharedOptions } from './transmission.js';

/** Options of the plugin; those with a name in `coap.` are documented there. */
export interface CoapDevicesOptions extends SharedOptions, ErrandLimits, TransportOptions {
  readonly commands: readonly CommandOptions[];
  /** Bytes. */
  readonly max_payload: number;
}

const CLIENT_ID = 'coap-commands';

export class CoapDevices implements Plugin {
  readonly name = 'coap-devices';
  readonly #options: CoapDevicesOptions;
  readonly #commands: readonly Command[];
  readonly #sockets: DeviceSockets;
  readonly #counters = new DeviceCounters();
  #running: { readonly bus: InProcessClient; readonly errands: Errands } | null = null;

  /** @throws PorticoError `PORTICO_CONFIGURATION` for a command that cannot be carried out */
  constructor(options: CoapDevicesOptions, placeOf?: PlaceOf, credentials: DeviceCredentials = NO_CREDENTIALS) {
    this.#options = options;
    this.#commands = readCommands(options.commands, options, credentials, placeOf);
    const { commands_in_flight: requests, commands_per_device: requestsPerPeer, max_payload: bodyBytes } = options;
    this.#sockets = new DeviceSockets({ requests, requestsPerPeer, bodyBytes }, options, credentials);
  }

  describe(): string[] {
    return this.#commands.map(({ options }) => `${options.filter} to ${options.method} ${options.uri}`);
  }

  counters(): Readonly<Record<string, number>> {
    return { ...sumOf(this.#counters, this.#sockets.clients), ...this.#sockets.numbers };
  }

  async start(context: PluginContext): Promise<void> {
    await this.#sockets.open(
      this.#commands.map(({ target }) => target),
      context,
    );
    const bus = context.openClient({ id: CLIENT_ID, remote: 'internal', transport: 'internal', trusted: true });
    this.#running = { bus, errands: new Errands(this.#options, this.#counters, context) };
    for (const command of this.#commands) {
      const { filter } = command.options;
      const subscription = bus.subscribe(filter, 2, (message, publisher) =>
        this.#received(command, message, publisher),
      );
      if (typeof subscription === 'number') {
        await this.stop();
        throw new PorticoError(ErrorKinds.Configuration, `coap.commands: ${filter} cannot be subscribed to`);
      }
    }
  }

  async stop(): Promise<void> {
    // What is under way fails as `closed`, and that is published.
    await this.#sockets.close();
    this.#running?.bus.close();
  }

  #received(command: Command, message: Message, publisher: Party | null): void {
    const { device, target, render } = command;
    const { bus, errands } = this.#running ?? {};
    // What is published about a command is no command, or one answer would ask for the next without end.
    if (bus === undefined || errands === undefined || message.publisherId === CLIENT_ID) return;
    const { response_topic: responseTopic, response: form } = command.options;
    const answer = new AnswerTopic(message, publisher, responseTopic, bus);
    const errand: Errand = { message, device, answer, form, render, bus };
    if (!errands.begin(errand)) return;
    this.#sockets.find(target, (route) => {
      if (route === null) errands.unreachable(errand, `${target.host} has no address that can be reached`);
      else this.#send(route, command, errand, errands);
    });
  }

  #send({ client, address }: Route, command: Command, errand: Errand, errands: Errands): void {
    let request: ClientRequest;
    try {
      request = command.request(errand.message);
    } catch (error) {
      if (!(error instanceof TemplateFailure)) throw error;
      errands.unrendered(errand, error.message);
      return;
    }
    client.request(address, request, (outcome) => errands.end(errand, outcome));
  }
}
