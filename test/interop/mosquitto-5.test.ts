/** MQTT 5.0 with mosquitto_pub, mosquitto_sub and mosquitto_rr: `-D`, what `-F` shows, kept sessions, `$share`. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { publish as publishAs } from './mosquitto.js';
import { type Finished, Program, run } from './programs.js';
import { SysWatch } from './sys.js';

/** `-D command property value...` for each. */
function properties(command: string, ...list: (readonly string[])[]): string[] {
  return list.flatMap((property) => ['-D', command, ...property]);
}

describe('mosquitto clients with MQTT 5.0', { timeout: 60_000, concurrency: true }, () => {
  let portico: Portico;
  let sys: SysWatch;

  before(async () => {
    portico = await Portico.start();
    sys = await SysWatch.start(portico.ports.mqtt);
  });
  after(() => portico.dispose());

  const server = (): string[] => ['-h', '127.0.0.1', '-p', String(portico.ports.mqtt), '-V', '5'];
  const publish = (...args: string[]): Promise<void> => publishAs(portico.ports.mqtt, 'mqttv5', ['-q', '1', ...args]);

  /** A mosquitto_sub whose messages are lines of `format`. */
  const subscribe = async (format: string, ...args: string[]): Promise<Program> => {
    const program = await Program.start('mosquitto_sub', [...server(), '-d', '-F', `MESSAGE ${format}`, ...args]);
    await program.lines.take((line) => line.startsWith('Subscribed (mid:'), 'SUBACK');
    return program;
  };
  const next = async (program: Program): Promise<string> =>
    (await program.lines.take((line) => line.startsWith('MESSAGE '), 'a message')).slice('MESSAGE '.length);

  test('every property of PUBLISH is shown as it was sent; User Properties in order, with duplicates', async () => {
    const subscriber = await subscribe('%C|%D|%F|%P|%R|%S|%q%r|%p', '-q', '2', '-t', 'm5/shown');
    const sent = properties(
      'publish',
      ['payload-format-indicator', '1'],
      ['content-type', 'text/plain'],
      ['response-topic', 'm5/answers'],
      ['correlation-data', 'c-1'],
      ['user-property', 'b', '1'],
      ['user-property', 'a', '2'],
      ['user-property', 'b', '1'],
    );
    for (const qos of ['0', '1', '2']) {
      await publish('-q', qos, '-t', 'm5/shown', '-m', 'body', ...sent);
      assert.equal(await next(subscriber), `text/plain|c-1|1|b:1 a:2 b:1|m5/answers||${qos}0|body`);
    }
    await publish('-t', 'm5/shown', '-m', 'bare');
    assert.equal(await next(subscriber), '||||||10|bare');
    await subscriber.end();
  });

  test('a retained message has all of them too', async () => {
    const sent = properties('publish', ['content-type', 'text/plain'], ['user-property', 'k', 'v']);
    await publish('-r', '-t', 'm5/retained', '-m', 'kept', ...sent);
    const identifier = properties('subscribe', ['subscription-identifier', '268435455']);
    const subscriber = await subscribe('%C|%P|%S|%r|%p', '-q', '1', '-t', 'm5/retained', ...identifier);
    assert.equal(await next(subscriber), 'text/plain|k:v|268435455|1|kept');
    await subscriber.end();
  });

  for (const [how, ...kept] of [
    // -c asks for a session without end, so this property can only go with a new one.
    ['-D connect session-expiry-interval', ...properties('connect', ['session-expiry-interval', '100'])],
    ['-c, which means for ever', '-c'],
    ['-c and -x', '-c', '-x', '100'],
  ] as const) {
    test(`a session kept by ${how} queues QoS 1 messages, with what is left of their expiry`, async () => {
      const topic = `m5/kept/${kept.length}`;
      const args = ['-i', `m5-kept-${kept.length}`, '-q', '1', '-t', topic, '-t', `${topic}/end`];
      await (await subscribe('%p', ...kept, ...args)).end();
      await publish('-t', topic, '-m', 'short', ...properties('publish', ['message-expiry-interval', '1']));
      await publish('-t', topic, '-m', 'long', ...properties('publish', ['message-expiry-interval', '100']));
      await publish('-t', topic, '-m', 'never', ...properties('publish', ['content-type', 'text/plain']));
      await sys.passed(2);
      const again = await subscribe('%C|%E|%p', '-c', ...args);
      const [, left, payload] = (await next(again)).split('|');
      assert.equal(payload, 'long');
      assert.ok(Number(left) > 50 && Number(left) <= 98, `${left} seconds are left`);
      assert.equal(await next(again), 'text/plain||never');
      await publish('-t', `${topic}/end`, '-m', 'end');
      assert.equal(await next(again), '||end');
      await again.end();
    });
  }

  test('a session ends after its Session Expiry Interval', async () => {
    const args = ['-i', 'm5-ends', '-c', '-x', '1', '-q', '1', '-t', 'm5/ends'];
    await (await subscribe('%p', ...args)).end();
    await sys.passed(2);
    await publish('-t', 'm5/ends', '-m', 'nobody waits');
    const again = await subscribe('%p', ...args);
    await publish('-t', 'm5/ends', '-m', 'live');
    assert.equal(await next(again), 'live');
    await again.end();
  });

  test('a will waits for Will Delay Interval and has its own properties', async () => {
    const watcher = await subscribe('%C|%P|%E|%p', '-q', '1', '-t', 'm5/will/+');
    const will = properties(
      'will',
      ['will-delay-interval', '2'],
      ['content-type', 'text/plain'],
      ['user-property', 'why', 'power'],
      ['message-expiry-interval', '100'],
    );
    const options = ['--will-topic', 'm5/will/gone', '--will-payload', 'gone', '--will-qos', '1', ...will];
    const dying = await subscribe('%p', '-i', 'm5-will', '-c', '-x', '100', '-t', 'm5/dying', ...options);
    await dying.end('SIGKILL');
    await publish('-t', 'm5/will/marker', '-m', 'marker');
    assert.equal(await next(watcher), '|||marker', 'the will waits');
    assert.equal(await next(watcher), 'text/plain|why:power|100|gone');
    await watcher.end();
  });

  test('--retain-as-published shows which live messages are retained [MQTT-3.3.1-13]', async () => {
    await publish('-r', '-t', 'm5/retain/a', '-m', 'kept');
    const published = await subscribe('%r%p', '-t', 'm5/retain/+', '--retain-as-published');
    const plain = await subscribe('%r%p', '-t', 'm5/retain/+');
    for (const subscriber of [published, plain]) assert.equal(await next(subscriber), '1kept');
    await publish('-r', '-t', 'm5/retain/a', '-m', 'live');
    assert.equal(await next(published), '1live');
    assert.equal(await next(plain), '0live');
    await published.end();
    await plain.end();
  });

  test('$share/g/t: each message reaches one of three members, and all have their share', async () => {
    const members = await Promise.all(
      ['1', '2', '3'].map((identifier) =>
        subscribe(
          '%S|%p',
          ...['-q', '1', '-t', '$share/g/m5/shared/+', '-t', `m5/shared-end/${identifier}`],
          ...properties('subscribe', ['subscription-identifier', identifier]),
        ),
      ),
    );
    const beside = await subscribe('%p', '-q', '1', '-t', 'm5/shared/+');
    const sent = Array.from({ length: 30 }, (_, i) => `message ${i}`);
    await run('mosquitto_pub', [...server(), '-q', '1', '-t', 'm5/shared/x', '-l'], `${sent.join('\n')}\n`);
    const got: string[] = [];
    for (const [index, member] of members.entries()) {
      await publish('-t', `m5/shared-end/${index + 1}`, '-m', 'end');
      const before = got.length;
      for (let line = await next(member); line !== `${index + 1}|end`; line = await next(member)) {
        const [identifier, payload] = line.split('|');
        assert.equal(identifier, String(index + 1));
        got.push(payload);
      }
      assert.equal(got.length - before, 10, 'one after the other');
      await member.end();
    }
    assert.deepEqual(got.sort(), [...sent].sort());
    for (const payload of sent) assert.equal(await next(beside), payload);
    await beside.end();
  });

  test('mosquitto_pub sends the topic once and its Topic Alias after that', async () => {
    const subscriber = await subscribe('%t|%p', '-q', '2', '-t', 'm5/alias/+');
    const sent = Array.from({ length: 20 }, (_, i) => String(i));
    const alias = properties('publish', ['topic-alias', '128']);
    for (const qos of ['0', '1', '2']) {
      const args = [...server(), '-q', qos, '-t', `m5/alias/${qos}`, '-l', ...alias];
      await run('mosquitto_pub', args, `${sent.join('\n')}\n`);
      for (const payload of sent) assert.equal(await next(subscriber), `m5/alias/${qos}|${payload}`);
    }
    await subscriber.end();
  });

  test('a Topic Alias beyond Topic Alias Maximum of the broker is refused by DISCONNECT 0x94', async () => {
    const args = [...server(), '-d', '-q', '1', '-t', 'm5/alias', '-m', 'x'];
    const { stdout } = await run('mosquitto_pub', [...args, ...properties('publish', ['topic-alias', '129'])]);
    assert.match(stdout.toString(), /DISCONNECT \(148\)/);
  });

  test('mosquitto_rr asks, a responder answers by what the request says', async () => {
    const responder = await subscribe('%R|%D|%p', '-t', 'm5/request');
    const ask = (name: string): Promise<Finished> =>
      run('mosquitto_rr', [
        ...server(),
        ...['-q', '1', '-W', '15', '-t', 'm5/request', '-e', `m5/response/${name}`, '-m', `question ${name}`],
        ...properties('publish', ['correlation-data', name]),
      ]);
    const asking = Promise.all(['a', 'b'].map(ask));
    for (let i = 0; i < 2; i++) {
      const [topic, correlation, question] = (await next(responder)).split('|');
      const answer = question.replace('question', 'answer');
      await publish('-t', topic, '-m', answer, ...properties('publish', ['correlation-data', correlation]));
    }
    const answers = (await asking).map(({ code, stdout }) => [code, stdout.toString().trim()]);
    assert.deepEqual(answers, [
      [0, 'answer a'],
      [0, 'answer b'],
    ]);
    await responder.end();
  });

  test('CONNACK tells Maximum Packet Size, and mosquitto_pub does not send what is larger', async (t) => {
    const small = await Portico.start({ mqtt: { max_packet_size: 1000 } });
    t.after(() => small.dispose());
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(small.ports.mqtt),
      '-V',
      '5',
      '-d',
      '-q',
      '1',
      '-t',
      'm5/large',
      '-s',
    ];
    const sent = async (size: number): Promise<boolean> =>
      (await run('mosquitto_pub', args, Buffer.alloc(size, 'x'))).stdout.includes('sending PUBLISH');
    assert.equal(await sent(900), true);
    assert.equal(await sent(1000), false);
  });
});
