/** Retained messages stand on the rights that their publishers have now (`access.check_retain_source`). */
import { Rights } from '../access/acl/acl.js';
import { words } from '../access/acl/rule.js';
import type { Source } from '../bus/message.js';
import type { RetainedGuard } from '../bus/retained-vouching.js';
import { type AccessControl, accessAt, NO_LISTENER } from './access-control.js';
import { partyOf } from './broker-publications.js';
import type { Environment } from './environment.js';

/** Publishers whose rights are kept at hand: few publish most messages. */
const AT_HAND = 256;

class RetainedRights implements RetainedGuard {
  readonly #environment: Environment;
  /** By client identifier; null for one that may do everything. */
  readonly #known = new Map<string, { readonly source: Source; readonly rights: Rights | null }>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  allows(source: Source, topic: string): boolean {
    const access = accessAt(this.#environment, source.listener);
    if (access === null) return this.#deny(source, topic, NO_LISTENER);
    const decision = this.#rightsOf(source, access)?.decide('publish', topic);
    return decision === undefined || decision.allowed || this.#deny(source, topic, words(decision.rule));
  }

  #deny(source: Source, topic: string, why: string): false {
    const reason = `its retained message is not delivered (access.check_retain_source): ${why}`;
    this.#environment.journal.denied(partyOf(source), 'publish', topic, reason);
    return false;
  }

  #rightsOf(source: Source, { acl }: AccessControl): Rights | null {
    const { id, username, listener } = source;
    const known = this.#known.get(id);
    if (known?.source.username === username && known.source.listener === listener) return known.rights;
    const rights = acl === null ? null : new Rights(acl, { username, clientId: id });
    if (this.#known.size >= AT_HAND) this.#known.clear();
    this.#known.set(id, { source, rights });
    return rights;
  }
}

/** Call when the access control lists, or whether they are asked, have changed. */
export function guardRetained(environment: Environment): void {
  const { router, access, listenerAccess, options } = environment;
  // Where listeners have their own, a message whose listener is gone is not delivered, even if no list is left.
  const asked = options.checkRetainSource && (access.acl !== null || listenerAccess.size > 0);
  router.retained.sources.guardBy(asked ? new RetainedRights(environment) : null);
}
