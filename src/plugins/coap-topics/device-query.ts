/** What a query says of the device that sends it, with the short names of EMQX's gateway. */

export interface DeviceQuery {
  /** `clientid` or `c`. */
  readonly clientId?: string;
  /** `username` or `u`. */
  readonly username?: string;
  /** `password` or `p`. */
  readonly password?: string;
  /** `token` or `t`: what a connection was answered with. */
  readonly token?: string;
  /** `session`: the name of a durable observation. */
  readonly session?: string;
}

const NAMES: ReadonlyMap<string, keyof DeviceQuery> = new Map([
  ['clientid', 'clientId'],
  ['c', 'clientId'],
  ['username', 'username'],
  ['u', 'username'],
  ['password', 'password'],
  ['p', 'password'],
  ['token', 'token'],
  ['t', 'token'],
  ['session', 'session'],
]);

const NOTHING: DeviceQuery = {};

/** Reads the query; what comes twice counts the last time. An empty value is as good as none. */
export function readDeviceQuery(query: readonly string[]): DeviceQuery {
  if (query.length === 0) return NOTHING;
  let said: { -readonly [Name in keyof DeviceQuery]: DeviceQuery[Name] } | null = null;
  for (const argument of query) {
    const at = argument.indexOf('=');
    const name = at < 0 ? undefined : NAMES.get(argument.slice(0, at));
    if (name === undefined || at === argument.length - 1) continue;
    said ??= {};
    said[name] = argument.slice(at + 1);
  }
  return said ?? NOTHING;
}

const ESCAPE = /%([0-9a-f]{2})/gi;

/**
 * Whether an argument of a query must not be shown to anybody: a password, or the token of a connection. Also one that is
 * not taken, since its name has other letters or escapes of URIs: what stands behind it is a secret all the same.
 */
export function isSecret(argument: string): boolean {
  const at = argument.indexOf('=');
  if (at < 0) return false;
  const said = argument.slice(0, at);
  const meant = said.replace(ESCAPE, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  const name = NAMES.get(meant.toLowerCase());
  return name === 'password' || name === 'token';
}

/** Whether an argument of a query is one that says who the device is. */
export function isOfDevice(argument: string): boolean {
  const at = argument.indexOf('=');
  return at >= 0 && NAMES.has(argument.slice(0, at));
}
