/** Passwords that are checked off the event loop: the line of those that wait, and what is known for a while. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PasswordSource, Passwords, type Verdict } from '../../src/access/passwords.js';

/** A file whose answers the test gives. */
class Puppet implements PasswordSource {
  readonly asked: { readonly question: string; answer(right: boolean): void; fail(): void }[] = [];

  verify(username: string, password: Uint8Array): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const question = `${username}/${Buffer.from(password).toString()}`;
      this.asked.push({ question, answer: resolve, fail: () => reject(new Error('no memory')) });
    });
  }

  get questions(): string[] {
    return this.asked.map(({ question }) => question);
  }

  /** Answers the questions that have not been, in their order, also those that come up by that. */
  async answerAll(right: (question: string) => boolean): Promise<void> {
    for (let i = 0; i < this.asked.length; i++) {
      const { question, answer } = this.asked[i];
      answer(right(question));
      await turns();
    }
  }
}

/** Lets promises that are settled be followed up. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

interface Scene {
  readonly passwords: Passwords;
  readonly file: Puppet;
  clock: number;
  ask(username: string, password: string, wanted?: () => boolean): Verdict | Promise<Verdict>;
}

function sceneWith(options: { queue?: number; cache?: number } = {}): Scene {
  const file = new Puppet();
  const scene: Scene = {
    clock: 0,
    file,
    passwords: new Passwords(file, { queue: 100, cache: 10, ...options }, () => scene.clock),
    ask: (username, password, wanted) => scene.passwords.verify(username, Buffer.from(password), wanted),
  };
  return scene;
}

test('two are computed at once, the others wait in their order, and each gets its own answer', async () => {
  const { ask, file, passwords } = sceneWith({ cache: 0 });
  const users = ['a', 'b', 'c', 'd', 'e'];
  const answers = users.map((user) => ask(user, 'p'));
  assert.deepEqual(file.questions, ['a/p', 'b/p']);
  assert.equal(passwords.waiting, 3);
  await file.answerAll((question) => question !== 'b/p' && question !== 'e/p');
  assert.deepEqual(file.questions, ['a/p', 'b/p', 'c/p', 'd/p', 'e/p']);
  assert.deepEqual(await Promise.all(answers), [true, false, true, true, false]);
  assert.equal(passwords.waiting, 0);
});

test('one that finds the queue full is told so at once; what is known or asked already has its place', async () => {
  const { ask, file } = sceneWith({ queue: 1 });
  const known = ask('known', 'p');
  await file.answerAll(() => true);
  assert.equal(await known, true);
  const waiting = ['a', 'b', 'c'].map((user) => ask(user, 'p'));
  assert.equal(ask('d', 'p'), 'busy');
  assert.equal(ask('a', 'q'), 'busy');
  assert.equal(ask('known', 'p'), true);
  const joined = ask('c', 'p');
  await file.answerAll(() => true);
  assert.deepEqual(await Promise.all([...waiting, joined]), [true, true, true, true]);
  assert.deepEqual(file.questions, ['known/p', 'a/p', 'b/p', 'c/p']);
  const late = ask('d', 'p');
  await file.answerAll(() => false);
  assert.equal(await late, false);
});

test('ten thousand clients of a hundred users are a hundred questions', async () => {
  const { ask, file } = sceneWith();
  const answers = Array.from({ length: 10_000 }, (_, i) => ask(`user ${i % 100}`, 'p'));
  await file.answerAll((question) => question !== 'user 7/p');
  assert.equal(file.asked.length, 100);
  const right = (await Promise.all(answers)).filter((answer) => answer === true);
  assert.equal(right.length, 9900);
});

test('a right password is known for access.password_cache seconds, and then asked again', async () => {
  const scene = sceneWith();
  const { ask, file } = scene;
  const first = ask('ann', 'p');
  await file.answerAll(() => true);
  assert.equal(await first, true);
  scene.clock = 9_999;
  assert.equal(ask('ann', 'p'), true);
  scene.clock = 10_000;
  const again = ask('ann', 'p');
  assert.notEqual(again, true);
  await file.answerAll(() => false);
  assert.equal(await again, false);
  assert.equal(file.asked.length, 2);
});

test('a wrong password is never known: neither as right nor as wrong, and a right one beside it stays right', async () => {
  const { ask, file } = sceneWith();
  const right = (question: string): boolean => question === 'ann/right';
  for (const [password, expected] of [
    ['wrong', false],
    ['right', true],
    ['wrong', false],
    ['wrong', false],
    ['right', true],
  ] as const) {
    const answer = ask('ann', password);
    await file.answerAll(right);
    assert.equal(await answer, expected);
  }
  assert.deepEqual(file.questions, ['ann/wrong', 'ann/right', 'ann/wrong', 'ann/wrong']);
});

test('user and password are told apart', async () => {
  const { ask, file } = sceneWith();
  const first = ask('ab', 'c');
  await file.answerAll((question) => question === 'ab/c');
  assert.equal(await first, true);
  const second = ask('a', 'bc');
  await file.answerAll((question) => question === 'ab/c');
  assert.equal(await second, false);
});

test('with access.password_cache 0 nothing is known', async () => {
  const { ask, file } = sceneWith({ cache: 0 });
  for (let i = 0; i < 3; i++) {
    const answer = ask('ann', 'p');
    await file.answerAll(() => true);
    assert.equal(await answer, true);
  }
  assert.equal(file.asked.length, 3);
});

test('another file: nothing is known of the former one, also of what was being computed; who waits asks the new one', async () => {
  const { ask, file, passwords } = sceneWith();
  const known = ask('known', 'p');
  await file.answerAll(() => true);
  assert.equal(await known, true);
  const [a, , c] = ['a', 'b', 'c'].map((user) => ask(user, 'p'));
  const next = new Puppet();
  passwords.replace(next);
  const joined = ask('c', 'p');
  const newcomer = ask('a', 'p');
  await file.answerAll(() => true);
  assert.equal(await a, true, 'it came before the change');
  await next.answerAll((question) => question === 'known/p');
  assert.deepEqual([await c, await joined, await newcomer], [false, false, false]);
  const again = ask('known', 'p');
  await next.answerAll((question) => question === 'known/p');
  assert.equal(await again, true);
  assert.deepEqual(file.questions, ['known/p', 'a/p', 'b/p']);
  assert.deepEqual(next.questions, ['c/p', 'a/p', 'known/p']);
  passwords.replace(null);
  assert.equal(await ask('known', 'p'), false);
});

test('what nobody wants to know any more when its turn comes is not computed', async () => {
  const { ask, file } = sceneWith();
  let here = true;
  const answers = [
    ask('a', 'p'),
    ask('b', 'p'),
    ask('gone', 'p', () => here),
    ask('shared', 'p', () => here),
    ask('shared', 'p', () => true),
    ask('c', 'p'),
  ];
  here = false;
  await file.answerAll(() => true);
  assert.deepEqual(file.questions, ['a/p', 'b/p', 'shared/p', 'c/p']);
  assert.deepEqual(await Promise.all(answers), [true, true, false, true, true, true]);
});

test('a check that fails is told to whoever asked, and the next ones go on', async () => {
  const { ask, file } = sceneWith();
  const failing = [ask('a', 'p'), ask('a', 'p')];
  const others = [ask('b', 'p'), ask('c', 'p')];
  file.asked[0].fail();
  for (const one of failing) await assert.rejects(Promise.resolve(one), /no memory/);
  await file.answerAll(() => true);
  assert.deepEqual(await Promise.all(others), [true, true]);
  const again = ask('a', 'p');
  await file.answerAll(() => true);
  assert.equal(await again, true);
});

test('a long line moves on and holds no more than those that wait', async () => {
  const { ask, file, passwords } = sceneWith({ queue: 5000, cache: 0 });
  const answers = Array.from({ length: 5000 }, (_, i) => ask(`u${i}`, 'p'));
  await file.answerAll(() => true);
  assert.equal((await Promise.all(answers)).length, 5000);
  assert.equal(passwords.waiting, 0);
});

test('other limits hold from then on: a shorter line, and what is known is known for no longer than they say', async () => {
  const scene = sceneWith({ cache: 100 });
  const { ask, file, passwords } = scene;
  const first = ask('ann', 'right');
  await file.answerAll(() => true);
  assert.equal(await first, true);
  passwords.replaceOptions({ queue: 1, cache: 5 });
  scene.clock += 4999;
  assert.equal(ask('ann', 'right'), true);
  scene.clock += 1;
  const answers = ['a', 'b', 'c', 'd'].map((user) => ask(user, 'p'));
  assert.equal(answers[3], 'busy');
  const again = ask('ann', 'right');
  assert.equal(again, 'busy', 'it is not known any more');
  await file.answerAll(() => true);
  assert.equal(await answers[2], true);
  assert.equal(ask('c', 'p'), true);
  passwords.replaceOptions({ queue: 1, cache: 0 });
  assert.notEqual(ask('c', 'p'), true);
});
