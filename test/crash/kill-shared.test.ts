/**
 * kill -9 in a flood to a shared subscription whose members are kept sessions, online and offline: what was acknowledged
 * reaches one of them, QoS 2 once.
 */
import { test } from 'node:test';
import type { MqttClient } from 'mqtt';
import { mulberry32 } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed, killSoon } from './chance.js';
import { Collector, check, connect, Flood } from './flood.js';

const MEMBERS = ['away', 'here', 'here-too'];
const MARKS = ['end/1', 'end/2'];

test('kill -9 in a flood to a shared subscription: a member gets what was acknowledged, QoS 2 once', {
  timeout: 300_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const portico = await Portico.start({
    limits: { queued_messages: 10_000_000 },
    log: { level: 'warn', format: 'json' },
    sys: { interval: 0 },
  });
  const { mqtt: port } = portico.ports;
  const clients: MqttClient[] = [];
  const collectors: Collector[] = [];
  const join = (name: string): MqttClient => {
    const client = connect(port, name, { protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } });
    clients.push(client);
    collectors.push(new Collector(client, MARKS));
    return client;
  };
  try {
    const away = connect(port, 'away', { protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } });
    await away.subscribeAsync(['$share/group/flood/#', 'end/#'], { qos: 2 });
    await away.endAsync();
    for (const name of MEMBERS.slice(1)) await join(name).subscribeAsync(['$share/group/flood/#', 'end/#'], { qos: 2 });
    const floods = ([1, 2] as const).map((qos) => {
      const client = connect(port, `publisher-${qos}`);
      clients.push(client);
      return new Flood(client, qos);
    });
    for (let round = crashRounds(5); round > 0; round--) {
      await Promise.race(floods.map((flood) => flood.progress(20 + choose(400))));
      await killSoon(portico, choose);
    }
    const published = await Promise.all(floods.map((flood) => flood.finish()));
    join('away');
    const [first] = floods;
    for (const qos of [1, 2] as const) await first.client.publishAsync(`end/${qos}`, 'end', { qos });
    await Promise.all(collectors.map(({ done }) => done));
    for (const [index, flood] of floods.entries()) {
      check('the group', collectors, flood.qos, published[index], flood.acknowledged);
      const share = collectors.map(({ counts }) => counts[flood.qos].size);
      t.diagnostic(`QoS ${flood.qos}: ${flood.acknowledged.size} acknowledged, ${share.join(' + ')} arrived`);
    }
  } finally {
    for (const client of clients) await client.endAsync(true);
    await portico.dispose();
  }
});
