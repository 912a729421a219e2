/**
 * What decides on clients: one for the whole broker, and others for the clients of listeners that have their own. A connection
 * belongs to one of them for as long as it lasts.
 */
import type { Acl } from '../access/acl/acl.js';
import type { AuthenticationMethod } from '../access/authentication-method.js';
import type { Environment } from './environment.js';
import type { Hooks } from './hooks.js';

/** A reload puts other things in its fields. */
export interface AccessControl {
  /** The access control list. Null for none: everybody may do everything. */
  acl: Acl | null;
  /** The listener whose own this is, as the store names it; empty for what the whole broker has. */
  listener: string;
  /** Whom it lets in; null for those whom the broker does. */
  identify: Hooks['identify'] | null;
  /** Methods of MQTT 5.0 4.12 that its clients may name; null for those of the broker. */
  methods: ReadonlyMap<string, AuthenticationMethod> | null;
}

/** That of the whole broker. */
export function usualAccess(acl: Acl | null): AccessControl {
  return { acl, listener: '', identify: null, methods: null };
}

/**
 * What decides on a client that is gone; null if the listener that it came by is not there any more.
 * @param listener empty or undefined for one that had nothing of its own
 */
export function accessAt(
  { access, listenerAccess }: Pick<Environment, 'access' | 'listenerAccess'>,
  listener = '',
): AccessControl | null {
  // Where no listener has anything of its own, one list is for all of them, also for those that are gone.
  if (listener === '' || listenerAccess.size === 0) return access;
  return listenerAccess.get(listener) ?? null;
}

/** Why somebody may do nothing whose listener is not there, in words. */
export const NO_LISTENER = 'the listener that it came by is not there any more';
