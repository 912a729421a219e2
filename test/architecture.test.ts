/** The direction of imports is a rule of the linter (docs/architecture.md); this proves that the rule bites. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkout } from './support/checkout.js';

/** A file and what it imports. */
type Import = readonly [file: string, imported: string];

const ALLOWED: readonly Import[] = [
  ['src/wire/x.ts', './reader.js'],
  ['src/wire/x.ts', '../errors.js'],
  ['src/bus/x.ts', '../wire/reader.js'],
  ['src/coap/tcp/x.ts', '../message.js'],
  ['src/coap/tcp/x.ts', '../../errors.js'],
  ['src/store/x.ts', '../bus/message.js'],
  ['src/coap/dtls/x.ts', '../timers.js'],
  ['src/session/x.ts', '../store/keys.js'],
  ['src/session/handlers/x.ts', '../connection.js'],
  ['src/session/handlers/x.ts', '../../wire/packets.js'],
  ['src/listeners/x.ts', '../session/transport.js'],
  ['src/coap/client/x.ts', '../message.js'],
  ['src/plugins/coap-topics/x.ts', '../../coap/endpoint.js'],
  ['src/monitor/x.ts', '../config/schema.js'],
  ['src/config/mosquitto/x.ts', '../options.js'],
  ['src/config/mosquitto/table/x.ts', '../row.js'],
  ['src/broker.ts', './session/connection.js'],
  ['src/server/x.ts', '../monitor/log.js'],
  ['src/cli/x.ts', '../server/server.js'],
];

const REFUSED: readonly Import[] = [
  ['src/errors.ts', './wire/reader.js'],
  ['src/wire/x.ts', '../bus/router.js'],
  ['src/wire/x.ts', '../coap/message.js'],
  ['src/coap/x.ts', '../bus/topics.js'],
  ['src/coap/x.ts', '../config/schema.js'],
  ['src/coap/tcp/x.ts', '../../bus/topics.js'],
  ['src/coap/dtls/x.ts', '../../bus/topics.js'],
  ['src/coap/client/x.ts', '../../bus/topics.js'],
  ['src/bus/x.ts', '../store/commit.js'],
  ['src/store/x.ts', '../session/session.js'],
  ['src/access/x.ts', '../session/session.js'],
  ['src/session/x.ts', '../listeners/tcp.js'],
  ['src/session/x.ts', '../broker.js'],
  ['src/session/x.ts', '../config/schema.js'],
  ['src/session/handlers/x.ts', '../../monitor/log.js'],
  ['src/listeners/x.ts', '../plugins/plugin.js'],
  ['src/listeners/x.ts', '../config/load.js'],
  ['src/plugins/coap-topics/x.ts', '../../broker.js'],
  ['src/plugins/x.ts', '../monitor/log.js'],
  ['src/admin/x.ts', '../monitor/log.js'],
  ['src/monitor/x.ts', '../server/server.js'],
  ['src/config/x.ts', '../session/environment.js'],
  ['src/config/mosquitto/x.ts', '../../session/environment.js'],
  ['src/config/mosquitto/table/x.ts', '../../../session/environment.js'],
  ['src/broker.ts', './server/server.js'],
  ['src/server/x.ts', '../cli/run.js'],
  ['src/access/x.ts', '../server/renewal.js'],
  ['src/admin/tracing/x.ts', '../../monitor/log.js'],
  ['src/cli/x.ts', '../main.js'],
];

const SENTENCE = 'docs/architecture.md';

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'portico-architecture-'));
  copyFileSync(join(checkout, 'biome.json'), join(folder, 'biome.json'));
  symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, '.gitignore'), 'node_modules\n');
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** What the linter says about one file with this text. */
function lint(file: string, text: string): string {
  const path = join(folder, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  const biome = join(checkout, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const { status, stdout, stderr } = spawnSync(process.execPath, [biome, 'lint', '--colors=off', file], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 30_000,
  });
  rmSync(path);
  // Neither 0 nor 1 means that the linter itself failed, and that its silence would say nothing.
  assert.ok(status === 0 || status === 1, stderr);
  assert.match(stdout + stderr, /Checked 1 file/);
  return stdout + stderr;
}

const importing = (path: string) => `import { one } from '${path}';\n\nexport const two = one;\n`;

for (const [file, imported] of ALLOWED) {
  test(`${file} may import ${imported}`, () => {
    assert.doesNotMatch(lint(file, importing(imported)), /noRestrictedImports/);
  });
}

for (const [file, imported] of REFUSED) {
  test(`${file} may not import ${imported}`, () => {
    const said = lint(file, importing(imported));
    assert.match(said, /lint\/style\/noRestrictedImports/);
    assert.ok(said.includes(SENTENCE), said);
  });
}

test('a type, a re-export and a dynamic import count as imports', () => {
  for (const text of [
    "import type { One } from '../bus/router.js';\n\nexport type Two = One;\n",
    "export * from '../bus/router.js';\n",
    "export const two = await import('../bus/router.js');\n",
  ]) {
    assert.match(lint('src/wire/x.ts', text), /lint\/style\/noRestrictedImports/);
  }
});
