/** Times in DER as certificates and lists have them (RFC 5280 4.1.2.5): to the second, in UTC. */
import type { DerReader } from './der.js';

const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/** The next value, if it is a time, in milliseconds since 1970: NaN for one that there is not. */
export function readTime(reader: DerReader): number | undefined {
  const short = reader.optional(UTC_TIME);
  const text = (short ?? reader.optional(GENERALIZED_TIME))?.toString('latin1');
  if (text === undefined) return undefined;
  // Two digits of a year from 50 on are of the last century.
  const century = short === undefined ? '' : text < '5' ? '20' : '19';
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text);
  if (parts === null) return Number.NaN;
  const [, year, month, day, hour, minute, second] = parts;
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = Date.parse(written);
  // A day too many of a month would be one of the next.
  return Number.isNaN(time) || new Date(time).toISOString() !== written ? Number.NaN : time;
}
