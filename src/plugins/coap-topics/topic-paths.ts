/** Paths of resources and topics: `/ps/a/b` is topic `a/b`. */
import { hasWildcard, isValidFilter, isValidName } from '../../bus/topics.js';

/** What a path stands for. */
export type Target =
  | { readonly kind: 'topic'; readonly topic: string }
  /** A topic filter with wildcards. */
  | { readonly kind: 'filter'; readonly filter: string }
  /** The collection of all topics: the base path itself. */
  | { readonly kind: 'collection' }
  /** Below the base path, but no topic name. */
  | { readonly kind: 'invalid' }
  | { readonly kind: 'elsewhere' };

const ELSEWHERE: Target = { kind: 'elsewhere' };
const INVALID: Target = { kind: 'invalid' };
const COLLECTION: Target = { kind: 'collection' };
/** Targets remembered by path; beyond it the memory starts anew. */
const MAX_TARGETS = 8192;
/** Bytes of a Uri-Path option (RFC 7252 5.10). */
const MOST_SEGMENT = 255;

export class TopicPaths {
  readonly #base: readonly string[];
  readonly #targets = new Map<string, Target>();

  /** @param base `coap.path`: the path below which topics are resources, without "/" at its ends */
  constructor(base: string) {
    this.#base = base.split('/');
  }

  /** The base path as a link, `/ps`. */
  get link(): string {
    return `/${this.#base.map(encodeURIComponent).join('/')}`;
  }

  /**
   * What a request's path stands for. Segments are percent-decoded octets (RFC 7252 6.4); a "/" within one cannot be told
   * from a level separator in a topic, so such a path is invalid.
   */
  target(segments: readonly string[], pathKey: string): Target {
    const known = this.#targets.get(pathKey);
    if (known !== undefined) return known;
    const target = this.#resolve(segments);
    if (this.#targets.size >= MAX_TARGETS) this.#targets.clear();
    this.#targets.set(pathKey, target);
    return target;
  }

  #resolve(segments: readonly string[]): Target {
    if (!this.#base.every((segment, i) => segments[i] === segment)) return ELSEWHERE;
    const levels = segments.slice(this.#base.length);
    if (levels.length === 0) return COLLECTION;
    if (levels.some((level) => level.includes('/'))) return INVALID;
    const topic = levels.join('/');
    if (isValidName(topic)) return { kind: 'topic', topic };
    return hasWildcard(topic) && isValidFilter(topic) ? { kind: 'filter', filter: topic } : INVALID;
  }

  /** The link to a topic's resource; null if no request can ask for it. */
  linkOf(topic: string): string | null {
    return referenceOf([...this.#base, ...topic.split('/')]);
  }
}

/** Segments as a reference; null if one of them cannot be said in a Uri-Path, or is not what it is in a URI (RFC 7252 5.10.1). */
export function referenceOf(segments: readonly string[]): string | null {
  return segments.every(isSegment) ? `/${segments.map(encodeURIComponent).join('/')}` : null;
}

function isSegment(segment: string): boolean {
  return segment !== '.' && segment !== '..' && Buffer.byteLength(segment) <= MOST_SEGMENT;
}
