/** What a client may do by the access control list, remembered for the topics that it last had to do with. */
import { type Acl, Rights } from '../access/acl/acl.js';
import type { Decision, FilterDecision } from '../access/acl/rule.js';
import type { Grant } from '../bus/party.js';
import type { Route } from '../bus/router.js';
import type { AccessControl } from './access-control.js';

/** Whoever has rights. */
export interface RightsHolder {
  readonly id: string;
  /** Of clients inside the process only: what it does stands in the configuration. */
  readonly trusted?: boolean;
  readonly username: string | null;
  readonly grant?: Grant | null;
  /** What decides on it. */
  readonly access: AccessControl;
  rights: ClientRights | null;
}

/** Topics whose decisions a client remembers for each action; beyond it memory starts anew. */
const REMEMBERED = 64;

/** Decisions on one action: the last one costs a comparison, those before it a look into a table. */
class Remembered {
  readonly #rights: Rights;
  readonly #action: 'publish' | 'receive';
  /** Null until a topic comes. */
  #decisions: Map<Route, Decision> | null = null;
  #route: Route | null = null;
  #decision: Decision | null = null;

  constructor(rights: Rights, action: 'publish' | 'receive') {
    this.#rights = rights;
    this.#action = action;
  }

  decide(route: Route): Decision {
    if (route === this.#route && this.#decision !== null) return this.#decision;
    const decision = this.#decisions?.get(route) ?? this.#learn(route);
    this.#route = route;
    this.#decision = decision;
    return decision;
  }

  #learn(route: Route): Decision {
    const decision = this.#rights.decide(this.#action, route.topic);
    // A route that is not kept is another object when its topic comes again.
    if (route.evicted) return decision;
    this.#decisions ??= new Map();
    if (this.#decisions.size >= REMEMBERED) this.#decisions.clear();
    this.#decisions.set(route, decision);
    return decision;
  }
}

export class ClientRights {
  readonly acl: Acl;
  readonly username: string | null;
  readonly #rights: Rights;
  readonly #publishing: Remembered;
  readonly #receiving: Remembered;

  constructor(acl: Acl, { username, id: clientId, grant = null }: RightsHolder) {
    this.acl = acl;
    this.username = username;
    this.#rights = new Rights(acl, { username, clientId, grant });
    this.#publishing = new Remembered(this.#rights, 'publish');
    this.#receiving = new Remembered(this.#rights, 'receive');
  }

  publish(route: Route): Decision {
    return this.#publishing.decide(route);
  }

  receive(route: Route): Decision {
    return this.#receiving.decide(route);
  }

  /** For topics that are no routes: of queues, and of retained messages. */
  decide(action: 'publish' | 'receive', topic: string): Decision {
    return this.#rights.decide(action, topic);
  }

  subscribe(filter: string): FilterDecision {
    return this.#rights.decideFilter(filter);
  }
}

/** The rights of a client by the list that is in force now. */
export function rightsOf(holder: RightsHolder, acl: Acl): ClientRights {
  const known = holder.rights;
  if (known !== null && known.acl === acl && known.username === holder.username) return known;
  const rights = new ClientRights(acl, holder);
  holder.rights = rights;
  return rights;
}

/** The list that a client inside the process is asked by; null for none. */
export function aclOf({ trusted, access }: Pick<RightsHolder, 'trusted' | 'access'>): Acl | null {
  return trusted === true ? null : access.acl;
}

/** Whether a message may go to a client. @param route null if its topic is no route */
export function mayReceive(holder: RightsHolder, acl: Acl, route: Route | null, topicBytes: Buffer): boolean {
  const rights = rightsOf(holder, acl);
  return (route === null ? rights.decide('receive', topicBytes.utf8Slice()) : rights.receive(route)).allowed;
}
