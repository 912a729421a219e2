/**
 * The URI of a command, whose path and query may hold templates. Each segment of the path and each part of the query is a
 * template of its own and becomes one option, so no value adds a segment, leaves one or reaches the host (RFC 7252 6.4).
 */
import { type CoapUri, parseCoapUri } from '../../coap/client/uri.js';
import { Template, TemplateFailure, TemplateFault, type Variables } from './liquid.js';
import { VARIABLES } from './message-values.js';

/** The part of a URI that says which resource. */
export interface Target {
  readonly path: readonly string[];
  readonly query: readonly string[];
}

const TAG = /\{\{.*?\}\}|\{%.*?%\}/gs;
/** A tag, a delimiter, or other text. */
const TOKEN = /\{\{.*?\}\}|\{%.*?%\}|[/?&]|[^/?&{]+|\{/gs;
/** Bytes of Uri-Path and Uri-Query (RFC 7252 5.10). */
const MOST_BYTES = 255;

export class UriTemplate {
  /** Host and port, and what has no templates. */
  readonly uri: CoapUri;
  /** Null without templates. */
  readonly #path: readonly Template[] | null = null;
  readonly #query: readonly Template[] = [];

  /** @throws TemplateFault */
  constructor(source: string) {
    const authority = /^[^/]*\/\/[^/?#]*/.exec(source)?.[0] ?? '';
    const first = source.search(TAG);
    if (first >= 0 && first < authority.length) {
      throw new TemplateFault('host and port cannot be templates, only path and query can', [1, first + 1]);
    }
    const parsed = parseCoapUri(source.replaceAll(TAG, 'x'));
    if (typeof parsed === 'string') throw new TemplateFault(parsed, [1, 1]);
    this.uri = parsed;
    if (first < 0) return;
    const { path, query } = partsOf(source, authority.length);
    if (path.some(({ text }) => isDots(decodeURIComponent(text.replaceAll(TAG, 'x'))))) {
      throw new TemplateFault('a path with templates has no segments . and ..', [1, authority.length + 1]);
    }
    this.#path = path.length === 1 && path[0].text === '' ? [] : path.map(templateOf);
    this.#query = query.map(templateOf);
  }

  /** @throws TemplateFailure */
  resolve(variables: Variables): Target {
    if (this.#path === null) return this.uri;
    const path = this.#path.map((segment) => optionOf(segment, variables));
    // They would mean another resource (RFC 7252 5.10.1).
    if (path.some(isDots)) throw new TemplateFailure('a segment of the path is . or ..');
    return { path, query: this.#query.map((part) => optionOf(part, variables)) };
  }

  get hasTemplates(): boolean {
    return this.#path !== null;
  }
}

interface Piece {
  readonly text: string;
  /** Of its first character in the URI, from 1. */
  readonly column: number;
}

/** What stands between the delimiters that are in no tag. */
function partsOf(source: string, start: number): { path: Piece[]; query: Piece[] } {
  const path: Piece[] = [];
  const query: Piece[] = [];
  let parts = path;
  for (const { 0: token, index } of source.slice(start).matchAll(TOKEN)) {
    const column = start + index + 1;
    const begins = parts === path ? token === '/' || token === '?' : token === '&';
    if (begins) {
      if (token === '?') parts = query;
      parts.push({ text: '', column: column + 1 });
    } else {
      const last = parts.pop() ?? { text: '', column };
      parts.push({ text: last.text + token, column: last.column });
    }
  }
  return { path, query };
}

function templateOf({ text, column }: Piece): Template {
  try {
    return new Template(text, 'uri', VARIABLES);
  } catch (error) {
    if (!(error instanceof TemplateFault)) throw error;
    throw new TemplateFault(error.message, [error.line, error.line === 1 ? error.column + column - 1 : error.column]);
  }
}

function optionOf(template: Template, variables: Variables): string {
  const value = decodeURIComponent(template.render(variables));
  if (Buffer.byteLength(value) <= MOST_BYTES) return value;
  throw new TemplateFailure(`a part of the path or query has more than ${MOST_BYTES} bytes`);
}

function isDots(segment: string): boolean {
  return segment === '.' || segment === '..';
}
