/**
 * The plugin that commands CoAP devices: a message on a topic becomes a request to a device, and what the device answers
 * is published. It reaches the bus through one client of its own.
 */
import type { Message } from '../../bus/message.js';
import { CoapClient } from '../../coap/client/client.js';
import { type DatagramAddress, UdpTransport } from '../../coap/transport.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import type { InProcessClient, Plugin, PluginContext } from '../plugin.js';
import { DeviceAddresses } from './addresses.js';
import { Command, type CommandOptions } from './command.js';
import { DeviceCounters, sumOf } from './counters.js';
import { type Errand, type ErrandLimits, Errands } from './errands.js';
import type { SharedOptions } from './transmission.js';

/** Options of the plugin; those with a name in `coap.` are documented there. */
export interface CoapDevicesOptions extends SharedOptions, ErrandLimits {
  readonly commands: readonly CommandOptions[];
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
  readonly #counters = new DeviceCounters();
  #running: { readonly bus: InProcessClient; readonly errands: Errands } | null = null;

  /** @throws PorticoError `PORTICO_CONFIGURATION` for a command that cannot be carried out */
  constructor(options: CoapDevicesOptions) {
    this.#options = options;
    this.#commands = options.commands.map((command) => new Command(command, options));
  }

  describe(): string[] {
    return this.#commands.map(({ options }) => `${options.filter} to ${options.method} ${options.uri}`);
  }

  counters(): Readonly<Record<string, number>> {
    return { ...sumOf(this.#counters, this.#clients.values()) };
  }

  async start(context: PluginContext): Promise<void> {
    const families = new Set(this.#commands.map(({ target }) => target.kind));
    if (families.has('IPv4') || families.has('name')) await this.#bind('IPv4', '0.0.0.0');
    if (families.has('IPv6')) await this.#bind('IPv6', '::');
    else if (families.has('name')) await this.#bind('IPv6', '::').catch(() => {});
    const bus = context.openClient({ id: CLIENT_ID, remote: 'internal', transport: 'internal' });
    this.#running = { bus, errands: new Errands(this.#options, this.#counters, context) };
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
    this.#running?.bus.close();
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
    const { device, target } = command;
    const { bus, errands } = this.#running ?? {};
    // What is published about a command is no command, or one answer would ask for the next without end.
    if (bus === undefined || errands === undefined || message.publisherId === CLIENT_ID) return;
    const { response_topic: responseTopic, response: form } = command.options;
    const errand: Errand = { message, device, responseTopic, form, bus };
    if (!errands.begin(errand)) return;
    this.#addresses.find(target, (address) => {
      const client = address === null ? undefined : this.#clients.get(address.family);
      if (address === null || client === undefined) {
        errands.unreachable(errand, `${target.host} has no address that can be reached`);
      } else client.request(address, command.request(message), (outcome) => errands.end(errand, outcome));
    });
  }
}
