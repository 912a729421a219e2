/** A start that mends a store may be killed or held up at any time: another one goes on, and nothing is lost. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { copyOf, foldersOf, killedStore, originalsOf, type Scene, type Start, served, start } from './damage-scene.js';

const MENDER = fileURLToPath(new URL('./mending-killed.js', import.meta.url));

function mend(directory: string, steps: number): { signal: string | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MENDER, join(directory, 'store'), String(steps), 'SIGKILL'], {
    encoding: 'utf8',
  });
}

/** A copy with a byte of a table changed, and with a MANIFEST or without. */
function damaged(scene: Scene, withManifest: boolean): string {
  const directory = copyOf(scene);
  const store = join(directory, 'store');
  if (!withManifest) writeFileSync(join(store, 'CURRENT'), '');
  const table = readdirSync(store).find((name) => name.endsWith('.ldb'));
  assert.ok(table !== undefined);
  const bytes = readFileSync(join(store, table));
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(join(store, table), bytes);
  return directory;
}

for (const withManifest of [true, false]) {
  const how = withManifest ? 'beside its sound tables' : 'of copies';
  test(`a start that is killed before any of its steps while it mends a store ${how} loses nothing`, async () => {
    const scene = await killedStore();
    const undisturbed = damaged(scene, withManifest);
    const { stdout, signal, stderr } = mend(undisturbed, Number.POSITIVE_INFINITY);
    assert.equal(signal, null, stderr);
    const steps = Number(stdout);
    assert.ok(steps > 10, stderr);
    const first = await start(undisturbed);
    const expected = await served(first);
    await first.engine.stop();
    assert.ok(Object.keys(expected.retained).length > 200);
    for (let n = 0; n < steps; n++) {
      const directory = damaged(scene, withManifest);
      const originals = originalsOf(directory);
      assert.equal(mend(directory, n).signal, 'SIGKILL', `step ${n}`);
      const again = await start(directory);
      const found = await served(again);
      await again.engine.stop();
      assert.deepEqual(found, expected, `killed before step ${n}`);
      assert.ok(!existsSync(join(directory, 'store.rebuilding')));
      const full = foldersOf(directory).filter((name) => existsSync(join(directory, name, 'store')));
      assert.equal(full.length, 1, `killed before step ${n}`);
      for (const [name, bytes] of originals) {
        assert.ok(readFileSync(join(directory, full[0], 'store', name)).equals(bytes), `step ${n}: ${name}`);
      }
    }
  });
}

/** A start that is held up before a step, until it is told to go on. */
async function heldUp(directory: string, step: number) {
  const mender = spawn(process.execPath, [MENDER, join(directory, 'store'), String(step), 'SIGSTOP'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  mender.stderr.on('data', (words) => {
    stderr += words;
  });
  const ended = once(mender, 'close');
  await once(mender.stdout, 'data');
  const goOn = async (): Promise<string | null> => {
    mender.kill('SIGCONT');
    const [code] = await ended;
    return code === 0 ? null : stderr;
  };
  return { mender, goOn };
}

test('two starts that mend one store at once: one of them serves it, and what that is told is kept', async (context) => {
  const scene = await killedStore();
  const undisturbed = damaged(scene, true);
  const steps = Number(mend(undisturbed, Number.POSITIVE_INFINITY).stdout);
  const first = await start(undisturbed);
  const expected = await served(first);
  await first.engine.stop();
  let [refused, took] = [0, 0];
  for (let n = 0; n < steps; n++) {
    const directory = damaged(scene, true);
    const { mender, goOn } = await heldUp(directory, n);
    context.after(() => mender.kill('SIGKILL'));
    let other: Start | null = null;
    try {
      other = await start(directory);
    } catch (error) {
      assert.match(String(error), /another process uses it/, `step ${n}`);
      refused++;
    }
    if (other !== null) {
      took++;
      assert.deepEqual(await served(other), expected, `held up before step ${n}`);
      other.engine.broker.publish({ topic: 'r/new', payload: 'new', retain: true, qos: 1 });
      await other.engine.broker.commit.settled();
    }
    const failure = await goOn();
    if (other === null) assert.equal(failure, null, `step ${n}`);
    await other?.engine.stop();
    const next = await start(directory);
    const { retained, ...others } = await served(next);
    await next.engine.stop();
    if (other !== null) assert.equal(retained['r/new'], 'new', `step ${n}: what was acknowledged is gone`);
    delete retained['r/new'];
    assert.deepEqual({ retained, ...others }, expected, `held up before step ${n}`);
    assert.ok(!existsSync(join(directory, 'store.rebuilding')), `step ${n}`);
  }
  assert.ok(refused > 10 && took > 3, `${refused} refused, ${took} took it`);
});
