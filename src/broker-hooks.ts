/**
 * Aedes' hooks and events as sessions see them. A hook that is still Aedes' default is null here, so that asking costs
 * one look at a field.
 */
import { Aedes } from 'aedes';
import type { Verdict } from './access/passwords.js';
import type { Broker } from './broker.js';
import type { Party } from './bus/party.js';
import type { Connection } from './session/connection.js';
import type { Hooks } from './session/hooks.js';

/**
 * Answers whether a user name and password may connect; `busy` if that cannot be found out now.
 * @param anonymous whether the listener takes strangers
 * @param wanted whether whoever asks still wants to know
 * @param client who asks
 */
export type Identify = (
  username: string | undefined,
  password: Buffer | undefined,
  anonymous: boolean,
  wanted: () => boolean,
  client: Party,
) => Verdict | Promise<Verdict>;

const HOOKS = [
  'preConnect',
  'authenticate',
  'authorizePublish',
  'authorizeSubscribe',
  'authorizeForward',
  'published',
] as const;

type HookName = (typeof HOOKS)[number];

/** Shows which hooks are Aedes' own defaults: they are the same functions in every instance. */
const STOCK = new Aedes({ mq: {} });

export class BrokerHooks implements Hooks {
  readonly #broker: Broker;
  readonly #connections: Set<Connection>;
  readonly identify: Identify;
  preConnect: Hooks['preConnect'] = null;
  authenticate: Hooks['authenticate'] = null;
  authorizePublish: Hooks['authorizePublish'] = null;
  authorizeSubscribe: Hooks['authorizeSubscribe'] = null;
  authorizeForward: Hooks['authorizeForward'] = null;
  published: Hooks['published'] = null;

  constructor(broker: Broker, identify: Identify, connections: Set<Connection>) {
    this.#broker = broker;
    this.identify = identify;
    this.#connections = connections;
    this.watch();
  }

  /**
   * Learns of every hook that is assigned from here on. Call again once a subclass may have set its own: a class field
   * defines its property anew.
   */
  watch(): void {
    for (const name of HOOKS) this.#watch(name);
  }

  #watch<Name extends HookName>(name: Name): void {
    const broker = this.#broker;
    let hook: Broker[Name] = broker[name];
    const learn = (): void => {
      // The shapes are Aedes'; its types name its own Client.
      this[name] = (hook === STOCK[name] ? null : hook.bind(broker)) as unknown as this[Name];
    };
    learn();
    Object.defineProperty(broker, name, {
      configurable: true,
      enumerable: true,
      get: () => hook,
      set: (value: Broker[Name]) => {
        hook = value;
        learn();
      },
    });
  }

  get brokerId(): string {
    return this.#broker.id;
  }

  get closed(): boolean {
    return this.#broker.closed;
  }

  get draining(): Hooks['draining'] {
    return this.#broker.draining;
  }

  wants(event: string): boolean {
    return this.#broker.listenerCount(event) > 0;
  }

  emit(event: string, ...values: unknown[]): boolean {
    return (this.#broker.emit as (name: string, ...rest: unknown[]) => boolean).call(this.#broker, event, ...values);
  }

  nextCounter(): number {
    return ++this.#broker.counter;
  }

  register(client: Connection): void {
    const broker = this.#broker;
    if (broker.clients[client.id] === undefined) broker.connectedClients++;
    broker.clients[client.id] = client;
    this.emit('client', client);
    broker.publish({ topic: `$SYS/${broker.id}/new/clients`, payload: client.id });
  }

  unregister(client: Connection): void {
    this.#connections.delete(client);
    const broker = this.#broker;
    if (broker.clients[client.id] !== client) return;
    delete broker.clients[client.id];
    broker.connectedClients--;
    this.emit('clientDisconnect', client);
    broker.publish({ topic: `$SYS/${broker.id}/disconnect/clients`, payload: client.id });
  }
}
