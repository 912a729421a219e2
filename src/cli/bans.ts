/** `portico bans`: who is banned for failed logins, asked of the running broker. */
import { BANS_PATH, type BanList, LIFT_PATH, type Lifted, type ToldBan } from '../admin/bans.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { brokerAnswer } from './broker-answers.js';

/** Without `lift`, the bans are listed. */
export interface BansRequest {
  readonly lift?: {
    /** Null for all addresses. */
    readonly address: string | null;
    /** Null for all users. */
    readonly user: string | null;
  };
}

/**
 * Lists or lifts bans; returns what to print.
 * @throws PorticoError `PORTICO_CONTROL`, with the broker's words or why it cannot be asked
 */
export async function bans(request: LoadRequest, { lift }: BansRequest): Promise<string> {
  const { data_dir: directory } = loadConfig(request).config;
  if (lift === undefined) {
    const { bans: list } = await brokerAnswer<BanList>(directory, 'GET', BANS_PATH);
    return list.length === 0 ? 'nobody is banned' : list.map(lineOf).join('\n');
  }
  const query = new URLSearchParams();
  if (lift.address !== null) query.set('address', lift.address);
  if (lift.user !== null) query.set('user', lift.user);
  const { lifted } = await brokerAnswer<Lifted>(directory, 'POST', `${LIFT_PATH}?${query}`);
  return `bans lifted: ${lifted}`;
}

function lineOf({ address, transport, user, failures, until }: ToldBan): string {
  const over = transport === null ? '' : ` over ${transport}`;
  const who = user === null ? 'everybody' : `user ${JSON.stringify(user)}`;
  return `${address}${over}: ${who}, until ${until}, for ${failures} failed logins`;
}
