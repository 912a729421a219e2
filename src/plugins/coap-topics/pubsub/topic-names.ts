/** Names and references that topics have: what is refused, and which path a reference stands for. */
import { createHash } from 'node:crypto';
import { isValidName } from '../../../bus/topics.js';

/**
 * Whether a topic-name can be a topic of MQTT: at least one character, neither wildcards nor NUL, and no `$` at the
 * beginning, which is for the broker's own.
 */
export function isTopicName(name: string): boolean {
  return isValidName(name) && !name.startsWith('$');
}

/** A path key as requests have it (`CoapRequest.pathKey`). */
export function keyOf(segments: readonly string[]): string {
  return segments.map((segment) => `/${segment.replaceAll('%', '%25').replaceAll('/', '%2F')}`).join('');
}

/** Segments as a reference. */
export function referenceOf(segments: readonly string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');
}

/** Whether a reference names a resource of any CoAP server. None has `<` or `>` (RFC 3986 2), between which links have it. */
export function isElsewhere(reference: string): boolean {
  return /^coaps?(\+tcp|\+ws)?:\/\/[^/?#\s<>]+[^#\s<>]*$/.test(reference);
}

/** The segments of a path reference such as `/pubsub/data/a`; null if it is none, or if no request could have it. */
export function segmentsOf(reference: string): string[] | null {
  if (!/^(\/[^/?#\s<>]+)+$/.test(reference)) return null;
  try {
    const segments = reference.slice(1).split('/').map(decodeURIComponent);
    const isSegment = (segment: string): boolean =>
      segment !== '.' && segment !== '..' && Buffer.byteLength(segment) <= 255;
    return segments.every(isSegment) ? segments : null;
  } catch {
    return null;
  }
}

const SHORTEST = 8;

/** A segment for a topic: always the same for one name, and longer only where that one is taken. */
export function identifierOf(name: string, isTaken: (identifier: string) => boolean): string {
  const digest = createHash('sha256').update(name).digest('hex');
  let length = SHORTEST;
  while (length < digest.length && isTaken(digest.slice(0, length))) length++;
  return digest.slice(0, length);
}

/** Whether a segment can be one that `identifierOf` has made. */
export function isIdentifier(segment: string): boolean {
  return /^[0-9a-f]{8,64}$/.test(segment);
}
