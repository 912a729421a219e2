/** What survives what, cell by cell of the table in docs/durability.md: the broker as a process, with raw clients. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EVENTS, KINDS, type Kind, SYNCS, survives, titleOf } from './survival-kinds.js';
import { Scene } from './survival-scene.js';

for (const event of EVENTS) {
  for (const sync of SYNCS) {
    describe(`${event}, store.sync ${sync}`, { timeout: 120_000 }, () => {
      let scene: Scene;
      let found: ReadonlySet<Kind>;

      before(async () => {
        scene = await Scene.prepare(event, sync);
        await scene.happen(event, sync);
        found = await scene.found();
      });
      after(() => scene.dispose());

      for (const kind of KINDS) {
        test(titleOf(kind, event, sync), () => assert.equal(found.has(kind), survives(kind, event, sync)));
      }
    });
  }
}
