/**
 * The shape of Aedes' Client: what hooks, events and code written for Aedes see of a connection. The connection itself
 * adds the bytes.
 */
import { EventEmitter } from 'node:events';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { SubscribePacket, UnsubscribePacket } from '../wire/packets.js';
import { type AedesSubscription, messageOf, type PublishRequest } from './aedes-packets.js';
import { deliverAlone } from './broker-publications.js';
import type { Environment } from './environment.js';
import { UNWRITABLE } from './reasons.js';
import type { Session } from './session.js';

/**
 * `new`: no CONNECT yet. `connecting`: CONNECT is being decided. `authenticating`: the same, but AUTH of the client is
 * awaited. `connected`: CONNACK has left. `closed`: gone, or going: nothing is sent or taken any more.
 */
export type ConnectionState = 'new' | 'connecting' | 'authenticating' | 'connected' | 'closed';

export abstract class AedesClient extends EventEmitter {
  readonly environment: Environment;
  state: ConnectionState = 'new';
  /** Client identifier; empty before CONNECT. */
  id = '';
  clean = true;
  session: Session | null = null;

  constructor(environment: Environment) {
    super();
    this.environment = environment;
  }

  /** Carries out SUBSCRIBE or UNSUBSCRIBE; packet identifier 0 asks for no answer. Rejects if a hook fails. */
  protected abstract carryOut(packet: SubscribePacket | UnsubscribePacket): Promise<void>;
  abstract terminate(reasonCode: number, reason: string): void;

  get connecting(): boolean {
    return this.state === 'connecting' || this.state === 'authenticating';
  }

  get connected(): boolean {
    return this.state === 'connected';
  }

  get closed(): boolean {
    return this.state === 'closed';
  }

  /** Delivers a message to this client alone, as if it had a subscription for it. */
  publish(request: PublishRequest, done?: (error?: Error) => void): void {
    const { environment, session } = this;
    if (session === null || this.closed) {
      done?.(new Error('the connection is closed'));
      return;
    }
    const message = messageOf(request, '', environment.clock.now());
    if (environment.commit.load.strained && session.durable && message.qos > 0) {
      environment.counters.refusedPublish++;
      environment.journal.limit(
        null,
        environment.commit.load.cause,
        `a publication to client ${JSON.stringify(session.id)} was refused`,
      );
      done?.(new PorticoError(ErrorKinds.StoreCommit, UNWRITABLE));
      return;
    }
    deliverAlone(environment, session, message);
    if (done) environment.commit.whenSettled(() => done());
  }

  subscribe(
    request: AedesSubscription | AedesSubscription[] | { subscriptions: AedesSubscription[] },
    done?: (error?: Error | null) => void,
  ): void {
    const list = Array.isArray(request) ? request : 'subscriptions' in request ? request.subscriptions : [request];
    const subscriptions = list.map(({ topic, qos, nl = false, rap = false, rh = 0 }) => ({ topic, qos, nl, rap, rh }));
    this.carryOut({ cmd: 'subscribe', messageId: 0, subscriptions }).then(
      () => done?.(null),
      (error: Error) => done?.(error),
    );
  }

  unsubscribe(request: string | string[] | { unsubscriptions: string[] }, done?: (error?: Error | null) => void): void {
    const list = typeof request === 'string' ? [request] : Array.isArray(request) ? request : request.unsubscriptions;
    this.carryOut({ cmd: 'unsubscribe', messageId: 0, unsubscriptions: list }).then(
      () => done?.(null),
      (error: Error) => done?.(error),
    );
  }

  /** Aedes' way to send what waits; here it is always being sent. */
  emptyOutgoingQueue(done?: () => void): void {
    this.session?.outbound.pump();
    done?.();
  }

  /** Closes the connection from the broker's side, with DISCONNECT to an MQTT 5.0 client. */
  close(done?: () => void): void {
    this.terminate(0x98, 'closed by the broker');
    if (done) setImmediate(done);
  }
}
