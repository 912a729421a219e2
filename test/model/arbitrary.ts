/** Random runs: small alphabets, so that filters overlap, packet identifiers and intervals meet, and runs shrink well. */
import fc from 'fast-check';
import type { Command, CommandOf, Run } from './commands.js';
import { NEVER, type Qos } from './terms.js';
import { CLIENTS, type ClientName, type Setting } from './world.js';

const TOPICS = ['a', 'a/b', 'a/c', 'a/b/c', '/a', '$d/b'] as const;
const OWN = ['#', 'a/#', '+', 'a', 'a/b', 'a/+', '+/b', '+/+/c', '+/#', '/+', '$d/#', '$d/+', 'w/+', 'w/#'] as const;
/**
 * No two match the same topic, and who shares has no subscriptions of its own: copies that look alike but are owed for
 * different reasons would leave open which of them is missing.
 */
const SHARED = ['$share/g/a/#', '$share/g/w/+', '$share/h/$d/b'] as const;
const SHARING: readonly ClientName[] = ['d', 'e'];

/**
 * The versions that a client speaks. Who speaks both has no Subscription Identifiers and does not share: the older version
 * shows no properties, so copies that are told apart by them would look alike.
 */
const VERSIONS: Readonly<Record<ClientName, readonly (4 | 5)[]>> = { a: [5], b: [5, 4], c: [4], d: [5], e: [4] };

const who = fc.constantFrom(...CLIENTS);
const qos = fc.constantFrom<Qos[]>(0, 1, 2);

function filterOf(name: ClientName): fc.Arbitrary<string> {
  return fc.constantFrom(...(SHARING.includes(name) ? SHARED : OWN));
}

/** True once in `times`. */
function seldom(times: number): fc.Arbitrary<boolean> {
  return fc.nat(times - 1).map((n) => n === times - 1);
}

const wills = fc.record(
  { qos, retain: fc.boolean(), delay: fc.constantFrom(0, 10, 40), expiry: fc.constant(15) },
  { requiredKeys: ['qos', 'retain', 'delay'] },
);

function connects(name: ClientName, clean: fc.Arbitrary<boolean>): fc.Arbitrary<CommandOf<'connect'>> {
  return fc.record({
    do: fc.constant('connect'),
    who: fc.constant(name),
    version: fc.constantFrom(...VERSIONS[name]),
    clean,
    expiry: fc.constantFrom(NEVER, 0, 20),
    receiveMaximum: fc.constantFrom(65535, 1, 2, 3),
    will: fc.option(wills),
  });
}

function subscribes(name: ClientName): fc.Arbitrary<CommandOf<'subscribe'>> {
  const options = { qos, nl: seldom(3), rap: fc.boolean(), rh: fc.constantFrom<(0 | 1 | 2)[]>(0, 1, 2) };
  return fc.record({
    do: fc.constant('subscribe'),
    who: fc.constant(name),
    filters: fc.array(fc.record({ filter: filterOf(name), ...options }), { minLength: 1, maxLength: 3 }),
    identifier: VERSIONS[name].length > 1 ? fc.constant(0) : fc.nat(3),
  });
}

const unsubscribes: fc.Arbitrary<CommandOf<'unsubscribe'>> = who.chain((name) =>
  fc.record({
    do: fc.constant('unsubscribe'),
    who: fc.constant(name),
    filters: fc.array(filterOf(name), { minLength: 1, maxLength: 2 }),
  }),
);

const messages = { do: fc.constant('publish' as const), who, topic: fc.constantFrom(...TOPICS), qos };

const publishes: fc.Arbitrary<CommandOf<'publish'>> = fc.record(
  {
    ...messages,
    retain: seldom(3),
    empty: fc.constant(false),
    expiry: fc.constantFrom(15, 50),
    count: fc.constantFrom(1, 2, 5),
    after: fc.constantFrom('settle', 'hurry', 'hurry', 'hurry', 'hurry', 'lose'),
  },
  { requiredKeys: ['do', 'who', 'topic', 'qos', 'retain', 'empty', 'count', 'after'] },
);

/** Empty payloads look alike, so one at a time, and none that comes twice. */
const clearings: fc.Arbitrary<CommandOf<'publish'>> = fc.record({
  ...messages,
  retain: fc.constant(true),
  empty: fc.constant(true),
  count: fc.constant(1),
  after: fc.constant('settle'),
});

const acknowledges: fc.Arbitrary<CommandOf<'acknowledge'>> = fc.record({
  do: fc.constant('acknowledge'),
  who,
  count: fc.constantFrom(1, 2, 4, 30),
  refuse: seldom(8),
});

const disconnects: fc.Arbitrary<CommandOf<'disconnect'>> = fc.record(
  {
    do: fc.constant('disconnect'),
    who,
    how: fc.constantFrom('normal', 'with will', 'cut'),
    expiry: fc.constantFrom(0, 5, 60),
  },
  { requiredKeys: ['do', 'who', 'how'] },
);

const passes: fc.Arbitrary<CommandOf<'pass'>> = fc.record({
  do: fc.constant('pass'),
  seconds: fc.constantFrom(1, 6, 12, 30, 70),
});

const restarts: fc.Arbitrary<CommandOf<'restart'>> = fc.record({
  do: fc.constant('restart'),
  how: fc.constantFrom('stop', 'crash'),
});

const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 18, arbitrary: who.chain((name) => connects(name, seldom(5))) },
  { weight: 12, arbitrary: who.chain(subscribes) },
  { weight: 4, arbitrary: unsubscribes },
  { weight: 30, arbitrary: publishes },
  { weight: 2, arbitrary: clearings },
  { weight: 22, arbitrary: acknowledges },
  { weight: 6, arbitrary: disconnects },
  { weight: 6, arbitrary: passes },
  { weight: 2, arbitrary: restarts },
);

/** How most runs begin: with everybody there and subscribed. */
const beginnings: fc.Arbitrary<Command[]> = fc
  .tuple(
    ...CLIENTS.flatMap((name) => {
      const both: fc.Arbitrary<Command>[] = [connects(name, fc.constant(false)), subscribes(name)];
      return both.map((each) => fc.option(each, { freq: 20 }));
    }),
  )
  .map((each) => each.flatMap((command) => command ?? []));

const settings: fc.Arbitrary<Setting> = fc.record({
  delays: fc.nat(1000),
  maxInflight: fc.constantFrom(512, 1, 3, 8),
  queueMemory: fc.constantFrom(256 * 1024, 1, 60, 300),
});

/** Runs of up to `longest` commands behind their beginning. */
export function runs(longest: number): fc.Arbitrary<Run> {
  const rest = fc.array(commands, { maxLength: longest, size: 'max' });
  return fc
    .record({ setting: settings, beginning: beginnings, rest })
    .map(({ setting, beginning, rest: more }) => ({ setting, commands: [...beginning, ...more] }));
}
