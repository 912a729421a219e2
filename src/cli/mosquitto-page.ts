/** docs/mosquitto.md: what becomes of every option of mosquitto.conf. */
import { DIFFERENCES, type Difference } from '../config/mosquitto/differences.js';
import type { Row } from '../config/mosquitto/row.js';
import { groups } from '../config/mosquitto/table.js';
import { describe } from '../config/mosquitto/value.js';

const HEAD = `# mosquitto.conf

<!-- Generated from src/config/mosquitto/ by node dist/src/cli/generate.js. -->

\`portico -c /etc/mosquitto/mosquitto.conf\` reads the configuration of Mosquitto 2.1. A file whose name ends in \`.conf\` is
read so, and \`--mosquitto FILE\` does it for any name. \`portico check -c FILE\` (or \`--test-config\`) says what comes of it, or
everything that is wrong, with file and line. \`portico migrate mosquitto.conf > portico.yaml\` writes it as a configuration
of Portico, in which comments name the lines that the options came from; both files do the same, which is tested by starting
Portico with each of them (\`test/interop/mosquitto-migrate.test.ts\`).

Each option has one of three fates. **Honoured**: it does what it does in Mosquitto. **Ignored**: it is accepted with a
warning, because it has no meaning here. **Refused**: Portico does not start, with exit code 3 as Mosquitto, and the line says
what to do. A refused option with a value that asks for nothing is accepted: \`require_certificate false\`.

## The format

- One option and its value in a line, with spaces (not tabs) between them. \`#\` begins a comment in the first column only.
  Lines end with LF or CR LF. There is no quoting: text goes to the end of the line, and any other value is one word.
- \`include_dir\` reads the files \`*.conf\` of a folder where it stands, in the order of the bytes of their names; only in the
  main file. A listener, a plugin or a bridge ends with its file.
- The last line of an option holds; where Mosquitto refuses a second one, so does Portico.
- Whole numbers may be hexadecimal (\`0x10\`) or octal (\`010\`).
- All faults are told at once; Mosquitto ends at the first.

Started as root, Portico becomes the user \`mosquitto\`, or what \`user\` names, as Mosquitto does
([how, and what a reload cannot read then](configuration.md#started-as-root)).

## Defaults

Under a mosquitto.conf these are Mosquitto's: \`mqtt.max_inflight\` and \`mqtt.receive_maximum\` 20, \`mqtt.keepalive_max\` any,
\`mqtt.max_packet_size\` 2000000, \`limits.queued_messages\` 1000, \`mqtt.topic_alias_maximum\` both ways 10, and nothing is kept
over a restart without \`persistence true\`. With it, \`store.sync\` is \`always\`: what was acknowledged survives a power cut, which
Mosquitto does not promise. Any other option has the default of Portico; so [failed logins](authentication.md#failed-logins)
lead to late refusals and bans, which Mosquitto does not know.

Without \`listener\`, \`port\` and \`bind_address\` there is one listener for MQTT, on loopback and port 1883, and anyone on the
machine may connect. With one of them nobody may connect without a password unless \`allow_anonymous true\` says so.
An option of a listener that stands before every \`listener\` opens one on port 1883, beside those that lines name, with a warning: so
does Mosquitto 2.1 with any such line, and 2.0 only with a value that changes something (not \`protocol mqtt\`). There is no
listener for CoAP and none for metrics: write them into the file that \`portico migrate\` makes. A listener that names no
address is on \`::\`, which is IPv4 too, or on \`0.0.0.0\` of a machine without IPv6.

Variables \`PORTICO_...\` and the command line override this file as they do ours; those of Mosquitto
(\`MOSQUITTO_PERSISTENCE_LOCATION\`) are not read. The log is JSON where it is no terminal; \`PORTICO_LOG_FORMAT=pretty\` makes lines
for people. \`-p PORT\` is the port of the first MQTT
listener. \`-d\` is refused: Portico never forks. SIGHUP [reads everything again](reload.md). SIGUSR1, at which Mosquitto saves its
database, does nothing, since everything is saved. **SIGUSR2**, at which Mosquitto prints its subscriptions, [sends all clients
away](mqtt.md#moving-clients-to-another-broker).
`;

const HEADINGS = [
  '| Option | Value | Fate | What it becomes, why it has no meaning, or what to do instead |',
  '|---|---|---|---|',
];

function line({ name, aliases = [], kind, fate, words, once }: Row): string {
  const named = [name, ...aliases].map((one) => `\`${one}\``).join(', ');
  const value = kind.type === 'free' ? '' : describe(kind);
  return `| ${named} | ${value}${once === true ? ', once' : ''} | ${fate} | ${words.replaceAll('|', '\\|')} |`;
}

const differing = (version: Difference['from']): string[] =>
  Object.values(DIFFERENCES).flatMap(({ from, says }) => (from === version ? [`- ${says}.`] : []));

/** What differs with the same file. */
function differences(): string {
  return [
    '## What is different',
    '',
    'The same configuration and the same clients have the same outcome at Mosquitto and at Portico, line by line, in over 120 scenarios',
    '(`test/interop/mosquitto-beside.test.ts`) and with 75 errors of the protocol (`mosquitto-errors.test.ts`), but for these:',
    '',
    ...differing('2.1'),
    '',
    'Mosquitto 2.0, as Debian 12 has it, does otherwise where Portico does as 2.1:',
    '',
    ...differing('2.0'),
    '',
    'What differs in access lists is in [access control](acl.md).',
    '',
  ].join('\n');
}

/** The page. */
export function mosquittoPage(): string {
  const tables = groups.map(({ title, rows }) => [`## ${title}`, '', ...HEADINGS, ...rows.map(line), ''].join('\n'));
  return `${HEAD}\n${differences()}\n${tables.join('\n').trimEnd()}\n`;
}
