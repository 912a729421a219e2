/** Routes remember where the retained message of their topic stands: what comes and goes beside it never misleads them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import { NO_PROPERTIES } from '../../src/bus/message.js';
import { Publication } from '../../src/bus/publication.js';
import { RetainedMessages } from '../../src/bus/retained.js';
import { Route } from '../../src/bus/router.js';
import { mulberry32 } from '../support/disk.js';
import { seeds } from '../support/seeds.js';

const TOPICS = ['a', 'a/b', 'a/b/c', 'a/c', 'b', 'b/c', 'b/c/d', 'c//d', '/'];
const STEPS = 400;

test('a message published through a route replaces that of its topic and no other, whatever topics have gone', () => {
  for (const seed of seeds(30)) {
    const below = mulberry32(seed);
    const retained = new RetainedMessages({ messages: 6, bytes: 1e6 }, new Counters(), () => 1);
    const routes = new Map(TOPICS.map((topic) => [topic, new Route(topic, Buffer.from(topic))]));
    const expected = new Map<string, string>();
    const publication = new Publication();
    for (let step = 0; step < STEPS; step++) {
      const topic = TOPICS[below(TOPICS.length)]!;
      const route = routes.get(topic)!;
      const text = below(3) === 0 ? '' : `${topic} ${step}`;
      const message = {
        topic,
        payload: Buffer.from(text),
        qos: 1 as const,
        retain: true,
        properties: NO_PROPERTIES,
        expiresAt: 0,
        publisherId: '',
        receivedAt: step,
      };
      retained.publish(publication.of(message, route));
      if (text === '') expected.delete(topic);
      // `messages` keeps a seventh out.
      else if (expected.has(topic) || expected.size < 6) expected.set(topic, text);
      for (const [name, one] of routes) {
        const where = `${name} at step ${step}, SEED=${seed}`;
        assert.equal(retained.kept(name, one)?.payload.toString(), expected.get(name), where);
        assert.equal(retained.holds(one.topicBytes, one), expected.has(name), where);
        assert.equal(retained.holds(one.topicBytes), expected.has(name), where);
      }
    }
    assert.equal(retained.count, expected.size);
  }
});
