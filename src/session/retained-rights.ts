/** Retained messages stand on the rights that their publishers have now (`access.check_retain_source`). */
import { type Acl, Rights } from '../access/acl/acl.js';
import { words } from '../access/acl/rule.js';
import type { Source } from '../bus/message.js';
import type { RetainedGuard } from '../bus/retained-vouching.js';
import { partyOf } from './broker-publications.js';
import type { Environment } from './environment.js';
import type { Journal } from './journal.js';

/** Publishers whose rights are kept at hand: few publish most messages. */
const AT_HAND = 256;

class RetainedRights implements RetainedGuard {
  readonly #acl: Acl;
  readonly #journal: Journal;
  /** By client identifier. */
  readonly #rights = new Map<string, { readonly username: string | null; readonly rights: Rights }>();

  constructor(acl: Acl, journal: Journal) {
    this.#acl = acl;
    this.#journal = journal;
  }

  allows(source: Source, topic: string): boolean {
    const { allowed, rule } = this.#rightsOf(source).decide('publish', topic);
    if (allowed) return true;
    const reason = `its retained message is not delivered (access.check_retain_source): ${words(rule)}`;
    this.#journal.denied(partyOf(source), 'publish', topic, reason);
    return false;
  }

  #rightsOf({ id, username }: Source): Rights {
    const known = this.#rights.get(id);
    if (known !== undefined && known.username === username) return known.rights;
    const rights = new Rights(this.#acl, { username, clientId: id });
    if (this.#rights.size >= AT_HAND) this.#rights.clear();
    this.#rights.set(id, { username, rights });
    return rights;
  }
}

/** Call when the access control list, or whether it is asked, has changed. */
export function guardRetained({ router, access, options, journal }: Environment): void {
  const { acl } = access;
  router.retained.sources.guardBy(acl === null || !options.checkRetainSource ? null : new RetainedRights(acl, journal));
}
