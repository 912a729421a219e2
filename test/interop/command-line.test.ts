import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { freePorts, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { logged } from './coap-transports.js';
import { publish } from './mosquitto.js';
import { type Finished, Program, run } from './programs.js';
import { connectRaw } from './raw.js';

const folder = temporaryFolder();
let files = 0;

/** Writes a configuration; returns its path. */
function configuration(...lines: string[]): string {
  files++;
  const file = join(folder, `${files}.yaml`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Runs the program to its end. */
function portico(...args: string[]): Promise<Finished> {
  return run(process.execPath, [porticoMain, ...args]);
}

describe('the command line', { timeout: 60_000 }, () => {
  test('--version names program and version, and ends with 0', async () => {
    const { code, stdout } = await portico('--version');
    assert.equal(code, 0);
    assert.match(stdout.toString(), /^portico \d+\.\d+\.\d+\S*\n$/);
  });

  for (const option of ['-h', '--help', 'help']) {
    test(`${option} explains the options and ends with 0`, async () => {
      const { code, stdout, stderr } = await portico(option);
      assert.equal(code, 0);
      for (const word of ['-c', '-p', '-v', 'check', 'health']) assert.ok(stdout.includes(word), word);
      assert.equal(stderr, '');
    });
  }

  for (const [args, words] of [
    [['-x'], 'unknown option -x'],
    [['--confg', 'x'], 'did you mean --config?'],
    [['chekc'], 'did you mean check?'],
    [['-p', 'many'], '-p many'],
    [['-p', '70000'], '70000'],
    [['-d'], 'never forks'],
    [['-c'], '-c'],
    [['check', '-c', '/there/is/none.yaml'], '/there/is/none.yaml'],
  ] as const) {
    test(`${args.join(' ')} is refused with 3 and words`, async () => {
      const { code, stdout, stderr } = await portico(...args);
      assert.equal(code, 3);
      assert.ok(stderr.startsWith('portico: ') && stderr.includes(words), stderr);
      assert.equal(stdout.toString(), '');
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack trace');
    });
  }
});

describe('check', { timeout: 60_000 }, () => {
  test('a right configuration: 0, and what is in effect', async () => {
    const file = configuration('listeners:', '  - type: mqtt', '    port: 18830', 'store:', '  sync: interval');
    const { code, stdout, stderr } = await portico('check', '-c', file);
    assert.equal(code, 0, stderr);
    assert.match(stdout.toString(), /port: 18830/);
    assert.match(stdout.toString(), /sync: interval/);
    assert.match(stdout.toString(), /keepalive_max: 65535/, 'defaults are in effect as well');
  });

  test('without a configuration: 0, and listeners on loopback only', async () => {
    const { code, stdout } = await portico('check');
    assert.equal(code, 0);
    for (const [, host] of stdout.toString().matchAll(/host: (\S+)/g)) assert.equal(host, 'loopback');
  });

  test('every fault is named with file, line and the nearest right word, and ends with 3', async () => {
    const file = configuration(
      'listeners:',
      '  - type: mqtt',
      '    prt: 1883',
      'store:',
      '  sync: allways',
      'mqttt:',
      '  keepalive_max: 3',
      'limits:',
      '  connections: -1',
    );
    for (const args of [
      ['check', '-c', file],
      ['-c', file],
    ]) {
      const { code, stderr } = await portico(...args);
      assert.equal(code, 3);
      assert.match(stderr, new RegExp(`^portico: ${file}:3: .*prt.*did you mean .*port\\?$`, 'm'));
      assert.match(stderr, new RegExp(`^portico: ${file}:5: store\\.sync .*did you mean always\\?`, 'm'));
      assert.match(stderr, new RegExp(`^portico: ${file}:6: mqttt .*did you mean mqtt\\?$`, 'm'));
      assert.match(stderr, new RegExp(`^portico: ${file}:9: limits\\.connections `, 'm'));
    }
  });

  for (const format of ['portico.yaml', 'mosquitto.conf']) {
    test(`${format}: faults of several files and sections are all told in one run, by check, --test-config and the start`, async () => {
      const place = temporaryFolder();
      const at = (name: string): string => join(place, name);
      writeFileSync(at('passwords'), 'ann:plain\nbob\n');
      writeFileSync(at('acl'), 'topc a\n');
      chmodSync(at('acl'), 0o602);
      const yaml = [
        'listeners:',
        `  - { type: mqtts, host: 127.0.0.1, port: 0, cert_file: ${at('cert')}, key_file: ${at('key')}, pth: x }`,
        'access:',
        `  password_file: ${at('passwords')}`,
        `  acl_file: ${at('acl')}`,
        'limits: { connections: many }',
      ];
      const conf = [
        'listener 0 127.0.0.1',
        `certfile ${at('cert')}`,
        `keyfile ${at('key')}`,
        'pth x',
        `password_file ${at('passwords')}`,
        `acl_file ${at('acl')}`,
        'max_connections many',
      ];
      writeFileSync(at('portico.yaml'), yaml.join('\n'));
      writeFileSync(at('mosquitto.conf'), conf.join('\n').replace('listener 0', 'listener 8883'));
      const none = 'cannot be read: there is none of that name';
      const named = (line: number, option: string, file: string, sentence: string): string =>
        `${at(format)}:${line}: ${option}: ${at(file)}: ${sentence}`;
      const isYaml = format === 'portico.yaml';
      const lines = isYaml ? [2, 2, 5] : [2, 3, 6];
      const expected = [
        named(lines[0], 'listeners.0.cert_file', 'cert', `the certificate file ${none}`),
        named(lines[1], 'listeners.0.key_file', 'key', `the key file ${none}`),
        named(
          lines[2],
          'access.acl_file',
          'acl',
          `everybody may write the ACL file; chmod o-w ${at('acl')} takes that away`,
        ),
        `${at('passwords')}:1: the password is not hashed; portico passwd -U FILE hashes it`,
        `${at('passwords')}:2: the line is not user:hash`,
      ];
      for (const args of [['check'], ['--test-config'], []]) {
        const { code, stdout, stderr } = await portico(...args, '-c', at(format), '--data', at('data'));
        assert.equal(code, 3);
        assert.equal(stdout.toString(), '');
        const [first, second, ...told] = stderr.trimEnd().split('\n');
        const [one, other] = isYaml ? [2, 6] : [4, 7];
        assert.match(first, new RegExp(`^portico: ${at(format)}:${one}: .*pth.* is not an option`));
        assert.match(second, new RegExp(`^portico: ${at(format)}:${other}: .*connections is "many"; it must be`));
        assert.deepEqual(
          told,
          expected.map((line) => `portico: ${line}`),
        );
      }
      assert.equal(existsSync(at('data')), false, 'nothing was begun');
    });
  }

  test('a file that is no YAML is refused with its line and 3', async () => {
    const file = configuration('listeners: [', '  - x: {');
    const { code, stderr } = await portico('check', '-c', file);
    assert.equal(code, 3);
    assert.match(stderr, new RegExp(`^portico: ${file}:\\d+: `));
  });

  for (const [host, types] of [
    ['0.0.0.0', ['mqtt', 'websocket', 'coap']],
    ["'::'", ['mqtt']],
    ['192.0.2.1', ['coap']],
    ['broker.example', ['websocket']],
  ] as const) {
    for (const type of types) {
      test(`${type} on ${host} without credentials is refused with 3; one explicit line allows it`, async () => {
        const lines = ['listeners:', `  - type: ${type}`, `    host: ${host}`];
        const { code, stderr } = await portico('check', '-c', configuration(...lines));
        assert.equal(code, 3);
        assert.match(stderr, /:3: .*allow_anonymous: true/);
        const allowed = await portico('check', '-c', configuration(...lines, 'allow_anonymous: true'));
        assert.equal(allowed.code, 0, allowed.stderr);
        assert.match(allowed.stderr, /warning: /);
      });
    }
  }
});

describe('the process', { timeout: 90_000 }, () => {
  const started: Portico[] = [];
  const start = async (sections?: Record<string, unknown>): Promise<Portico> => {
    const one = await Portico.start(sections);
    started.push(one);
    return one;
  };
  after(async () => {
    for (const one of started) await one.dispose();
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} disconnects clients, also those that do not read, and ends with 0`, async () => {
      const broker = await start();
      const client = await connectRaw(broker.ports.mqtt, { clientId: 'reader', protocolVersion: 5 });
      const deaf = await connectRaw(broker.ports.mqtt, { clientId: 'deaf' });
      await deaf.subscribe('flood', 0);
      deaf.stream.pause();
      const flood = Buffer.alloc(1_000_000, 'x');
      for (let i = 0; i < 10; i++)
        await publish(broker.ports.mqtt, 'mqttv311', ['-q', '1', '-t', 'flood', '-s'], flood);
      await broker.stop(signal);
      assert.equal((await client.expect('disconnect')).reasonCode, 0x8b, 'server shutting down');
      await client.closed;
      deaf.cut();
    });
  }

  test('SIGUSR1, by which Mosquitto saves, opens no debugger of Node.js and disturbs nobody', async () => {
    const broker = await start();
    const client = await connectRaw(broker.ports.mqtt, { clientId: 'saved' });
    process.kill(broker.pid, 'SIGUSR1');
    await logged(broker, ({ msg }) => msg.startsWith('SIGUSR1: there is nothing to save'));
    client.send({ cmd: 'pingreq' });
    await client.expect('pingresp');
    assert.doesNotMatch(broker.log, /Debugger listening/);
    client.cut();
  });

  test('SIGUSR2 sends all clients away and lets no other in', async () => {
    const broker = await start();
    const client = await connectRaw(broker.ports.mqtt, { clientId: 'drained', protocolVersion: 5 });
    process.kill(broker.pid, 'SIGUSR2');
    assert.equal((await client.expect('disconnect')).reasonCode, 0x9c, 'use another server');
    await client.closed;
    const late = await connectRaw(broker.ports.mqtt, { clientId: 'late', protocolVersion: 5 });
    assert.equal(late.connack.reasonCode, 0x9c);
  });

  test('SIGTERM while it starts ends with 0', async () => {
    const ports = await freePorts();
    const file = configuration(`listeners: [{ type: mqtt, port: ${ports.mqtt} }]`, `data_dir: ${folder}/early`);
    const program = await Program.start(process.execPath, [porticoMain, '-c', file]);
    await program.lines.next('the first line of the log');
    await program.end('SIGTERM');
    assert.equal(await program.exit, 0, program.stderr);
  });

  test('-p and --data override the file', async () => {
    const ports = await freePorts();
    const file = configuration('listeners: [{ type: mqtt, port: 1 }]', 'data_dir: /nowhere/to/be/made');
    const program = await Program.start(process.execPath, [
      porticoMain,
      ...['-c', file, '-p', String(ports.mqtt), '--data', join(folder, 'override')],
    ]);
    await program.lines.take((line) => line.includes('"ready"'), 'the log line "ready"');
    await publish(ports.mqtt, 'mqttv311', ['-q', '1', '-t', 'x', '-m', 'y']);
    await program.end('SIGTERM');
    assert.equal(await program.exit, 0, program.stderr);
  });

  test('health answers 0 while the broker serves, and 1 when it does not', async () => {
    const broker = await start();
    const healthy = await portico('health', '-c', broker.configFile);
    assert.equal(healthy.code, 0, healthy.stderr);
    await broker.stop();
    const unhealthy = await portico('health', '-c', broker.configFile);
    assert.equal(unhealthy.code, 1);
    assert.match(unhealthy.stderr, /^portico: unhealthy: /);
  });

  for (const type of ['mqtt', 'websocket', 'coap'] as const) {
    test(`a taken ${type} port is named, and ends with 1`, async () => {
      const taken = type === 'coap' ? createSocket('udp4').bind(0, '127.0.0.1') : createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const { port } = taken.address() as { port: number };
      const listener = `listeners: [{ type: ${type}, host: 127.0.0.1, port: ${port} }]`;
      const { code, stderr } = await portico('-c', configuration(listener, `data_dir: ${folder}/taken-${type}`));
      taken.close();
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`^portico: .*127\\.0\\.0\\.1:${port}.*\\n$`));
    });
  }

  test('a second broker on the same data directory is refused with 1 and words', async () => {
    const broker = await start();
    const ports = await freePorts();
    const listener = `listeners: [{ type: mqtt, port: ${ports.mqtt} }]`;
    const { code, stderr } = await portico('-c', configuration(listener, `data_dir: ${broker.dataDir}`));
    assert.equal(code, 1);
    assert.ok(stderr.startsWith('portico: ') && stderr.includes(broker.dataDir), stderr);
    assert.doesNotMatch(stderr, /\n {4}at /, 'no stack trace');
    await publish(broker.ports.mqtt, 'mqttv311', ['-q', '1', '-t', 'still', '-m', 'served']);
  });
});
