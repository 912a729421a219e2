/** Writes the files that are made from the schema and from the tables of measures and of mosquitto.conf. Run it after a change of them. */
import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { safeParse, ZodObject, type z } from 'zod';
import { bare, docOf, listenerSchemas, type Option, options, sections, typeOf } from '../config/options.js';
import { configSchema } from '../config/schema.js';
import { measuresPage } from './measures-page.js';
import { mosquittoPage } from './mosquitto-page.js';
import { reloadPage } from './reload-page.js';

const WIDTH = 120;

/** The files, by their path in the checkout. */
export function generate(): Map<string, string> {
  return new Map([
    ['docs/options.md', reference()],
    ['config/portico.yaml', example()],
    ['docs/sys.md', measuresPage()],
    ['docs/mosquitto.md', mosquittoPage()],
    ['docs/reload.md', reloadPage()],
  ]);
}

/** Large powers of two as people say them. */
function humane(value: unknown, unit: string | undefined): string {
  if (typeof value !== 'number' || unit !== 'bytes') return '';
  for (const [name, size] of SIZES) if (value >= size && value % size === 0) return `${value / size} ${name}`;
  return '';
}

const SIZES = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const;

/** A value as it stands in YAML. */
function written(value: unknown): string {
  return Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/** What is right, with its unit. */
function rightValue(schema: z.core.$ZodType): string {
  const { unit } = docOf(schema);
  return typeOf(schema) + (unit === undefined ? '' : `, in ${unit}`);
}

// --- docs/options.md ------------------------------------------------------------------------------------------------

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function row(name: string, schema: z.core.$ZodType, value: unknown, variable: string | null): string {
  const { doc, unit, since } = docOf(schema);
  const size = humane(value, unit);
  const usual = value === undefined ? 'unset' : `\`${written(value)}\`${size === '' ? '' : ` (${size})`}`;
  const columns = [`\`${name}\``, cell(rightValue(schema)), usual, cell(doc)];
  if (variable !== null) columns.push(`\`${variable}\``);
  return `| ${[...columns, since].join(' | ')} |`;
}

function table(entries: readonly Option[]): string[] {
  return [
    '| Option | Value | Default | What it does | Variable | Since |',
    '|---|---|---|---|---|---|',
    ...entries.map((one) => row(one.name, one.schema, one.defaultValue, one.variable)),
    '',
  ];
}

function listenersOption(): Option {
  const option = options.find(({ name }) => name === 'listeners');
  if (option === undefined) throw new Error('the schema has no listeners');
  return option;
}

function listenerTables(): string[] {
  const { doc, variable, defaultValue } = listenersOption();
  const lines = ['## `listeners`', ''];
  lines.push(`${doc.doc} Variable: \`${variable}\`, a YAML value. Since ${doc.since}.`, '');
  lines.push('The default:', '', '```yaml', stringify({ listeners: defaultValue }).trimEnd(), '```', '');
  for (const [type, schema] of listenerSchemas) {
    lines.push(`### \`type: ${type}\``, '', docOf(schema.shape.type).doc, '');
    lines.push('| Option | Value | Default | What it does | Since |', '|---|---|---|---|---|');
    for (const [name, field] of Object.entries(schema.shape)) {
      if (name === 'type') continue;
      lines.push(row(name, field, defaultField(field), null));
      for (const [key, inner] of innerFields(field)) lines.push(row(`${name}.${key}`, inner, undefined, null));
    }
    lines.push('');
  }
  return lines;
}

/** The options of a section that stands in a listener; none for a plain option. */
function innerFields(field: z.core.$ZodType): [string, z.core.$ZodType][] {
  const section = bare(field);
  return section instanceof ZodObject ? Object.entries(section.shape) : [];
}

/** What a listener has for an option if nobody says anything. */
function defaultField(field: z.core.$ZodType): unknown {
  return safeParse(field, undefined).data;
}

function reference(): string {
  const lines = [
    '# Options',
    '',
    '<!-- Generated from src/config/schema.ts by node dist/src/cli/generate.js. -->',
    '',
    'Every option, by section. The file is YAML: `store.sync` is `sync` in the section `store`. A variable of the',
    'environment overrides the file, and the command line overrides both; an empty variable counts as not set, and',
    '`PORTICO_CONFIG` names the file. Unknown options and variables are refused. `portico check -c FILE` shows what is in',
    'effect.',
    '',
    ...listenerTables(),
    '## On the top level',
    '',
    ...table(sections.filter((entry): entry is Option => !('options' in entry) && entry.name !== 'listeners')),
  ];
  for (const section of sections) {
    if (!('options' in section)) continue;
    lines.push(`## \`${section.name}\``, '', section.doc.doc, '', ...table(section.options));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

// --- config/portico.yaml --------------------------------------------------------------------------------------------

function comment(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + 2 + line.length + 1 + word.length > WIDTH) {
      lines.push(`${indent}# ${line}`);
      line = '';
    }
    line += (line === '' ? '' : ' ') + word;
  }
  return [...lines, `${indent}# ${line}`];
}

function exampleOption({ path, schema, doc, defaultValue }: Option, indent: string): string[] {
  const value = defaultValue ?? doc.example;
  const size = humane(value, doc.unit);
  // What is a word or a path needs no second explanation.
  const right = rightValue(schema);
  const hint = /^(one of|a whole number|a number)/.test(right) ? ` Value: ${right}.` : '';
  const line = `${indent}#${path.at(-1)}: ${written(value)}${size === '' ? '' : ` # ${size}`}`;
  return [...comment(doc.doc + hint, indent), line, ''];
}

function exampleListeners(option: Option): string[] {
  const lines = [...comment(option.doc.doc, '')];
  const all = [...listenerSchemas.values()].flatMap((schema) => Object.entries(schema.shape));
  for (const name of new Set(all.map(([field]) => field))) {
    if (name !== 'type') for (const words of fieldWords(name)) lines.push(...comment(words, ''));
  }
  const text = stringify({ listeners: option.defaultValue }).trimEnd();
  const extra = docOf(listenerSchemas.get('websocket')?.shape.path ?? configSchema.shape.listeners).example;
  for (const line of text.split('\n')) {
    lines.push(`#${line}`);
    if (line === '    port: 9001') lines.push(`#    #path: ${String(extra)}`);
  }
  return [...lines, ...furtherListeners(option.defaultValue), ''];
}

/** What a field means; where that depends on the type of the listener, for each type. */
function fieldWords(name: string): string[] {
  const types = new Map<string, string[]>();
  for (const [type, { shape }] of listenerSchemas) {
    if (!(name in shape)) continue;
    const { doc } = docOf(shape[name]);
    types.set(doc, [...(types.get(doc) ?? []), type]);
  }
  if (types.size === 1) return [...types.keys()].map((doc) => `${name}: ${doc}`);
  return [...types].map(([doc, of]) => `${name} (${of.join(', ')}): ${doc}`);
}

/** An example of each type that is not in the default list, behind a second `#`: each needs more than its line. */
function furtherListeners(defaultValue: unknown): string[] {
  const usual = JSON.stringify(defaultValue);
  const lines: string[] = [];
  for (const [type, schema] of listenerSchemas) {
    if (usual.includes(`"type":"${type}"`)) continue;
    for (const [name, field] of Object.entries(schema.shape)) {
      const value = name === 'type' ? type : (defaultField(field) ?? docOf(field).example);
      // What excludes another option has no example.
      if (value === undefined) continue;
      lines.push(`#  #${name === 'type' ? '- ' : '  '}${name}: ${written(value)}`);
    }
  }
  return lines;
}

function example(): string {
  const lines = [
    ...comment(
      'The configuration of Portico. Every option stands here as a comment with its default, or with an example where ' +
        'it is unset by default; take the # before an option away to change it. As it is, anyone on this machine may ' +
        'connect, and nobody else. Check it with: portico check -c FILE',
      '',
    ),
    ...comment('(Generated from src/config/schema.ts by node dist/src/cli/generate.js.)', ''),
    '',
  ];
  for (const entry of sections) {
    if (!('options' in entry)) {
      lines.push(...(entry.name === 'listeners' ? exampleListeners(entry) : exampleOption(entry, '')));
      continue;
    }
    lines.push(...comment(entry.doc.doc, ''), `${entry.name}:`);
    for (const option of entry.options) lines.push(...exampleOption(option, '  '));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

// --- the command ----------------------------------------------------------------------------------------------------

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  if (!existsSync('src/config/schema.ts')) throw new Error('run this in the folder of the checkout');
  for (const [path, text] of generate()) writeFileSync(path, text);
}
