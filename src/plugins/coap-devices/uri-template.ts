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
      throw new TemplateFault('host and port cannot be templates, only path and query can', placeAt(source, first));
    }
    const parsed = parseCoapUri(source.replaceAll(TAG, 'x'));
    if (typeof parsed === 'string') throw new TemplateFault(parsed, [1, 1]);
    this.uri = parsed;
    if (first < 0) return;
    const { path, query } = partsOf(source, authority.length);
    const templateOf = ({ text, at }: Piece): Template => pieceTemplate(text, placeAt(source, at));
    if (path.some(({ text }) => isDots(decodeURIComponent(text.replaceAll(TAG, 'x'))))) {
      throw new TemplateFault('a path with templates has no segments . and ..', placeAt(source, authority.length));
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
  /** Where it begins in the URI. */
  readonly at: number;
}

/** What stands between the delimiters that are in no tag. */
function partsOf(source: string, start: number): { path: Piece[]; query: Piece[] } {
  const path: Piece[] = [];
  const query: Piece[] = [];
  let parts = path;
  for (const { 0: token, index } of source.slice(start).matchAll(TOKEN)) {
    const at = start + index;
    const begins = parts === path ? token === '/' || token === '?' : token === '&';
    if (begins) {
      if (token === '?') parts = query;
      parts.push({ text: '', at: at + 1 });
    } else {
      const last = parts.pop() ?? { text: '', at };
      parts.push({ text: last.text + token, at: last.at });
    }
  }
  return { path, query };
}

/** Line and column, both from 1: what is in a tag may have several lines. */
function placeAt(source: string, at: number): readonly [line: number, column: number] {
  const lines = source.slice(0, at).split('\n');
  return [lines.length, lines[lines.length - 1].length + 1];
}

function pieceTemplate(text: string, [line, column]: readonly [number, number]): Template {
  try {
    return new Template(text, 'uri', VARIABLES);
  } catch (error) {
    if (!(error instanceof TemplateFault)) throw error;
    const inFirst = error.line === 1 ? column - 1 : 0;
    throw new TemplateFault(error.message, [line + error.line - 1, error.column + inFirst]);
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
