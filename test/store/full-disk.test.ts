/** A disk that is full for a while costs nothing that the store has confirmed, before or after. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LevelStore } from '../../src/store/level-store.js';
import { SmallDisk } from '../support/small-disk.js';

const WRITER = fileURLToPath(new URL('./full-disk-writer.js', import.meta.url));

/** Kilobytes at which a file is full: within LevelDB's first log file, near one of its blocks' ends and far from it. */
for (const limit of [100, 150, 301]) {
  test(`what was confirmed before and after a disk was full at ${limit} kB survives kill -9`, async (context) => {
    const directory = mkdtempSync(join(tmpdir(), 'portico-full-'));
    context.after(() => rmSync(directory, { recursive: true }));
    // Ignored, so that writing beyond the limit fails instead of ending the process.
    const command = `trap '' XFSZ; ulimit -S -f ${limit}; exec "$0" "$1" "$2"`;
    const args = ['-c', command, process.execPath, WRITER, directory];
    const { stdout, stderr, signal } = spawnSync('bash', args, { encoding: 'utf8' });
    assert.equal(signal, 'SIGKILL', stderr);
    const { confirmed, failures } = JSON.parse(stdout);
    assert.ok(failures > 0, 'the disk was never full');
    const store = new LevelStore(directory);
    await store.open();
    let found = 0;
    for await (const _ of store.keys({ gte: Buffer.from([0x23]), lt: Buffer.from([0x24]) })) found++;
    await store.close();
    assert.equal(found, confirmed);
  });
}

for (const sync of [true, false]) {
  test(`a disk that is full can be read; what was written ${sync ? 'with' : 'without'} a flush before is there afterwards`, async (context) => {
    const disk = new SmallDisk(8);
    const store = new LevelStore(join(disk.path, 'store'));
    context.after(async () => {
      await store.close();
      disk.remove();
    });
    await store.open();
    const put = (i: number): Promise<void> =>
      store.write([{ type: 'put', key: Buffer.from([0x23, i]), value: Buffer.alloc(10_000, i) }], sync);
    for (let i = 0; i < 50; i++) await put(i);
    disk.fill();
    for (let attempt = 0; attempt < 3; attempt++) {
      await assert.rejects(put(50), /no space left on device/i);
      assert.equal((await store.get(Buffer.from([0x23, 49])))?.[0], 49, 'it is not closed for an attempt in vain');
    }
    disk.empty();
    await put(50);
    await store.close();
    const again = new LevelStore(join(disk.path, 'store'));
    await again.open();
    for (let i = 0; i <= 50; i++) assert.equal((await again.get(Buffer.from([0x23, i])))?.length, 10_000, `${i}`);
    await again.close();
  });
}
