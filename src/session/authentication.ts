/** Whether user name and password are right: the one question of MQTT connections and of clients inside the process. */
import type { Answer, Ignored } from '../access/backends/backend.js';
import type { Verdict } from '../access/passwords.js';
import { ReasonCode, reasonText } from '../wire/reason-codes.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import { banned, loginFailed } from './failed-login.js';
import type { AuthenticateError } from './hooks.js';
import type { InProcessClient } from './in-process-client.js';

/** A client that is not let in. */
export interface Refusal {
  /** MQTT 5.0 reason code, 0x80 or above. */
  readonly reasonCode: number;
  /** For the log, in words. */
  readonly reason: string;
  /** What the client is told. */
  readonly told: string;
}

const NO_PASSWORD = new Uint8Array(0);
const BUSY = 'limits.password_queue is reached';

/**
 * Portico's own decision on user name and password; counts a refusal.
 * @param anonymous whether a client without user name may come this way
 */
export async function checkPassword(
  environment: Environment,
  client: Connection | InProcessClient,
  username: string | undefined,
  password: Buffer | undefined,
  anonymous: boolean,
): Promise<Refusal | null> {
  const { hooks, counters, journal, lockout, refusals } = environment;
  const user = username ?? null;
  const ban = banned(environment, client, user);
  if (ban !== null) return ban;
  const { remote, transport } = client;
  const wanted = (): boolean => !client.closed && lockout.banOf(remote, transport, user) === null;
  const identify = client.access.identify ?? hooks.identify;
  const identified = identify(username, password, anonymous, wanted, client);
  const isLater = typeof identified === 'object' && 'then' in identified;
  const verdict = isLater ? await answered(environment, client, identified) : identified;
  // Others may have failed meanwhile: a guess that comes with theirs is not answered any more.
  const late = isLater ? banned(environment, client, user) : null;
  if (late !== null) return late;
  // A reload has put something else in the place of what was asked: files of the listener, or that of all.
  if (!client.closed && (client.access.identify ?? hooks.identify) !== identify) {
    const allowed = 'anonymousAllowed' in client ? client.anonymousAllowed : anonymous;
    return checkPassword(environment, client, username, password, allowed);
  }
  if (verdict === true) return null;
  if (typeof verdict === 'object') return judge(environment, client, user, password, verdict);
  if (verdict === 'busy') {
    counters.refusedAtPasswordQueue++;
    journal.limit(client, 'limits.password_queue', 'a connection was refused: too many passwords wait to be checked');
    return { reasonCode: ReasonCode.ServerBusy, reason: BUSY, told: BUSY };
  }
  counters.deniedConnect++;
  const known = username !== undefined;
  if (known) {
    const delay = loginFailed(environment, client, { username, method: 'password', secret: password ?? NO_PASSWORD });
    await refusals.wait(client, delay);
  }
  const reason = known ? 'bad user name or password' : 'no user name, and anonymous clients are not allowed';
  const reasonCode = known ? ReasonCode.BadUserNameOrPassword : ReasonCode.NotAuthorized;
  return { reasonCode, reason, told: reason };
}

/** What comes of the answer of a back-end. */
async function judge(
  environment: Environment,
  client: Connection | InProcessClient,
  username: string | null,
  password: Buffer | undefined,
  answer: Exclude<Answer, Ignored>,
): Promise<Refusal | null> {
  const { counters, journal, refusals } = environment;
  if (answer.outcome === 'allow') {
    client.grant = answer.grant;
    client.username = answer.grant.username ?? username;
    // The token may name another user than the one that was looked for.
    return banned(environment, client, client.username);
  }
  if (answer.outcome === 'unavailable') {
    const { busy, option, reason } = answer;
    if (busy) counters.refusedAtHttpQueue++;
    else counters.refusedUnidentified++;
    journal.limit(client, option, `a connection was refused: ${reason}`);
    const reasonCode = busy ? ReasonCode.ServerBusy : ReasonCode.ServerUnavailable;
    return { reasonCode, reason, told: busy ? `${option} is reached` : 'nobody can tell who the client is now' };
  }
  counters.deniedConnect++;
  const delay = loginFailed(environment, client, { username, method: answer.by, secret: password ?? NO_PASSWORD });
  await refusals.wait(client, delay);
  const told = 'bad user name or password';
  return { reasonCode: ReasonCode.BadUserNameOrPassword, reason: `${told}: ${answer.reason}`, told };
}

/** The answer, and for how long the client had to wait for it. */
async function answered(
  { clock }: Environment,
  client: Connection | InProcessClient,
  verdict: Promise<Verdict>,
): Promise<Verdict> {
  const entry = 'entry' in client ? client.entry : null;
  if (entry === null) return verdict;
  entry.checkedSince = clock.now();
  try {
    return await verdict;
  } finally {
    entry.waited = (entry.waited ?? 0) + clock.now() - entry.checkedSince;
    entry.checkedSince = undefined;
  }
}

/** Asks Aedes' `authenticate`; counts a refusal. */
export async function askAuthenticate(
  environment: Environment,
  client: Connection | InProcessClient,
  username: string | undefined,
  password: Buffer | undefined,
): Promise<Refusal | null> {
  const { hooks, counters, refusals } = environment;
  if (hooks.authenticate === null) return null;
  const outcome = await new Promise<{ error: AuthenticateError | null; ok: boolean }>((resolve) => {
    hooks.authenticate?.(client, username, password, (error, ok) => resolve({ error: error ?? null, ok: ok === true }));
  });
  if (outcome.error === null && outcome.ok) return null;
  counters.deniedConnect++;
  const error = outcome.error ?? new Error('not authorized');
  hooks.emit('clientError', client, error);
  const reasonCode = reasonOf(error);
  // Another code, or none, may be a fault of whoever was asked, and no guess.
  if (password !== undefined && (outcome.error === null || reasonCode === ReasonCode.BadUserNameOrPassword)) {
    const failure = { username: username ?? null, method: 'hook', secret: password };
    await refusals.wait(client, loginFailed(environment, client, failure));
  }
  return { reasonCode, reason: error.message, told: reasonText(reasonCode) };
}

/** The MQTT 5.0 reason code for an Aedes return code. */
function reasonOf(error: AuthenticateError): number {
  switch (error.returnCode) {
    case 2:
      return ReasonCode.ClientIdentifierNotValid;
    case 3:
      return 0x88;
    case 4:
      return ReasonCode.BadUserNameOrPassword;
    default:
      return ReasonCode.NotAuthorized;
  }
}
