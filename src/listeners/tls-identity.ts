/** Who a client is by what it has shown in its handshake of TLS. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { commonNameOf } from '../coap/common-name.js';
import { certificateRefusal, nameRefusal } from '../coap/tcp/tls-session.js';

/** `username_from`: who it is by certificate or key, or who CONNECT says. */
export type UsernameFrom = 'identity' | 'subject' | 'connect';

export interface Demand {
  readonly usernameFrom: UsernameFrom;
  /** Whether clients are asked for a certificate, and whether one without is refused. */
  readonly certificate: 'none' | 'asked' | 'required';
  /** Whether a pre-shared key is the only way in. */
  readonly psk: boolean;
}

/** Bytes of the longest user name of MQTT (MQTT 5.0 1.5.4). */
const LONGEST_NAME = 65_535;

/**
 * The user name that a client has proved, null for none; or why it is refused.
 * @param identity that of its pre-shared key, if it has named one that is known
 */
export function usernameOf(
  socket: TLSSocket,
  { usernameFrom, certificate, psk }: Demand,
  identity: string | undefined,
): { readonly username: string | null } | string {
  if (psk) {
    if (identity === undefined) return 'no pre-shared key';
    return { username: usernameFrom === 'connect' ? null : identity };
  }
  const x509 = certificate === 'none' ? undefined : socket.getPeerX509Certificate();
  if (x509 === undefined) return certificate === 'required' ? 'no client certificate' : { username: null };
  // A certificate that is shown has to be good, also where none is required.
  if (!socket.authorized) return certificateRefusal(socket, x509);
  if (usernameFrom === 'connect') return { username: null };
  const username = usernameFrom === 'identity' ? commonNameOf(x509) : subjectOf(x509);
  return username === undefined ? nameRefusal(x509) : { username };
}

/** The subject in the form of RFC 2253, as Mosquitto writes it; undefined if it is empty or too long for a user name. */
export function subjectOf({ subject }: Pick<X509Certificate, 'subject'>): string | undefined {
  // Node.js has a line for each part, first to last, with all that is special escaped but for what is no ASCII. A
  // certificate without a subject has none here, whatever the declarations say.
  const parts = ((subject as string | undefined) ?? '').split('\n').flatMap(separate);
  const text = parts
    .reverse()
    .map(({ value }, i) => (i === 0 ? value : `${parts[i - 1].joined ? '+' : ','}${value}`))
    .join('')
    .replace(/[^\0-\x7f]+/g, (letters) =>
      [...Buffer.from(letters)].map((byte) => `\\${byte.toString(16).toUpperCase()}`).join(''),
    );
  return text === '' || text.length > LONGEST_NAME ? undefined : text;
}

/** A part, and whether it belongs to the one before it. */
interface Part {
  readonly value: string;
  readonly joined: boolean;
}

/** The values that share a line: ` + ` stands between them, while one inside of a value is escaped. */
function separate(line: string): Part[] {
  const values = [''];
  for (const [token] of line.matchAll(/\\.| \+ |./gs)) {
    if (token === ' + ') values.push('');
    else values[values.length - 1] += token;
  }
  return values.map((value, i) => ({ value, joined: i > 0 }));
}
