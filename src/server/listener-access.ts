/** What decides on the clients of each listener of MQTT: what it has of its own (`listeners.N.access`), or what all have. */
import type { AuthenticationMethod } from '../access/authentication-method.js';
import type { Passwords, PasswordsOptions } from '../access/passwords.js';
import { ScramSha256 } from '../access/scram.js';
import { storeNames } from '../config/listener-access.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { type AccessControl, usualAccess } from '../session/access-control.js';
import type { AccessFiles, EveryAccess } from './access-files.js';
import { Backends } from './backends.js';
import { identifier } from './identification.js';

/** Nobody is asked about the clients of a listener that has its own files. */
const NO_BACKENDS = new Backends();

/** One listener. */
interface Standing {
  /** Its name in the store. */
  readonly name: string;
  readonly control: AccessControl;
  /** The files that hold for it. */
  files: AccessFiles;
  /** Of its own; null if it has none. */
  scram: ScramSha256 | null;
}

export class ListenerAccess {
  readonly #standing = new Map<ListenerConfig, Standing>();
  readonly #usual: Passwords;
  /** By the path of the file, so that listeners with the same one share what is known of it. */
  readonly #passwords = new Map<string, Passwords>();
  /** Methods that are, or were, of a listener's own. */
  readonly #ownMethods = new WeakSet<AuthenticationMethod>();
  #files: EveryAccess;

  /**
   * @param listeners those of the start
   * @param usual of the users of `access.password_file`, whose line and table all others share
   */
  constructor(listeners: Config['listeners'], usual: Passwords, files: EveryAccess) {
    this.#usual = usual;
    this.#files = files;
    for (const [listener, name] of storeNames(listeners)) {
      const standing = { name, control: usualAccess(files.usual.acl), files: files.usual, scram: null };
      this.#standing.set(listener, standing);
      this.#apply(standing, files.own.get(listener));
    }
  }

  /** What decides on those that come by a listener of the start. */
  of(listener: ListenerConfig): AccessControl {
    return this.#standing.get(listener)?.control ?? usualAccess(this.#files.usual.acl);
  }

  /** The files by which a client was let in. @param listener undefined for one that came by none of MQTT */
  filesOf(listener: ListenerConfig | undefined): AccessFiles {
    const standing = listener && this.#standing.get(listener);
    return standing?.files ?? this.#files.usual;
  }

  /**
   * Whether a client stays that came by a method: not if that belongs to another section than the one that holds for its listener
   * now. Who the users of a method are does not matter, as by `access.scram_file`.
   */
  keeps(method: AuthenticationMethod, listener: ListenerConfig | undefined): boolean {
    const methods = (listener && this.#standing.get(listener)?.control.methods) ?? null;
    return methods === null ? !this.#ownMethods.has(method) : methods.get(method.name) === method;
  }

  /** What decides by each listener, by its name in the store; empty if none has anything of its own. */
  get controls(): ReadonlyMap<string, AccessControl> {
    const all = [...this.#standing.values()];
    if (!all.some(({ control }) => control.listener !== '')) return new Map();
    return new Map(all.map(({ name, control }) => [name, control]));
  }

  /** Of the access control lists in force. */
  get warnings(): string[] {
    const lists = [this.#files.usual, ...[...this.#standing.values()].map(({ files }) => files)];
    return [...new Set(lists.flatMap(({ acl }) => acl?.warnings ?? []))];
  }

  /**
   * Puts other files in the place of those there are.
   * @param counterpartOf the listener of the other configuration that is at the place of one of this; one without keeps what it has
   * of its own until it closes
   * @returns the files that there were, of a client by its listener
   */
  replace(
    files: EveryAccess,
    options: PasswordsOptions,
    counterpartOf: (listener: ListenerConfig) => ListenerConfig | undefined,
  ): (listener: ListenerConfig | undefined) => AccessFiles {
    const [before, usual] = [new Map<ListenerConfig | undefined, AccessFiles>(), this.#files.usual];
    this.#files = files;
    this.#usual.replace(files.usual.passwords);
    this.#usual.replaceOptions(options);
    for (const { passwordFile, passwords } of files.own.values()) {
      if (passwordFile !== null) this.#passwords.get(passwordFile)?.replace(passwords);
    }
    for (const [listener, standing] of this.#standing) {
      before.set(listener, standing.files);
      const there = counterpartOf(listener);
      if (there !== undefined) this.#apply(standing, files.own.get(there));
      else if (standing.control.listener === '') this.#apply(standing, undefined);
      // What it shared with others may be another file for them now.
      else standing.control.identify = identifier(this.#usual.beside(standing.files.passwords), NO_BACKENDS);
    }
    return (listener) => before.get(listener) ?? usual;
  }

  /** @param own undefined for a listener for which those of all hold */
  #apply(standing: Standing, own: AccessFiles | undefined): void {
    const { control, name } = standing;
    const files = own ?? this.#files.usual;
    standing.files = files;
    control.acl = files.acl;
    control.listener = own === undefined ? '' : name;
    control.identify = own === undefined ? null : identifier(this.#passwordsOf(own), NO_BACKENDS);
    const { scram = null } = own ?? {};
    if (scram === null) standing.scram = null;
    else if (standing.scram === null) standing.scram = new ScramSha256(scram);
    else standing.scram.replace(scram);
    const methods = standing.scram === null ? [] : [standing.scram];
    for (const method of methods) this.#ownMethods.add(method);
    control.methods = own === undefined ? null : new Map(methods.map((method) => [method.name, method]));
  }

  #passwordsOf({ passwordFile: path, passwords: file }: AccessFiles): Passwords {
    if (path === this.#files.usual.passwordFile && path !== null) return this.#usual;
    const known = this.#passwords.get(path ?? '');
    if (known !== undefined) return known;
    const passwords = this.#usual.beside(file);
    this.#passwords.set(path ?? '', passwords);
    return passwords;
  }
}
