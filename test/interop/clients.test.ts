/** `portico clients`: clients that others wrote, over every transport, as an admin sees them. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ToldClient, ToldSubscription } from '../../src/admin/told-clients.js';
import { checkout } from '../support/checkout.js';
import { listenersAt, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { listening, logged, METER } from './coap-transports.js';
import { Observer, topicUri } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';
import { type Finished, Program, run } from './programs.js';

describe('portico clients', { timeout: 120_000 }, () => {
  let portico: Portico;
  let coaps: number;

  const clients = (...args: string[]): Promise<Finished> =>
    run(process.execPath, [porticoMain, 'clients', ...args, '-c', portico.configFile]);
  const listed = async (...args: string[]): Promise<ToldClient[]> => {
    const { stdout, stderr, code } = await clients('--json', ...args);
    assert.equal(code, 0, stderr);
    const lines = stdout.toString().split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as ToldClient);
  };

  before(async () => {
    const keys = join(temporaryFolder(), 'psk');
    writeFileSync(keys, `meter-7:${Buffer.from('sesame').toString('hex')}\n`, { mode: 0o600 });
    portico = await Portico.start((ports) => ({
      listeners: [...listenersAt(ports), { type: 'coaps', host: '127.0.0.1', port: 0 }],
      access: { psk_file: keys },
    }));
    coaps = (await listening(portico, 'coaps on 127.0.0.1:0')).port;
  });
  after(() => portico.dispose());

  test('mosquitto_sub and coap-client, over UDP and over DTLS, are clients of one list, each with what it has', async () => {
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv5', [
      '-i',
      'kept',
      '-c',
      '-x',
      '60',
      '-t',
      'a/#',
    ]);
    const observer = await Observer.start(topicUri(portico.ports.coap, 'a/1'));
    const uri = `coaps://127.0.0.1:${coaps}/ps/a/2`;
    const secured = await Program.start('coap-client-openssl', [...METER, '-w', '-s', '60', uri]);
    await publish(portico.ports.mqtt, 'mqttv5', ['-t', 'a/2', '-m', 'on', '-q', '1', '-r']);
    assert.equal(await secured.lines.next('a notification'), 'on');

    const list = await listed();
    const kinds = list.map(({ client, username, transport, protocol, kept, subscriptions }) => [
      client.replace(/:\d+$/, ''),
      username,
      transport,
      protocol,
      kept,
      subscriptions,
    ]);
    assert.deepEqual(kinds, [
      ['kept', null, 'mqtt', '5.0', true, 1],
      ['coap-meter-7', 'meter-7', 'coaps', 'coap', false, 1],
      ['coap-127.0.0.1', null, 'coap', 'coap', false, 1],
    ]);
    assert.equal(list[0].listener, 'listeners.0');
    assert.ok((list[0].bytes_received ?? 0) > 0 && (list[0].bytes_sent ?? 0) > 0);
    const { stdout } = await clients();
    const [head, ...rows] = stdout.toString().split('\n').slice(0, -1);
    assert.match(
      head,
      /^CLIENT +USER +ADDRESS +TRANSPORT +PROTOCOL +SINCE +KEEP ALIVE +SESSION +SUBSCRIPTIONS +WAITING/,
    );
    const at = head.indexOf('TRANSPORT');
    assert.deepEqual(
      rows.map((row) => row.slice(at).split(' ')[0]),
      ['mqtt', 'coaps', 'coap'],
    );

    const [meter, observation] = (await listed('coap-meter-7')) as unknown as [ToldClient, ToldSubscription];
    assert.equal(meter.username, 'meter-7');
    assert.equal(observation.subscription.filter, 'a/2');
    const one = (await clients('coap-meter-7')).stdout.toString();
    assert.match(one, /^coap-meter-7\n {2}username: meter-7\n/);
    assert.match(one, /\n {2}cipher suite: TLS_\w+\n/);
    assert.match(one, /\n {2}subscription: filter a\/2, qos 2, since /);

    assert.equal((await clients('disconnect', 'coap-meter-7')).stdout.toString(), 'clients disconnected: 1\n');
    await logged(portico, ({ client, reason }) => client === 'coap-meter-7' && reason === 'disconnected by an admin');
    await secured.end('SIGINT');
    assert.equal((await clients('disconnect', 'kept')).stdout.toString(), 'clients disconnected: 1\n');
    await subscriber.end();
    await observer.end();
  });

  test('a session whose client is away is told with --all, and what a client is called does no harm to a terminal', async () => {
    const name = 'x\u202ey';
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-i', name, '-c', '-x', '60', '-t', 'b']);
    const row = (await clients()).stdout.toString();
    assert.ok(row.includes('x\\u202ey') && !row.includes('\u202e'), row);
    await subscriber.end();
    await logged(portico, ({ client, msg }) => client === name && msg.includes('disconnected'));
    assert.equal((await listed('--all')).find(({ client }) => client === name)?.connected, false);
    assert.match((await clients('--all')).stdout.toString(), / left \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ .* until /);
    assert.match((await clients(name)).stdout.toString(), /\n {2}left because: /);
  });

  test('portico clients says what it cannot do', async () => {
    for (const [args, code, sentence] of [
      [['nobody'], 1, /no client "nobody" is connected or has a session that is kept/],
      [['disconnect', 'nobody'], 1, /no client "nobody" is connected/],
      [['disconnect'], 3, /clients disconnect takes one word, the client/],
      [['a', 'b'], 3, /clients takes one word at most/],
      [['a', '--all'], 3, /--all belongs to the list of all clients/],
      [['--user', 'ann'], 3, /--user, --client and --topic belong to acl explain/],
    ] as const) {
      const finished = await clients(...args);
      assert.match(finished.stderr, sentence);
      assert.equal(finished.code, code);
    }
    const none = await run(process.execPath, [porticoMain, 'clients', '--data', temporaryFolder()]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no broker runs in/);
    const health = await run(process.execPath, [porticoMain, 'health', '--json']);
    assert.match(health.stderr, /--all belongs to clients, --json to clients and trace/);
  });

  test('the fields in the documentation are those that there are', async () => {
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-i', 'c', '-t', 'a']);
    const page = readFileSync(join(checkout, 'docs', 'clients.md'), 'utf8');
    const told = (await listed()).find(({ client }) => client === 'c');
    for (const name of Object.keys(told ?? {})) assert.ok(page.includes(`\`${name}\``), name);
    await subscriber.end();
  });
});
