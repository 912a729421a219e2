/** Normative statements of topic names, topic filters and UTF-8: MQTT 4.7, 1.5.3 and MQTT 5.0 1.5.4. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Engine } from '../support/engine.js';
import { answers, ending, kept, passing, publishBytes, taken, VERSIONS } from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

/** Filters, each with topic names that it matches, and names that it does not. */
const MATCHING: readonly (readonly [filter: string, yes: readonly string[], no: readonly string[]])[] = [
  [
    'sport/tennis/player1/#',
    ['sport/tennis/player1', 'sport/tennis/player1/ranking', 'sport/tennis/player1/score/wimbledon'],
    ['sport/tennis/player2', 'sport/tennis', 'sport/tennis/player12'],
  ],
  ['sport/#', ['sport', 'sport/', 'sport/a/b'], ['sports', '/sport', 'Sport/a']],
  ['#', ['a', '/', 'a/b/c', '/a', ' '], ['$a', '$a/b']],
  ['sport/tennis/+', ['sport/tennis/player1', 'sport/tennis/'], ['sport/tennis/player1/ranking', 'sport/tennis']],
  ['sport/+', ['sport/', 'sport/a'], ['sport', 'sport/a/b']],
  ['+/+', ['/finance', 'a/b', '/'], ['finance', '/a/b', '$a/b']],
  ['/+', ['/finance', '/'], ['finance', '/a/b', '//']],
  ['+', ['finance', ' '], ['/finance', 'a/', '$a']],
  ['+/tennis/#', ['a/tennis', '/tennis/b/c'], ['tennis', 'a/b/tennis', '$a/tennis']],
  ['+/+/+', ['a//b', '//'], ['a/b', '/']],
  ['$a/#', ['$a', '$a/b/c'], ['a', '$ab', '$A/b']],
  ['$a/+', ['$a/b'], ['$a', '$a/b/c', 'a/b']],
  ['a/b', ['a/b'], ['a', 'a/b/', '/a/b', 'a/B', 'a/b/c']],
];

describe('topic names and topic filters', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  for (const [version, name] of VERSIONS) {
    test(`${name}: a client gets what its filter matches and nothing else, connected or away [MQTT-3.3.2-3, MQTT-3.8.3-2, MQTT-4.5.0-1, MQTT-4.7.0-1, MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.2-1]`, async () => {
      const publisher = await engine.connect(passing(version, 'p'));
      for (const [filter, yes, no] of MATCHING) {
        const live = await engine.connect({ ...passing(version, 's'), clean: true });
        const away = await engine.connect(kept(version, `away ${filter}`));
        for (const client of [live, away]) await client.subscribe(filter, 1);
        await engine.cut(away);
        const topics = [...yes, ...no];
        for (const topic of topics) await answers(engine, publisher, publishBytes(version, 2, topic, 1, 'x'));
        const back = await engine.connect(kept(version, `away ${filter}`));
        for (const client of [live, back]) {
          const received = ((await client.drain()) as IPublishPacket[]).map(({ topic }) => topic);
          assert.deepEqual(received, yes, filter);
          await engine.cut(client);
        }
      }
    });

    test(`${name}: retained messages are found by the same rules [MQTT-4.7.2-1, MQTT-3.3.2-3]`, async () => {
      const publisher = await engine.connect(passing(version, 'p'));
      const topics = new Set(MATCHING.flatMap(([, yes, no]) => [...yes, ...no]));
      for (const topic of topics) await answers(engine, publisher, publishBytes(version, 3, topic, 1, 'x'));
      for (const [filter, yes, no] of MATCHING) {
        const client = await engine.connect(passing(version, 's'));
        await client.subscribe(filter, 0);
        const received = new Set(((await client.drainTurns()) as IPublishPacket[]).map(({ topic }) => topic));
        for (const topic of yes) assert.ok(received.has(topic), `${filter} ${topic}`);
        for (const topic of no) assert.ok(!received.has(topic), `${filter} ${topic}`);
        await engine.cut(client);
      }
    });

    test(`${name}: names and filters are compared as they are, and arrive so [MQTT-4.7.3-4, MQTT-1.5.3-3, MQTT-1.5.4-3]`, async () => {
      const topics = [
        'ACCOUNTS',
        'Accounts',
        'a//b',
        'a/b',
        '/a',
        'a',
        'a/',
        ' a',
        'a ',
        'é',
        'e\u0301',
        'a/./b',
        'a/%20',
        '\ufeffa',
        'a\ufeff',
        '\ufb01',
        'fi',
        '\u00c5',
        '\u212b',
        '\u{1f600}',
        'a\u0001b',
        '\uffff',
      ];
      const client = await engine.connect(passing(version, 's'));
      const clients = new Map<string, Awaited<ReturnType<Engine['connect']>>>();
      for (const topic of topics) {
        const receiver = await engine.connect(passing(version, `s ${clients.size}`));
        await receiver.subscribe(topic, 0);
        taken(receiver);
        clients.set(topic, receiver);
      }
      for (const topic of topics) client.sendBytes(publishBytes(version, 0, topic, 0, topic));
      await client.drain();
      for (const [topic, receiver] of clients) {
        await receiver.expect('publish');
        assert.equal(taken(receiver), publishBytes(version, 0, topic, 0, topic).toString('hex'), JSON.stringify(topic));
        assert.deepEqual(await receiver.drain(), []);
      }
    });

    test(`${name}: names and filters may have 65,535 bytes [MQTT-4.7.3-3]`, async () => {
      for (const topic of ['x'.repeat(65_535), 'é'.repeat(32_767), `a/${'b'.repeat(65_533)}`]) {
        const client = await engine.connect(passing(version, 's'));
        await client.subscribe(topic, 1);
        taken(client);
        engine.broker.publish({ topic, payload: 'x', qos: 1 });
        await client.expect('publish');
        assert.equal(taken(client), publishBytes(version, 2, topic, 1, 'x').toString('hex'));
      }
    });

    test(`${name}: a topic name that is empty, ill-formed or has U+0000 ends the connection [MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-3.3.2-1, MQTT-4.7.3-1, MQTT-4.7.3-2]`, async () => {
      const watcher = await engine.connect(passing(version, 'w'));
      await watcher.subscribe('#', 0);
      const wrong = ['', 'ff', '61c328', 'eda080', 'edbfbf', 'c080', 'f4908080', '00', '610062', 'e282'];
      for (const digits of wrong) {
        const client = await engine.connect(passing(version, 'c'));
        taken(client);
        client.sendBytes(framed(0x30, str(raw(digits)), version === 5 ? '00' : '', '78'));
        assert.match(await ending(client), version === 5 ? /^DISCONNECT (81|82)$/ : /^$/, digits);
      }
      assert.deepEqual(await watcher.drain(), []);
    });
  }
});
