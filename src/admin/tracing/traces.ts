/** All traces of a broker. While there are none, nobody is told anything. */
import type { Party } from '../../bus/party.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { Connection } from '../../session/connection.js';
import type { Environment } from '../../session/environment.js';
import type { InProcessClient } from '../../session/in-process-client.js';
import type { Tracer } from '../../session/tracing.js';
import type { ConnectPacket } from '../../wire/packets.js';
import { ConnectionTap } from './connection-tap.js';
import { isAbout, type Named, type Subject } from './subject.js';
import { TopicWatch } from './topic-watch.js';
import { type Sink, Trace } from './trace.js';

/** Taps at which those of connections that are gone are looked for. */
const MANY_TAPS = 64;

/** What traces need of the broker. */
export interface Traced {
  readonly environment: Environment;
  readonly connections: ReadonlySet<Connection>;
}

/** A connection that is listened in on. */
interface Tapped {
  readonly tap: ConnectionTap;
  readonly traces: Set<Trace>;
  /** What CONNECT has said; until its client is known, that is what it is called. */
  readonly claimed: Named | null;
}

export class Traces implements Tracer {
  readonly #broker: Traced;
  readonly #most: () => number;
  readonly #traces = new Map<Trace, TopicWatch | null>();
  readonly #tapped = new Map<Connection, Tapped>();
  #tidyAt = MANY_TAPS;

  /** @param most `limits.traces` */
  constructor(broker: Traced, most: () => number) {
    this.#broker = broker;
    this.#most = most;
  }

  /**
   * Begins a trace, with what there is of its subject.
   * @param payloadBytes bytes of payloads that are shown; 0 for none
   * @returns ends it
   * @throws PorticoError `PORTICO_LIMIT`, counted and logged
   */
  begin(subject: Subject, payloadBytes: number, sink: Sink): () => void {
    const { environment } = this.#broker;
    const { counters, journal, clock, tracing } = environment;
    if (this.#traces.size >= this.#most()) {
      counters.refusedTraces++;
      journal.limit(null, 'limits.traces', 'a trace was refused');
      throw new PorticoError(ErrorKinds.Limit, `limits.traces is reached: ${this.#traces.size} traces run`);
    }
    const trace = new Trace(subject, payloadBytes, sink, () => new Date(clock.now()).toISOString());
    const watch = subject.kind === 'topic' ? this.#watch(trace, subject.value) : null;
    this.#traces.set(trace, watch);
    tracing.tracer = this;
    trace.add({ event: 'tracing', subject: { [subject.kind]: subject.value } });
    this.#findPresent(trace);
    return () => this.#end(trace);
  }

  #watch(trace: Trace, filter: string): TopicWatch {
    return new TopicWatch(this.#broker.environment.router, filter, (party, fields, payload) => {
      if (trace.hasRoom()) trace.add({ ...this.#nameOf(party), event: 'published', ...fields() }, payload);
    });
  }

  #findPresent(trace: Trace): void {
    const { connections, environment } = this.#broker;
    const { inProcess, strangers } = environment.sessions;
    for (const connection of connections) {
      if (!connection.connected || !isAbout(trace.subject, connection)) continue;
      this.#follow(trace, connection, null);
      this.#present(trace, connection, connection.connectedAt);
    }
    const tellInside = (client: InProcessClient): void => {
      if (isAbout(trace.subject, client)) this.#present(trace, client, client.since);
    };
    inProcess.forEach(tellInside);
    strangers.forEach(tellInside);
  }

  #present(trace: Trace, party: Party, since: number): void {
    if (!trace.hasRoom()) return;
    trace.add({ ...this.#nameOf(party), event: 'present', since: new Date(since).toISOString() });
  }

  #end(trace: Trace): void {
    this.#traces.get(trace)?.remove();
    if (!this.#traces.delete(trace)) return;
    trace.close();
    for (const [connection, { tap, traces }] of this.#tapped) {
      traces.delete(trace);
      if (traces.size > 0) continue;
      tap.remove();
      this.#tapped.delete(connection);
    }
    if (this.#traces.size === 0) this.#broker.environment.tracing.tracer = null;
  }

  /** Listens in on a connection for a trace. @param claimed null if its client is known */
  #follow(trace: Trace, connection: Connection, claimed: Named | null): Tapped {
    const known = this.#tapped.get(connection);
    if (known !== undefined) {
      known.traces.add(trace);
      return known;
    }
    this.#tidy();
    const traces = new Set([trace]);
    const heard = (event: string, fields: () => object, payload?: Buffer): void => {
      for (const one of traces) {
        if (one.hasRoom()) one.add({ ...this.#nameOf(connection), event, ...fields() }, payload);
      }
    };
    const tapped = { tap: new ConnectionTap(connection, heard, connection.connected), traces, claimed };
    this.#tapped.set(connection, tapped);
    return tapped;
  }

  /** Forgets connections that are gone. */
  #tidy(): void {
    if (this.#tapped.size < this.#tidyAt) return;
    for (const [connection, { tap }] of this.#tapped) if (tap.closed) this.#tapped.delete(connection);
    this.#tidyAt = Math.max(MANY_TAPS, 2 * this.#tapped.size);
  }

  arrived(connection: Connection, packet: ConnectPacket): void {
    const { remote, proved } = connection;
    const claimed = { id: packet.clientId, username: proved ?? packet.username ?? null, remote };
    let tapped: Tapped | null = null;
    for (const trace of this.#traces.keys()) {
      if (isAbout(trace.subject, claimed)) tapped = this.#follow(trace, connection, claimed);
    }
    tapped?.tap.connected(packet);
  }

  follows(party: Party): boolean {
    for (const trace of this.#traces.keys()) if (this.#isFollowed(trace, party)) return true;
    return false;
  }

  #isFollowed(trace: Trace, party: Party): boolean {
    if (isAbout(trace.subject, party)) return true;
    return party instanceof Connection && this.#tapped.get(party)?.traces.has(trace) === true;
  }

  tell(party: Party, event: string, fields: object, payload?: Buffer): void {
    for (const trace of this.#traces.keys()) {
      if (!this.#isFollowed(trace, party)) continue;
      // What it is called may be known only now: a method of authentication, a certificate or the broker has said it.
      if (party instanceof Connection && event === 'connected') this.#follow(trace, party, null);
      if (trace.hasRoom()) trace.add({ ...this.#nameOf(party), event, ...fields }, payload);
    }
  }

  /** Who it is, as far as that is known. */
  #nameOf(party: Party | null): object {
    if (party === null) return { client: null };
    const claimed = party instanceof Connection && party.id === '' ? this.#tapped.get(party)?.claimed : null;
    const { id, username } = claimed ?? party;
    return {
      client: id === '' ? null : id,
      ...(username === null ? null : { username }),
      ...(party.remote === '' ? null : { address: party.remote }),
      ...(party.transport === '' ? null : { transport: party.transport }),
    };
  }
}
