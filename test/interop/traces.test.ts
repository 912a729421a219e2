/** `portico trace`: what an admin reads of clients that others wrote, while they do what they do. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { scryptHash } from '../../src/access/password-hash.js';
import { askBroker } from '../../src/admin/control-client.js';
import { listenersAt, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { ask, listening, logged, METER } from './coap-transports.js';
import { topicUri } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';
import { Program, run } from './programs.js';
import { connectPacket, openRaw } from './raw.js';

/** A `portico trace` that runs. */
class Trace {
  readonly #program: Program;
  readonly #lines: string[] = [];

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(portico: Portico, ...args: string[]): Promise<Trace> {
    const program = await Program.start(process.execPath, [porticoMain, 'trace', ...args, '-c', portico.configFile]);
    const trace = new Trace(program);
    await trace.next(/tracing|"event":"tracing"/);
    return trace;
  }

  /** The next line that matches; those before it are passed over. */
  next(expected: RegExp): Promise<string> {
    return this.#program.lines.take((line) => {
      this.#lines.push(line);
      return expected.test(line);
    }, String(expected));
  }

  /** Ends it as Ctrl-C does; returns all that it has printed so far. */
  async end(): Promise<string> {
    await this.#program.end('SIGINT');
    assert.equal(await this.#program.exit, 0);
    return this.#lines.join('\n');
  }
}

describe('portico trace', { timeout: 120_000 }, () => {
  let portico: Portico;
  let coaps: number;

  before(async () => {
    const folder = temporaryFolder();
    const keys = join(folder, 'psk');
    writeFileSync(keys, `meter-7:${Buffer.from('sesame').toString('hex')}\n`, { mode: 0o600 });
    const passwords = join(folder, 'passwords');
    writeFileSync(passwords, `ann:${await scryptHash(Buffer.from('open sesame'), 10)}\n`, { mode: 0o600 });
    const rules = join(folder, 'acl');
    writeFileSync(
      rules,
      'topic readwrite a/#\nuser ann\ntopic readwrite #\ntopic deny secret/#\nuser meter-7\ntopic readwrite a/#\n',
    );
    portico = await Portico.start((ports) => ({
      listeners: [...listenersAt(ports), { type: 'coaps', host: '127.0.0.1', port: 0 }],
      access: { psk_file: keys, password_file: passwords, acl_file: rules },
      allow_anonymous: true,
      coap: { insecure_password: true },
      limits: { traces: 2 },
    }));
    coaps = (await listening(portico, 'coaps on 127.0.0.1:0')).port;
  });
  after(() => portico.dispose());

  test('mosquitto_sub and mosquitto_pub: packets, denials with their rule, and no password', async () => {
    const trace = await Trace.start(portico, '--user', 'ann', '--payload');
    const login = ['-u', 'ann', '-P', 'open sesame'];
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-i', 'sub', ...login, '-t', 'a/#']);
    await publish(portico.ports.mqtt, 'mqttv311', ['-i', 'pub', ...login, '-t', 'a/b', '-m', 'hello', '-q', '1']);
    await subscriber.next();
    await publish(portico.ports.mqtt, 'mqttv311', ['-i', 'pub', ...login, '-t', 'secret/b', '-m', 'x', '-q', '1']);
    await subscriber.end();
    await trace.next(/ sub < CONNECT protocol 5\.0, client id sub, user ann, password not shown, /);
    await trace.next(/ sub > CONNACK .*reason success/);
    await trace.next(/ sub < SUBSCRIBE id 1, filters \(\(filter a\/#, qos 0,/);
    await trace.next(/ pub < PUBLISH id 1, topic a\/b, qos 1, retain no, dup no, bytes 5, payload hello$/);
    await trace.next(
      / pub \(mqtt 127\.0\.0\.1:\d+\) denied: action publish, topic secret\/b, reason .*acl:4: topic deny secret\/#$/,
    );
    await trace.next(/ sub \(mqtt 127\.0\.0\.1:\d+\) disconnected: reason /);
    assert.ok(!(await trace.end()).includes('sesame'));
    await logged(portico, ({ msg }) => msg === 'the trace of user "ann" has ended');
  });

  test('coap-client over UDP and over DTLS: messages, observations, handshakes that fail, and no secret', async () => {
    const trace = await Trace.start(portico, '--address', '127.0.0.1', '--json', '--payload');
    const root = `coap://127.0.0.1:${portico.ports.coap}`;
    const token = await ask('coap-client-notls', '-m', 'post', `${root}/mqtt/connection?c=dev&u=ann&p=open%20sesame`);
    await ask('coap-client-notls', '-m', 'put', '-e', 'on', `${root}/ps/a/1?token=${token}`);
    const uri = `coaps://127.0.0.1:${coaps}/ps/a/1`;
    const observer = await Program.start('coap-client-openssl', [...METER, '-w', '-s', '60', uri]);
    await observer.lines.next('the present value');
    await ask('coap-client-notls', '-m', 'put', '-e', 'off', topicUri(portico.ports.coap, 'a/1'));
    assert.equal(await observer.lines.next('a notification'), 'off');
    await observer.end('SIGINT');
    await run('coap-client-openssl', ['-B', '5', '-u', 'meter-7', '-k', 'wrong', uri]);

    await trace.next(
      /"client":"dev","username":"ann".*"method":"POST".*"path":"\/mqtt\/connection","query":\["c=dev","u=ann","p=\(not shown\)"\]/,
    );
    await trace.next(/"event":"connected"/);
    await trace.next(/"client":"dev".*"event":"sent","type":"ACK","code":"2\.01"/);
    await trace.next(
      /"client":"dev".*"method":"PUT".*"path":"\/ps\/a\/1","query":\["token=\(not shown\)"\].*"payload":"on"/,
    );
    await trace.next(/"client":"coap-meter-7","username":"meter-7".*"transport":"coaps".*"method":"GET".*"observe":0/);
    await trace.next(/"client":"coap-meter-7".*"event":"sent".*"code":"2\.05".*"observe":.*"payload":"off"/);
    await trace.next(/"client":"coap-meter-7".*"event":"handshake failed".*has another key in access\.psk_file/);
    const all = await trace.end();
    assert.ok(!all.includes('sesame') && !all.includes(token), all);
  });

  test('a topic is followed whoever publishes on it; a client that is there already is told at once', async () => {
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv311', ['-i', 'there', '-t', 'a/#']);
    const client = await Trace.start(portico, 'there', '--json');
    await client.next(/"client":"there".*"event":"present","since":"/);
    const topic = await Trace.start(portico, '--topic', 'a/+');
    await publish(portico.ports.mqtt, 'mqttv5', ['-i', 'pub', '-t', 'a/x', '-m', 'hello']);
    await topic.next(/ pub published: topic a\/x, qos 0, retain no, bytes 5, receivers 1$/);
    await client.next(/"client":"there".*"event":"sent","packet":"publish","topic":"a\/x"/);
    const third = await run(process.execPath, [porticoMain, 'trace', 'x', '-c', portico.configFile]);
    assert.deepEqual(
      [third.code, third.stderr],
      [1, 'portico: the broker says: limits.traces is reached: 2 traces run\n'],
    );
    await client.end();
    await topic.end();
    await subscriber.end();
  });

  test('a reader that stalls is told how many lines it has lost, and holds up nobody', async () => {
    const stalled = await askBroker(
      portico.dataDir,
      'GET',
      `/trace?${new URLSearchParams({ topic: 'a/#', payload: '60000' })}`,
    );
    assert.ok(stalled !== null);
    const client = await openRaw(portico.ports.mqtt);
    client.send(connectPacket({ clientId: 'flood' }));
    await client.expect('connack');
    const payload = 'x'.repeat(50_000);
    for (let messageId = 1; messageId <= 200; messageId++) {
      client.send({ cmd: 'publish', topic: 'a/flood', payload, qos: 1, messageId, retain: false, dup: false });
      await client.expect('puback');
    }
    let text = '';
    stalled.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    while (!text.includes('"event":"lost"')) await turn();
    const lost = Number(/"event":"lost","lines":(\d+)/.exec(text)?.[1]);
    assert.ok(lost > 50 && lost < 200, String(lost));
    stalled.destroy();
    client.stream.destroy();
  });

  test('portico trace says what it cannot do', async () => {
    for (const [args, code, sentence] of [
      [[], 3, /trace takes one client, or --user, --address or --topic/],
      [['a', '--user', 'b'], 3, /trace takes one client, or --user, --address or --topic/],
      [['--topic', 'a/#/b'], 1, /the broker says: a\/#\/b is no topic filter to trace/],
      [['--address', 'example.org'], 1, /the broker says: example\.org is no IP address/],
    ] as const) {
      const finished = await run(process.execPath, [porticoMain, 'trace', ...args, '-c', portico.configFile]);
      assert.match(finished.stderr, sentence);
      assert.equal(finished.code, code);
    }
    const health = await run(process.execPath, [porticoMain, 'health', '--payload']);
    assert.match(health.stderr, /--payload and --address belong to trace/);
  });

  test('a broker that ends is told, and so is one that is not there', async () => {
    const trace = await Program.start(process.execPath, [porticoMain, 'trace', 'x', '-c', portico.configFile]);
    await trace.lines.take((line) => line.includes('tracing'), 'the first line');
    await portico.stop();
    assert.equal(await trace.exit, 1);
    const none = await run(process.execPath, [porticoMain, 'trace', 'x', '-c', portico.configFile]);
    assert.match(none.stderr, /no broker runs in/);
  });
});
