/** Alerts of the peer, in words (RFC 5246 7.2). */
import { Alert, AlertLevel } from './protocol.js';

export const CLOSE_NOTIFY = Buffer.from([AlertLevel.Warning, Alert.CloseNotify]);

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Alert).map(([name, code]) => [code, name.replace(/(?!^)[A-Z]/g, '_$&').toLowerCase()]),
);

/** An alert as RFC 5246 names it, with its number: `handshake_failure (40)`. */
export function alertName(description: number): string {
  return `${NAMES.get(description) ?? 'alert'} (${description})`;
}

/** The end of an association, or of a handshake. */
export interface EndingAlert {
  readonly description: number;
  /** close_notify: nothing has failed. */
  readonly isClosing: boolean;
}

/** What the content of an alert record ends with; undefined if it ends nothing, or is malformed. */
export function endingAlert(content: Buffer): EndingAlert | undefined {
  if (content.length !== 2) return undefined;
  const [level, description] = content;
  const isClosing = description === Alert.CloseNotify;
  return isClosing || level === AlertLevel.Fatal ? { description, isClosing } : undefined;
}

/** The same for the endpoint above. */
export function endOfAssociation({ description, isClosing }: EndingAlert): string {
  return isClosing ? 'the device closed its DTLS association' : `its DTLS failed with alert ${alertName(description)}`;
}
