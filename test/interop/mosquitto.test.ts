import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { MQTT_VERSIONS, publish, type Shown, Subscriber } from './mosquitto.js';
import { Program, run } from './programs.js';

describe('mosquitto_pub and mosquitto_sub', { timeout: 120_000 }, () => {
  let portico: Portico;
  let port: number;

  before(async () => {
    portico = await Portico.start();
    port = portico.ports.mqtt;
  });
  after(() => portico.dispose());

  for (const version of MQTT_VERSIONS) {
    describe(`-V ${version}`, () => {
      const root = `mosquitto/${version}`;

      test('QoS 0, 1 and 2 messages arrive with the QoS of publisher and subscription, whichever is lower', async () => {
        for (const granted of [0, 1, 2]) {
          const topic = `${root}/qos/${granted}`;
          const subscriber = await Subscriber.start(port, version, ['-q', String(granted), '-t', topic]);
          for (const qos of [0, 1, 2])
            await publish(port, version, ['-q', String(qos), '-t', topic, '-m', `sent ${qos}`]);
          for (const qos of [0, 1, 2]) {
            const expected = { topic, qos: Math.min(qos, granted), retain: false, payload: `sent ${qos}` };
            assert.deepEqual(await subscriber.next(), expected);
          }
          await subscriber.end();
        }
      });

      test('a retained message is delivered to later subscribers until it is cleared', async () => {
        const topic = `${root}/retained/value`;
        await publish(port, version, ['-q', '1', '-r', '-t', topic, '-m', 'first']);
        const early = await Subscriber.start(port, version, ['-q', '1', '-t', topic]);
        assert.deepEqual(await early.next(), { topic, qos: 1, retain: true, payload: 'first' });
        await publish(port, version, ['-q', '1', '-r', '-t', topic, '-m', 'second']);
        assert.deepEqual(await early.next(), { topic, qos: 1, retain: false, payload: 'second' }, 'live: not retained');
        await early.end();

        await publish(port, version, ['-q', '1', '-r', '-n', '-t', topic]);
        const marker = `${root}/retained/marker`;
        await publish(port, version, ['-q', '1', '-r', '-t', marker, '-m', 'marker']);
        const late = await Subscriber.start(port, version, ['-q', '1', '-t', topic, '-t', marker]);
        assert.deepEqual(await late.next(), { topic: marker, qos: 1, retain: true, payload: 'marker' });
        await late.end();
      });

      test('the will is published when the client is killed, and after DISCONNECT only if that says so', async () => {
        const topic = `${root}/will`;
        const watcher = await Subscriber.start(port, version, ['-q', '1', '-t', topic]);
        for (const [payload, signal] of [
          ['ended', 'SIGTERM'],
          ['killed', 'SIGKILL'],
        ] as const) {
          const will = ['--will-topic', topic, '--will-payload', payload, '--will-qos', '1'];
          const dying = await Subscriber.start(port, version, ['-t', `${root}/dying`, ...will]);
          await dying.end(signal);
        }
        // With MQTT 5.0, mosquitto_sub says "disconnect with will message" (0x04) when it is ended.
        if (version === 'mqttv5') assert.equal((await watcher.next()).payload, 'ended');
        assert.deepEqual(await watcher.next(), { topic, qos: 1, retain: false, payload: 'killed' });
        await watcher.end();
      });

      test('a retained will stays for later subscribers', async () => {
        const topic = `${root}/will-retained`;
        const watcher = await Subscriber.start(port, version, ['-q', '1', '-t', topic]);
        const will = ['--will-topic', topic, '--will-payload', 'offline', '--will-qos', '1', '--will-retain'];
        const dying = await Subscriber.start(port, version, ['-t', `${root}/dying`, ...will]);
        await dying.end('SIGKILL');
        assert.equal((await watcher.next()).payload, 'offline');
        await watcher.end();
        const late = await Subscriber.start(port, version, ['-q', '1', '-t', topic]);
        assert.deepEqual(await late.next(), { topic, qos: 1, retain: true, payload: 'offline' });
        await late.end();
      });

      test('# and + at the first level do not match topics that begin with $ [MQTT-4.7.2-1]', async () => {
        const wild = await Subscriber.start(port, version, ['-t', '#', '-t', `+/${version}/dollar`]);
        const dollar = await Subscriber.start(port, version, ['-t', `$dollar/${version}/dollar`]);
        await publish(port, version, ['-q', '1', '-t', `$dollar/${version}/dollar`, '-m', 'hidden']);
        assert.equal((await dollar.next()).payload, 'hidden');
        await publish(port, version, ['-q', '1', '-t', `${root}/marker`, '-m', 'marker']);
        for (;;) {
          const { topic } = await wild.next();
          assert.ok(!topic.startsWith('$'), topic);
          if (topic === `${root}/marker`) break;
        }
        await wild.end();
        await dollar.end();
      });

      test('overlapping subscriptions of one client deliver one copy, with the highest QoS', async () => {
        const filters = ['-t', `${root}/overlap/#`, '-t', `${root}/overlap/+`, '-t', `${root}/overlap/x`];
        const subscriber = await Subscriber.start(port, version, ['-q', '2', ...filters]);
        await publish(port, version, ['-q', '2', '-t', `${root}/overlap/x`, '-m', 'once']);
        await publish(port, version, ['-q', '2', '-t', `${root}/overlap/y`, '-m', 'marker']);
        assert.deepEqual(await subscriber.payloads(2), ['once', 'marker']);
        await subscriber.end();
      });

      test('1 MB travels from client to client, live and retained', async () => {
        const topic = `${root}/large`;
        const payload = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => 97 + (i % 26)));
        const subscriber = await Subscriber.start(port, version, ['-q', '1', '-t', topic]);
        await publish(port, version, ['-q', '1', '-r', '-t', topic, '-s'], payload);
        const live = await subscriber.next();
        assert.ok(live.payload === payload.toString(), `${live.payload.length} bytes that differ`);
        await subscriber.end();
        const args = ['-h', '127.0.0.1', '-p', String(port), '-V', version, '-C', '1', '-N', '-q', '1', '-t', topic];
        const { code, stdout } = await run('mosquitto_sub', args);
        assert.equal(code, 0);
        assert.ok(stdout.equals(payload), `${stdout.length} bytes that differ`);
      });

      test('one connection publishes many lines in order', async () => {
        const topic = `${root}/lines`;
        const lines = Array.from({ length: 500 }, (_, i) => `line ${i}`);
        const subscriber = await Subscriber.start(port, version, ['-q', '2', '-t', topic]);
        await publish(port, version, ['-q', '2', '-t', topic, '-l'], Buffer.from(`${lines.join('\n')}\n`));
        assert.deepEqual(await subscriber.payloads(lines.length), lines);
        await subscriber.end();
      });

      test('a session kept by -c gets its QoS 1 and 2 messages after it was away', async () => {
        const args = ['-c', '-i', `kept-${version}`, '-q', '2', '-t', `${root}/kept`];
        await (await Subscriber.start(port, version, args)).end();
        const lines = Array.from({ length: 50 }, (_, i) => `line ${i}`);
        for (const qos of ['1', '2']) {
          await publish(port, version, ['-q', qos, '-t', `${root}/kept`, '-l'], Buffer.from(`${lines.join('\n')}\n`));
        }
        const again = await Subscriber.start(port, version, args);
        const got: Shown[] = [];
        while (got.length < 2 * lines.length) got.push(await again.next());
        for (const qos of [1, 2]) {
          const shown = got.filter((message) => message.qos === qos).map(({ payload }) => payload);
          assert.deepEqual(shown, lines, `QoS ${qos}`);
        }
        await again.end();
      });

      test('unsubscribed topics are not delivered', async () => {
        // -U unsubscribes right after the subscriptions were made.
        const subscriber = await Subscriber.start(port, version, [
          '-t',
          `${root}/u/+`,
          '-t',
          `${root}/v`,
          '-U',
          `${root}/u/+`,
        ]);
        await subscriber.step('received UNSUBACK');
        await publish(port, version, ['-q', '1', '-t', `${root}/u/x`, '-m', 'unwanted']);
        await publish(port, version, ['-q', '1', '-t', `${root}/v`, '-m', 'wanted']);
        assert.equal((await subscriber.next()).payload, 'wanted');
        await subscriber.end();
      });
    });
  }

  test('MQTT 5.0 properties arrive as they were sent', async () => {
    const shown = '%t|%C|%R|%D|%P|%S|%p';
    const topic = 'mosquitto/properties';
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-V',
      'mqttv5',
      '-d',
      '-q',
      '1',
      '-t',
      topic,
      '-F',
      `MESSAGE ${shown}`,
    ];
    const identifier = ['-D', 'subscribe', 'subscription-identifier', '77'];
    const subscriber = await Program.start('mosquitto_sub', [...args, ...identifier]);
    await subscriber.lines.take((line) => line.startsWith('Subscribed (mid:'), 'SUBACK');
    const properties = [
      ['content-type', 'text/plain'],
      ['response-topic', 'answers/here'],
      ['correlation-data', '4711'],
      ['user-property', 'room', 'kitchen'],
    ].flatMap((property) => ['-D', 'publish', ...property]);
    await publish(port, 'mqttv5', ['-q', '1', '-t', topic, '-m', 'body', ...properties]);
    const line = await subscriber.lines.take((text) => text.startsWith('MESSAGE '), 'the message');
    assert.equal(line, `MESSAGE ${topic}|text/plain|answers/here|4711|room:kitchen|77|body`);
    await subscriber.end();
  });

  test('a retained MQTT 5.0 message carries what is left of its Message Expiry Interval [MQTT-3.3.2-6]', async () => {
    const topic = 'mosquitto/expiry';
    const expiry = ['-D', 'publish', 'message-expiry-interval', '3600'];
    await publish(port, 'mqttv5', ['-q', '1', '-r', '-t', topic, '-m', 'x', ...expiry]);
    const args = ['-h', '127.0.0.1', '-p', String(port), '-V', 'mqttv5', '-C', '1', '-t', topic, '-F', '%E'];
    const { stdout } = await run('mosquitto_sub', args);
    const left = Number(stdout.toString());
    assert.ok(left > 3500 && left <= 3600, `Message Expiry Interval ${left}`);
  });

  test('mosquitto_rr gets the answer of a mosquitto_sub and mosquitto_pub by Response Topic', async () => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-V', 'mqttv5'];
    const server = await Program.start('mosquitto_sub', [...args, '-d', '-t', 'rr/request', '-F', 'MESSAGE %R|%D|%p']);
    await server.lines.take((line) => line.startsWith('Subscribed (mid:'), 'SUBACK');
    const correlation = ['-D', 'publish', 'correlation-data', 'c-1'];
    const asking = run('mosquitto_rr', [
      ...args,
      '-t',
      'rr/request',
      '-e',
      'rr/answer',
      '-m',
      'question',
      ...correlation,
    ]);
    const line = await server.lines.take((text) => text.startsWith('MESSAGE '), 'the request');
    assert.equal(line, 'MESSAGE rr/answer|c-1|question');
    await publish(port, 'mqttv5', [
      '-q',
      '1',
      '-t',
      'rr/answer',
      '-m',
      'answer',
      '-D',
      'publish',
      'correlation-data',
      'c-1',
    ]);
    const { code, stdout, stderr } = await asking;
    assert.equal(code, 0, stderr);
    assert.equal(stdout.toString().trim(), 'answer');
    await server.end();
  });

  test('$SYS/broker/version names the broker', async () => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-C', '1', '-t', '$SYS/broker/version'];
    const { code, stdout } = await run('mosquitto_sub', args);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /^portico version \d+\.\d+\.\d+\S*\n$/);
  });
});
