/** Questions to a server: few at once, few that wait, each asked once, and answers that are known for a while. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Questions } from '../../src/access/questions.js';

const always = (): boolean => true;

/** A server that answers when the test says so. */
class Scene {
  readonly asked: string[] = [];
  readonly #open = new Map<string, { resolve(answer: string): void; reject(error: Error): void }>();
  now = 0;
  readonly questions: Questions<string>;

  constructor(concurrency: number, queue: number, lifetime = 1000) {
    this.questions = new Questions(
      { concurrency, queue },
      (answer) => (answer === 'no' ? 0 : lifetime),
      () => this.now,
    );
  }

  put(what: string, wanted = always): Promise<string | null> | 'busy' {
    return this.questions.put(what, wanted, () => {
      this.asked.push(what);
      return new Promise<string>((resolve, reject) => this.#open.set(what, { resolve, reject }));
    });
  }

  answer(what: string, answer: string | Error): void {
    const { resolve, reject } = this.#open.get(what) ?? assert.fail(`${what} was not asked`);
    if (answer instanceof Error) reject(answer);
    else resolve(answer);
  }
}

test('the same question of many is asked once, and known afterwards for its time', async () => {
  const scene = new Scene(2, 2);
  const both = [scene.put('a'), scene.put('a')];
  assert.deepEqual(scene.asked, ['a']);
  scene.answer('a', 'yes');
  assert.deepEqual(await Promise.all(both), ['yes', 'yes']);
  assert.equal(scene.questions.recall('a'), 'yes');
  scene.now = 999;
  assert.equal(scene.questions.recall('a'), 'yes');
  scene.now = 1000;
  assert.equal(scene.questions.recall('a'), undefined);
  assert.equal(scene.questions.known, 0);
});

test('an answer without a lifetime is not known, and neither is a failure', async () => {
  const scene = new Scene(1, 1);
  const no = scene.put('a');
  scene.answer('a', 'no');
  assert.equal(await no, 'no');
  assert.equal(scene.questions.recall('a'), undefined);
  const failed = [scene.put('a'), scene.put('a')];
  scene.answer('a', new Error('down'));
  for (const one of failed) await assert.rejects(one as Promise<unknown>, { message: 'down' });
  assert.equal(scene.questions.recall('a'), undefined);
  void scene.put('a');
  assert.deepEqual(scene.asked, ['a', 'a', 'a'], 'it is asked again');
});

test('beyond the line a question is not taken; after an answer the next one has its turn', async () => {
  const scene = new Scene(1, 1);
  const first = scene.put('a');
  const second = scene.put('b');
  assert.equal(scene.put('c'), 'busy');
  assert.notEqual(scene.put('b'), 'busy', 'one that waits already is not one more');
  assert.deepEqual(scene.asked, ['a']);
  scene.answer('a', 'yes');
  assert.equal(await first, 'yes');
  await turn();
  assert.deepEqual(scene.asked, ['a', 'b']);
  scene.answer('b', new Error('down'));
  await assert.rejects(second as Promise<unknown>);
  await turn();
  assert.notEqual(scene.put('c'), 'busy', 'a failure leaves its place, too');
  assert.deepEqual(scene.asked, ['a', 'b', 'c']);
});

test('what nobody wants to know any more is not asked', async () => {
  const scene = new Scene(1, 2);
  const first = scene.put('a');
  const second = scene.put('b', () => false);
  const third = scene.put('c');
  scene.answer('a', 'yes');
  await first;
  assert.equal(await second, null);
  await turn();
  assert.deepEqual(scene.asked, ['a', 'c']);
  scene.answer('c', 'yes');
  assert.equal(await third, 'yes');
});

test('no two questions have one key, and no part can be read from it', () => {
  const { questions } = new Scene(1, 1);
  const keys = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['abc', null], [null, 'abc'], ['', 'abc']].map(
    (parts) => questions.keyOf(parts),
  );
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(questions.keyOf(['ab', Buffer.from('c')]), keys[0]);
  assert.notEqual(new Scene(1, 1).questions.keyOf(['ab', 'c']), keys[0], 'another process makes another one of it');
});

test('answers that are known are bounded; the oldest goes', async () => {
  const { questions } = new Scene(1, 1);
  for (let i = 0; i < 10_001; i++) assert.equal(await questions.put(`q${i}`, always, async () => 'yes'), 'yes');
  assert.equal(questions.known, 10_000);
  assert.equal(questions.recall('q0'), undefined);
  assert.equal(questions.recall('q1'), 'yes');
});
