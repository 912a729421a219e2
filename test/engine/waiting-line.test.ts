/** The line in which connections wait for their turn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WaitingLine } from '../../src/session/waiting-line.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

class Member {
  readonly name: number;
  inLine = false;

  constructor(name: number) {
    this.name = name;
  }
}

test('first come, first served; whoever waits already keeps its place; whoever leaves has none', () => {
  const line = new WaitingLine<Member>();
  const [a, b, c] = [new Member(1), new Member(2), new Member(3)];
  for (const member of [a, b, a, c]) line.join(member);
  assert.equal(line.size, 3);
  line.leave(b);
  assert.equal(line.size, 2);
  assert.equal(line.next(), a);
  line.join(a);
  assert.equal(line.next(), c);
  assert.equal(line.next(), a);
  assert.equal(line.next(), null);
  assert.equal(line.size, 0);
});

test('whatever joins and leaves, each member that stays has one turn, and none that has left', () => {
  for (const seed of seeds(10)) {
    const random = new Random(seed);
    const line = new WaitingLine<Member>();
    const members = Array.from({ length: 3000 }, (_, name) => new Member(name));
    const waiting = new Set<Member>();
    for (let step = 0; step < 20_000; step++) {
      const member = random.pick(members);
      const action = random.below(5);
      if (action < 2) {
        line.join(member);
        waiting.add(member);
      } else if (action === 2) {
        line.leave(member);
        waiting.delete(member);
      } else {
        const next = line.next();
        if (next === null) assert.equal(waiting.size, 0);
        else assert.ok(waiting.delete(next), `${next.name} waits, SEED=${seed}`);
      }
      assert.equal(line.size, waiting.size);
    }
    for (let next = line.next(); next !== null; next = line.next()) assert.ok(waiting.delete(next));
    assert.equal(waiting.size, 0);
  }
});
