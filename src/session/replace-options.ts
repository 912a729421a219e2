/** Other options in the place of those of a broker that runs. What each of them then means is in docs/reload.md. */
import { getHeapStatistics } from 'node:v8';
import type { Acl } from '../access/acl/acl.js';
import type { AccessControl } from './access-control.js';
import type { Environment, SessionOptions } from './environment.js';
import { replaceLockout } from './failed-login.js';
import { guardRetained } from './retained-rights.js';

/** Bytes of the JavaScript heap that sessions and what belongs to them may take. */
export function heapLimitOf({ memory }: Pick<SessionOptions, 'memory'>): number {
  return Math.min(memory, getHeapStatistics().heap_size_limit / 2);
}

/** Connections that there are keep what CONNACK has told them: they have a look at their own `options` for that. */
export function replaceOptions(environment: Environment, options: SessionOptions): void {
  environment.options = options;
  environment.budget.limit = options.memory;
  environment.heap.limit = heapLimitOf(options);
  environment.arriving.limit = options.memory;
  environment.gate.replace(options);
  environment.addressRates.replace(options);
  replaceLockout(environment);
  environment.router.replaceLimits(options);
  environment.router.shared.replaceStrategy(options.sharedStrategy);
}

/** Other access control lists. @param listeners see `Environment.listenerAccess` */
export function replaceAccess(
  environment: Environment,
  acl: Acl | null,
  listeners: ReadonlyMap<string, AccessControl>,
): void {
  const { access, sessions, wills } = environment;
  access.acl = acl;
  environment.listenerAccess = listeners;
  guardRetained(environment);
  wills.placeAnew((id) => sessions.get(id)?.connection ?? undefined);
}
