/**
 * What the server owes one session, in the order in which it came to owe it, and the judgement of what arrives: MQTT
 * 4.3 (delivery), 4.4 (sending again), 4.6 (order) and 4.9 (flow control). Section and statement numbers are MQTT 5.0's.
 */
import type { Arrival, Claim, Copy, Publication, Qos } from './terms.js';

/** The network connection of a session. */
export interface Connected {
  readonly version: 4 | 5;
  /** Most QoS 1 and 2 copies that may be sent and not acknowledged. */
  readonly window: number;
  /** Highest publication number that has been sent, by line. */
  readonly latest: Map<string, number>;
  /** Packet identifiers of PUBRECs that wait for PUBREL, in the order in which they were sent. */
  readonly releases: number[];
}

interface Delivery {
  readonly copy: Copy;
  optional: boolean;
  /** `received`: the client has sent PUBREC. */
  state: 'waiting' | 'sent' | 'received';
  packetId: number;
  /** PUBLISH, or after PUBREC its PUBREL, has been sent on the connection that is open. */
  here: boolean;
  /** PUBLISH was sent on the connection that is open, so that it counts against Receive Maximum. */
  counts: boolean;
  /** The server cannot say whether it had been sent before: DUP may be either, and what has expired may be deleted. */
  inDoubt: boolean;
}

export class Owed {
  #deliveries: Delivery[] = [];
  /** Acknowledged to the end; a server that dies may have forgotten that. */
  #done: Delivery[] = [];
  connection: Connected | null = null;
  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  add(copy: Copy): void {
    const { optional } = copy;
    this.#deliveries.push({
      copy,
      optional,
      state: 'waiting',
      packetId: 0,
      here: false,
      counts: false,
      inDoubt: false,
    });
  }

  /** Copies that are not on their way yet. */
  waiting(): Copy[] {
    return this.#deliveries.flatMap(({ state, copy }) => (state === 'waiting' ? [copy] : []));
  }

  /** What is not on its way yet and fits the description need not be sent any more. */
  excuse(fits: (copy: Copy) => boolean): void {
    for (const delivery of this.#deliveries) {
      if (delivery.state !== 'waiting' || !fits(delivery.copy)) continue;
      delivery.optional = true;
      if (delivery.copy.claim !== null) delivery.copy.claim.optional = true;
    }
  }

  /** The session has ended: what another member of a shared subscription gets in its place, for certain or perhaps. */
  leftToOthers(): { claim: Claim; certain: boolean }[] {
    return this.#deliveries.flatMap(({ copy, state, optional, inDoubt }) => {
      const { claim, qos } = copy;
      // A QoS 2 message that it has begun to receive goes to nobody else [MQTT-4.8.2-5].
      const begun = state === 'received' || (state === 'sent' && qos === 2);
      if (claim === null || begun || !this.#mayBeHere(copy)) return [];
      return [{ claim, certain: !optional && !(inDoubt && qos === 2) }];
    });
  }

  /** It was sent to another member. */
  withdraw(claim: Claim): void {
    this.#deliveries = this.#deliveries.filter(({ state, copy }) => state !== 'waiting' || copy.claim !== claim);
  }

  #mayBeHere({ claim }: Copy): boolean {
    return claim === null || claim.unsettled || claim.takenBy === null || claim.takenBy === this.#id;
  }

  /**
   * The connection is gone, and with it what was to be sent at QoS 0.
   * @param unseen whether the client may have missed what the server had sent
   */
  suspend(now: number, unseen: boolean): void {
    this.connection = null;
    this.#expire(now);
    const lost = this.#deliveries.filter(({ state, copy }) => state === 'waiting' && copy.qos === 0);
    for (const { copy } of lost) if (copy.claim !== null) copy.claim.optional = true;
    this.#deliveries = this.#deliveries.filter((delivery) => !lost.includes(delivery));
    for (const delivery of this.#deliveries) {
      delivery.here = false;
      delivery.counts = false;
      if (unseen && delivery.state === 'waiting') delivery.inDoubt = true;
    }
  }

  /** The server has died: it may not remember the last acknowledgements, so their packets may be sent again. */
  forgetAcknowledgements(): void {
    for (const delivery of this.#done) {
      this.#deliveries.push({ ...delivery, optional: true, here: false, counts: false });
    }
    this.#done = [];
  }

  /** PUBLISH arrives. Returns why it must not have been sent, or null if it is as it should be. */
  publish(arrival: Arrival, now: number): string | null {
    const { connection } = this;
    if (connection === null) return 'the session has no connection';
    const same = this.#deliveries.filter(({ copy }) => isOf(copy.publication, arrival));
    if (same.length === 0) return 'nothing like it is owed';
    // Of two that look alike, the one with its packet identifier, or the one that must come here.
    const rank = ({ state, packetId, optional, copy }: Delivery): number => {
      if (state === 'sent' && arrival.dup && packetId === arrival.packetId) return 0;
      return optional ? 3 : copy.claim !== null ? 2 : 1;
    };
    same.sort((a, b) => rank(a) - rank(b));
    const faults: string[] = [];
    for (const delivery of same) {
      const fault = this.#fault(delivery, arrival, connection, now);
      if (fault === null) {
        this.#take(delivery, arrival, connection);
        return null;
      }
      if (!faults.includes(fault)) faults.push(fault);
    }
    return faults.join('; or ');
  }

  #fault(delivery: Delivery, arrival: Arrival, connection: Connected, now: number): string | null {
    const { copy, state } = delivery;
    const { publication } = copy;
    const { qos, retain, dup, packetId } = arrival;
    if (!this.#mayBeHere(copy)) return `${copy.claim?.takenBy} has got it, of its shared subscription (4.8.2)`;
    if (state === 'received') return 'PUBREC had been sent, so PUBREL is due, not PUBLISH [MQTT-4.3.3-6]';
    if (delivery.here) return 'it has been sent on this connection [MQTT-4.4.0-1]';
    // Portico passes a message on as its former member was owed it: at a lower QoS, or without RETAIN.
    const passedOn = state === 'waiting' && copy.claim?.passedOn === true;
    const lower = passedOn && qos > 0 && qos < copy.qos;
    if (qos !== copy.qos && !lower) return `QoS is not ${copy.qos} [MQTT-3.8.4-8] [MQTT-3.3.4-2]`;
    if (retain !== copy.retain && !(passedOn && !retain))
      return `RETAIN is not ${copy.retain} [MQTT-3.3.1-12] [MQTT-3.3.1-13]`;
    const identifiers = identifierFault(copy, arrival, connection);
    if (identifiers !== null) return identifiers;
    const expiry = expiryFault(publication, arrival, connection, now);
    if (expiry !== null) return expiry;
    if (state === 'sent') {
      if (!dup) return 'DUP is 0 although it was sent before [MQTT-3.3.1-1]';
      if (packetId !== delivery.packetId) return `its packet identifier was ${delivery.packetId} [MQTT-4.4.0-1]`;
    } else {
      if (dup && (qos === 0 || !delivery.inDoubt)) return 'DUP is 1 although it was not sent before [MQTT-3.3.1-3]';
      const begun = delivery.inDoubt && dup;
      if (!begun && publication.expiresAt <= now) return 'it has expired [MQTT-3.3.2-5]';
      if (qos > 0 && this.#inUse(packetId)) return `packet identifier ${packetId} is in use [MQTT-2.2.1-4]`;
    }
    if (qos > 0 && this.#deliveries.filter(({ counts }) => counts).length >= connection.window) {
      return `${connection.window} are in flight, which is Receive Maximum [MQTT-3.3.4-9]`;
    }
    if (inLine(copy) && publication.number <= (connection.latest.get(lineOf(copy, qos)) ?? -1)) {
      return 'a later one of its publisher, topic and QoS came before it [MQTT-4.6.0-6]';
    }
    return null;
  }

  #take(delivery: Delivery, { qos, retain, packetId }: Arrival, connection: Connected): void {
    const { publication, claim } = delivery.copy;
    if (claim !== null) {
      claim.takenBy = this.#id;
      // Offered again to a member whose subscription has changed meanwhile, it still comes once.
      this.#deliveries = this.#deliveries.filter((each) => each === delivery || each.copy.claim !== claim);
    }
    if (inLine(delivery.copy)) connection.latest.set(lineOf(delivery.copy, qos), publication.number);
    if (qos === 0) {
      this.#deliveries.splice(this.#deliveries.indexOf(delivery), 1);
      return;
    }
    const copy: Copy = { ...delivery.copy, qos, retain };
    Object.assign(delivery, { copy, state: 'sent', packetId, here: true, counts: true });
  }

  #inUse(packetId: number): boolean {
    return this.#deliveries.some(
      ({ state, packetId: used, optional }) => state !== 'waiting' && used === packetId && !optional,
    );
  }

  /** PUBREL arrives. Returns why it must not have been sent, or null. */
  pubrel(packetId: number): string | null {
    const { connection } = this;
    const delivery = this.#deliveries.find((each) => each.state === 'received' && each.packetId === packetId);
    if (connection === null || delivery === undefined) return 'nothing is to be released under its packet identifier';
    if (delivery.here) return 'it has been sent on this connection [MQTT-4.4.0-1]';
    const at = connection.releases.indexOf(packetId);
    if (at > 0) return `PUBREC of ${connection.releases[0]} was sent before [MQTT-4.6.0-4]`;
    if (at === 0) connection.releases.shift();
    delivery.here = true;
    return null;
  }

  /** The client sends PUBACK, PUBREC or PUBCOMP; `refused` if with a reason code that says it did not take it. */
  acknowledge(kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number, refused: boolean): void {
    const delivery = this.#deliveries.find((each) => each.here && each.packetId === packetId);
    if (delivery === undefined) throw new Error(`${kind} ${packetId} acknowledges nothing`);
    if (kind === 'pubrec' && !refused) {
      delivery.state = 'received';
      delivery.here = false;
      this.connection?.releases.push(packetId);
      return;
    }
    this.#deliveries.splice(this.#deliveries.indexOf(delivery), 1);
    this.#done.push(delivery);
  }

  /** Nothing is on its way: returns what should have been sent by now, or null. */
  missing(now: number): string | null {
    this.#expire(now);
    const { connection } = this;
    if (connection === null) return null;
    const unreleased = this.#deliveries.find(({ state, here, optional }) => state === 'received' && !here && !optional);
    // PUBREL does not wait for Receive Maximum [MQTT-3.3.4-10].
    if (unreleased !== undefined) return `PUBREL of ${describe(unreleased)}`;
    // What awaits PUBCOMP counts here also if PUBLISH was sent on an earlier connection: the server may be this careful.
    const inFlight = this.#deliveries.filter(({ here, counts }) => here || counts).length;
    if (inFlight >= connection.window) return null;
    const unsent = this.#deliveries.find(({ here, optional, state, copy }) => {
      // What waits for any member of a group may wait for another one.
      return state !== 'received' && !here && !optional && !(copy.claim !== null && state === 'waiting');
    });
    if (unsent !== undefined) return describe(unsent);
    // What the server might have sent and has not, with nothing in its way, it will not send any more.
    this.#deliveries = this.#deliveries.filter(({ here, counts }) => here || counts);
    return null;
  }

  /** The server is another one than before: it may not know what the former had begun to send. */
  restart(): void {
    for (const delivery of this.#deliveries) if (delivery.state === 'sent') delivery.inDoubt = true;
  }

  /** "If it has expired and the server has not started to deliver it, it MUST delete the copy" [MQTT-3.3.2-5]. */
  #expire(now: number): void {
    for (const delivery of this.#deliveries) {
      const { state, copy, here, inDoubt } = delivery;
      const begun = state === 'received' || (state === 'sent' && (here || !inDoubt));
      if (!begun && copy.publication.expiresAt <= now) delivery.optional = true;
    }
  }
}

function isOf(publication: Publication, { topic, payload }: Arrival): boolean {
  return publication.topic === topic && publication.payload === payload;
}

/** Messages of one line keep their order: those of one publisher, topic and QoS. */
function lineOf({ publication: { publisher, topic }, claim }: Copy, qos: Qos): string {
  return `${publisher} ${topic} ${qos} ${claim?.group ?? ''}`;
}

/** Whether it has a place in its line. */
function inLine({ retained, claim }: Copy): boolean {
  return retained === null && claim?.passedOn !== true;
}

function identifierFault(copy: Copy, { identifiers }: Arrival, { version }: Connected): string | null {
  const due = version === 5 ? copy.identifiers : [];
  if (due.every((each) => identifiers.includes(each)) && identifiers.every((each) => due.includes(each))) return null;
  return `Subscription Identifiers are not ${due.join() || 'none'} [MQTT-3.3.4-3]`;
}

function expiryFault(
  { expiresAt }: Publication,
  { expiry }: Arrival,
  { version }: Connected,
  now: number,
): string | null {
  if (expiresAt === Number.POSITIVE_INFINITY || version < 5) {
    return expiry === undefined ? null : 'it has a Message Expiry Interval that its publisher did not set';
  }
  // Whether a part of a second that has passed counts as one is left open.
  const left = Math.max(0, (expiresAt - now) / 1000);
  if (expiry !== undefined && Math.abs(expiry - left) <= 1) return null;
  return `Message Expiry Interval is not about ${left} [MQTT-3.3.2-6]`;
}

function describe({ copy, state, packetId }: Delivery): string {
  const { topic, payload } = copy.publication;
  const kind = copy.retained !== null ? 'retained message' : 'message';
  return `${kind} ${JSON.stringify(payload)} on ${topic}, QoS ${copy.qos}, ${state} (${packetId})`;
}
