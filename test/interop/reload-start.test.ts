/** What the first reload says: of files that have changed since the start has read them, and of warnings that the start has told. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { createLogger } from '../../src/monitor/log.js';
import { digestsOf, Reload } from '../../src/server/reload.js';
import { Server } from '../../src/server/server.js';
import { temporaryFolder } from '../support/portico.js';

/** A broker in this process that has started; its files are told by what they were before. */
async function started(context: TestContext, list: string): Promise<{ reload: Reload; acl: string; lines: string[] }> {
  const folder = temporaryFolder();
  const [file, acl] = [join(folder, 'portico.yaml'), join(folder, 'acl')];
  writeFileSync(acl, list);
  writeFileSync(file, `listeners: []\nstore: {type: memory}\ndata_dir: ${folder}/data\naccess: {acl_file: ${acl}}\n`);
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(JSON.parse(line).msg) };
  const logger = createLogger({ level: 'info', format: 'json' }, stream);
  const read = () => loadConfig({ file, env: {}, argv: {} });
  const loaded = read();
  const digests = await digestsOf(loaded.config);
  const server = await Server.start(loaded, logger);
  context.after(() => server.stop());
  return { reload: Reload.of(server, logger, digests, read), acl, lines };
}

test('a file that changes between the reading of the start and the moment the broker is ready is told at the first reload', async (context) => {
  const { reload, acl, lines } = await started(context, 'topic read a\n');
  writeFileSync(acl, 'topic read b\n');
  const from = lines.length;
  assert.equal(await reload.run(), true);
  assert.deepEqual(lines.slice(from), [
    'reload: the configuration is read again',
    `reload: access.acl_file: what is in ${acl} has changed: at once`,
    'reload: done',
  ]);
});

test('a warning about an access control list that the start has told is not told again, a new one is', async (context) => {
  const warned = 'user ann\ntopic read a\npattern read b/c\n';
  const { reload, acl, lines } = await started(context, warned);
  const warnings = (): string[] => lines.filter((line) => line.includes(`${acl}:`));
  assert.equal(warnings().length, 1, lines.join('\n'));
  assert.equal(await reload.run(), true);
  assert.equal(lines.at(-2), 'reload: nothing has changed');
  assert.equal(warnings().length, 1);
  writeFileSync(acl, `${warned}pattern read d/e\n`);
  assert.equal(await reload.run(), true);
  assert.equal(warnings().length, 2);
});
