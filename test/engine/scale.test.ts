/** As many clients as `limits.connections` allows, on one topic. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Subscriber, SubscriptionTree } from '../../src/bus/tree.js';

const CLIENTS = 200_000;

test('a filter takes any number of subscribers, each comes and goes without a look at the others', () => {
  const tree = new SubscriptionTree();
  const subscribers = Array.from({ length: CLIENTS }, (): Subscriber => ({ deliver() {} }));
  const options = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
  for (const filter of ['a/b', 'a/#']) {
    for (const subscriber of subscribers) tree.add({ subscriber, filter, ...options });
    tree.add({ subscriber: subscribers[7], filter, ...options, qos: 1 });
  }
  assert.equal(tree.size, 2 * CLIENTS);
  const receivers = tree.receivers('a/b');
  assert.equal(receivers.length, CLIENTS);
  assert.deepEqual(
    receivers.filter(({ qos }) => qos === 1).map(({ subscriber }) => subscriber),
    [subscribers[7]],
  );
  for (const subscriber of subscribers.reverse()) assert.ok(tree.remove('a/b', subscriber));
  assert.equal(tree.remove('a/b', subscribers[0]), false);
  assert.equal(tree.match('a/b').length, CLIENTS);
  for (const subscriber of subscribers) assert.ok(tree.remove('a/#', subscriber));
  assert.deepEqual([tree.size, tree.match('a/b')], [0, []]);
});
