/** The benchmark measures what it says: one tiny scenario end to end, generators that notice loss, floors that fail. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PeerName } from '../../bench/brokers.js';
import { checkoutRoot, compileGenerator, type Generator, runLoad } from '../../bench/load.js';
import { twoCores } from '../../bench/processes.js';
import { exitCode, median, type RunResult, summarize } from '../../bench/report.js';
import { groups } from '../../bench/scale/group.js';
import { type ScaleResult, scaleExitCode, verdictOf } from '../../bench/scale/report.js';
import { combined } from '../../bench/scale/rounds.js';
import { scenarios } from '../../bench/scenarios.js';

const runner = fileURLToPath(new URL('../../bench/run.js', import.meta.url));

function generator(name: Generator): string {
  const root = checkoutRoot();
  return compileGenerator(name, root, join(root, '.build', 'bench'));
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [runner, ...args], { timeout: 60_000 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

interface ResultFile {
  readonly results: readonly {
    readonly scenario: string;
    readonly verdict: string;
    readonly peers: Readonly<Record<string, { readonly runs: readonly RunResult[]; readonly failures: unknown[] }>>;
  }[];
}

test('tiny MQTT and CoAP scenarios run against Portico, and the figures are in the table and the JSON', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portico-bench-'));
  try {
    const json = join(folder, 'result.json');
    const names = ['qos1-10to10', 'coap-get'];
    const args = ['--peers', 'portico', '--rounds', '1', '--messages', '2000', '--json', json];
    const { code, stdout, stderr } = await bench(...args, ...names);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    const { results } = JSON.parse(readFileSync(json, 'utf8')) as ResultFile;
    assert.deepEqual(
      results.map(({ scenario }) => scenario),
      names,
    );
    for (const { scenario, verdict, peers } of results) {
      assert.equal(verdict, 'UNCHECKED', 'a floor without a baseline is not a pass');
      assert.match(stdout, new RegExp(`^${scenario} +portico +[\\d,]+`, 'm'));
      const { runs, failures } = peers.portico!;
      assert.deepEqual(failures, []);
      assert.equal(runs.length, 1);
      for (const [figure, value] of Object.entries(runs[0]!)) {
        // Processor time comes in ticks of 10 ms, so a tiny run may show none.
        const least = /Cpu$|Idle$/.test(figure) ? 0 : Number.MIN_VALUE;
        assert.ok(Number.isFinite(value) && value >= least, `${figure} is ${value}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('arguments that mean nothing end the benchmark with exit code 2 and a sentence', async () => {
  const { code, stdout, stderr } = await bench('--rounds', 'many');
  assert.equal(code, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^bench: --rounds takes 1 to 25/);
});

// Answers CONNECT and SUBSCRIBE and acknowledges QoS 1; `deliver` does what it likes with the packet and the subscribers.
function brokerThat(deliver: (packet: Buffer, subscribers: readonly Socket[]) => void) {
  const subscribers: Socket[] = [];
  return createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at + 1 < chunk.length; at += 2 + chunk[at + 1]!) {
        const type = chunk[at]! >> 4;
        if (type === 1) socket.write(Uint8Array.of(0x20, 2, 0, 0));
        if (type === 8) {
          subscribers.push(socket);
          socket.write(Uint8Array.of(0x90, 3, chunk[at + 2]!, chunk[at + 3]!, 1));
        }
        if (type === 3) {
          const id = at + 4 + chunk.readUInt16BE(at + 2);
          socket.write(Uint8Array.of(0x40, 2, chunk[id]!, chunk[id + 1]!));
          deliver(chunk.subarray(at, at + 2 + chunk[at + 1]!), subscribers);
        }
      }
    });
  });
}

async function loadAgainst(broker: Server, args: readonly string[]): Promise<void> {
  broker.listen(0, '127.0.0.1');
  await once(broker, 'listening');
  try {
    const port = String((broker.address() as AddressInfo).port);
    await runLoad(twoCores().load, generator('mqttload'), ['-p', port, '-q', '1', '-l', '8', '-T', '1', ...args]);
  } finally {
    broker.close();
    await once(broker, 'close');
  }
}

test('mqttload fails when a broker acknowledges messages and does not deliver them', async () => {
  await assert.rejects(
    loadAgainst(
      brokerThat(() => {}),
      ['-n', '3'],
    ),
    /time limit: sent 3, acknowledged 3, received 0 of 3/,
  );
});

test('mqttload fails when one subscriber has the deliveries of another, though the total is right', async () => {
  const fanout = ['-m', 'fanout', '-S', '2', '-n', '3'];
  const fair = brokerThat((packet, subscribers) => {
    for (const subscriber of subscribers) subscriber.write(packet);
  });
  await loadAgainst(fair, fanout);
  const unfair = brokerThat((packet, [first]) => first!.write(Buffer.concat([packet, packet])));
  await assert.rejects(loadAgainst(unfair, fanout), /received 6 of 6, 0 marked.*2 subscribers with a wrong number/);
});

test('coapload fails on a response code that the method does not call for', async () => {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('message', (request, { port, address }) => {
    const notFound = Uint8Array.from(request.subarray(0, 4 + (request[0]! & 15)));
    notFound[0]! |= 0x20; // Acknowledgement
    notFound[1] = 0x84;
    server.send(notFound, port, address);
  });
  try {
    const args = ['-p', String(server.address().port), '-m', 'get', '-n', '10'];
    await assert.rejects(runLoad(twoCores().load, generator('coapload'), args), /response code 4\.04/);
  } finally {
    server.close();
  }
});

/** A CoAP server that acknowledges every request with a response made by `respond`, from its method and options on. */
async function coapServerThat(
  respond: (method: number, options: Buffer) => { readonly code: number; readonly rest: Buffer },
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('message', (request, { port, address }) => {
    const options = 4 + (request[0]! & 15);
    const { code, rest } = respond(request[1]!, request.subarray(options));
    const head = Buffer.from(request.subarray(0, options));
    head[0]! |= 0x20; // Acknowledgement
    head[1] = code;
    server.send(Buffer.concat([head, rest]), port, address);
  });
  try {
    await use(server.address().port);
  } finally {
    server.close();
  }
}

test('observeload fails when an observer does not get the last state, and when the server lets nobody observe', async () => {
  let state = Buffer.alloc(0);
  const observe = Buffer.from([0x61, 7]);
  const silent = (isObservable: boolean) => (method: number, options: Buffer) => {
    if (method === 3) {
      state = Buffer.from(options.subarray(options.indexOf(0xff)));
      return { code: 0x44, rest: Buffer.alloc(0) };
    }
    return { code: 0x45, rest: isObservable ? Buffer.concat([observe, state]) : state };
  };
  const load = (port: number) =>
    runLoad(twoCores().load, generator('observeload'), ['-p', String(port), '-O', '2', '-n', '1', '-t', '0.2']);
  await coapServerThat(silent(true), (port) =>
    assert.rejects(load(port), /the last state has not come to all observers/),
  );
  await coapServerThat(silent(false), (port) => assert.rejects(load(port), /no Observe in its response/));
});

test('blockload fails on an answer to a block that is not the one it should be', async () => {
  await coapServerThat(
    () => ({ code: 0x44, rest: Buffer.alloc(0) }),
    (port) =>
      assert.rejects(
        runLoad(twoCores().load, generator('blockload'), ['-p', String(port), '-K', '1']),
        /PUT of block 0: 2\.04/,
      ),
  );
});

function figures(perSecond: number): RunResult {
  return {
    perSecond,
    p50Ms: 1,
    p99Ms: 2,
    brokerCpu: 1,
    loadCpu: 0.5,
    brokerIdle: 0,
    loadIdle: 0.5,
    otherCpu: 0,
    rssMiB: 50,
    peakRssMiB: 60,
  };
}

function runsOf(peer: PeerName, ...rates: number[]) {
  return { peer, runs: rates.map(figures), failures: [] as string[] };
}

test('a floor is judged by the median of the ratios of the rounds, and --check turns anything but PASS into exit code 1', () => {
  const scenario = scenarios.find(({ name }) => name === 'qos0-10to10')!;
  assert.equal(scenario.floor, 5);
  const verdict = (...ours: number[]) =>
    summarize(scenario, [runsOf('portico', ...ours), runsOf('mosquitto', ...ours.map(() => 100))]);
  assert.equal(verdict(500).verdict, 'PASS');
  assert.equal(verdict(499).verdict, 'FAIL');
  assert.equal(verdict(1, 600, 9000).verdict, 'PASS');
  assert.equal(verdict(1, 2, 9000).verdict, 'FAIL');
  assert.equal(exitCode([verdict(500)], true), 0);
  assert.equal(exitCode([verdict(500), verdict(499)], true), 1);
  assert.equal(exitCode([verdict(499)], false), 0);

  const slowedTogether = [runsOf('portico', 500, 1000, 50), runsOf('mosquitto', 100, 200, 10)];
  assert.equal(summarize(scenario, slowedTogether).ratio, 5);

  const alone = summarize(scenario, [runsOf('portico', 500)]);
  assert.equal(alone.verdict, 'UNCHECKED');
  assert.equal(exitCode([alone], true), 1);

  const squeezed = { ...runsOf('mosquitto'), runs: [{ ...figures(100), otherCpu: 0.5 }] };
  const disturbed = summarize(scenario, [runsOf('portico', 900), squeezed]);
  assert.equal(disturbed.verdict, 'DISTURBED', 'a ratio of nine means nothing when other work had half a core');
  assert.equal(exitCode([disturbed], true), 1);

  const failing = summarize(scenario, [
    { ...runsOf('portico', 900), failures: ['lost 1 of 2'] },
    runsOf('mosquitto', 100),
  ]);
  assert.equal(failing.verdict, 'ERROR');
  assert.equal(exitCode([failing], false), 1);

  const reported = scenarios.find(({ floor }) => floor === undefined)!;
  assert.equal(summarize(reported, [runsOf('portico', 1), runsOf('mosquitto', 100)]).verdict, '-');
});

test('the median of an even number of rounds is the mean of the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([9, 1, 2]), 2);
});

for (const [group, name] of [
  ['scale', 'retained-1m'],
  ['isolation', 'flood-large'],
  ['coap', 'observers-10k'],
]) {
  test(`a small scenario of ${group} runs, and the figures are in the table and the JSON`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portico-bench-'));
    try {
      const json = join(folder, 'result.json');
      const size = ['--factor', '0.001', '--seconds', '1'];
      const { code, stdout, stderr } = await bench(
        '--group',
        group!,
        '--peers',
        'portico',
        ...size,
        '--json',
        json,
        name!,
      );
      assert.equal(code, 0, `${stdout}\n${stderr}`);
      const { results } = JSON.parse(readFileSync(json, 'utf8')) as {
        results: { scenario: string; peer: string; figures: { name: string; value: number }[] }[];
      };
      assert.deepEqual(
        results.map(({ scenario, peer }) => [scenario, peer]),
        [[name, 'portico']],
      );
      for (const { figures } of results) {
        assert.ok(figures.length > 0);
        for (const { name, value } of figures) {
          assert.ok(Number.isFinite(value), `${name} is ${value}`);
          assert.ok(stdout.includes(name), name);
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('a limit of scale is judged for Portico alone, and a time that others disturbed is no figure', () => {
  const [scenario] = groups.scale;
  const result = { scenario, peer: 'portico' as PeerName, figures: [], others: 0 };
  const time = { name: 'start', value: 9, unit: 's', limit: { most: 10 } } as const;
  const memory = { name: 'overhead', value: 700, unit: 'bytes', limit: { most: 600 } } as const;
  const ratio = { name: 'many over few', value: 0.7, unit: 'ratio', limit: { least: 0.8 } } as const;
  assert.deepEqual(
    [time, memory, ratio].map((figure) => verdictOf(result, figure)),
    ['PASS', 'FAIL', 'FAIL'],
  );
  const disturbed = { ...result, others: 0.5 };
  assert.deepEqual(
    [time, memory].map((figure) => verdictOf(disturbed, figure)),
    ['DISTURBED', 'FAIL'],
  );
  assert.equal(verdictOf({ ...result, peer: 'mosquitto' }, memory), '-');
  assert.equal(scaleExitCode([{ ...result, figures: [time] }], true), 0);
  assert.equal(scaleExitCode([{ ...result, figures: [ratio] }], true), 1);
  assert.equal(scaleExitCode([{ ...result, figures: [ratio] }], false), 0);
  assert.equal(scaleExitCode([{ ...disturbed, figures: [time] }], true), 1);
  assert.equal(scaleExitCode([{ ...result, failure: 'it broke' }], false), 1);
});

test('a figure against another peer is judged by the median of the ratios of the rounds', () => {
  const scenario = groups.coap.find(({ name }) => name === 'observe-con')!;
  assert.equal(scenario.against?.least, 1);
  const run = (peer: PeerName, rate: number, others = 0): ScaleResult => {
    return { scenario, peer, figures: [{ name: 'notifications', value: rate, unit: 'per second' }], others };
  };
  const verdict = (...runs: ScaleResult[][]) => {
    const [ours] = combined(scenario, runs);
    return verdictOf(ours!, ours!.figures.at(-1)!);
  };
  const ours = [run('portico', 150), run('portico', 40), run('portico', 320)];
  const theirs = [run('libcoap', 100), run('libcoap', 20), run('libcoap', 400)];
  assert.equal(verdict(ours, theirs), 'PASS');
  assert.equal(combined(scenario, [ours, theirs])[0]!.figures[0]!.value, 150);
  assert.equal(verdict([run('portico', 99)], [run('libcoap', 100)]), 'FAIL');
  assert.equal(verdict([run('portico', 100)], [run('libcoap', 100, 0.5)]), 'DISTURBED');
  assert.equal(verdict([run('portico', 150)]), 'UNCHECKED');
  const failed = { ...run('libcoap', 0), figures: [], failure: 'it broke' };
  assert.equal(verdict([run('portico', 150)], [failed]), 'UNCHECKED');
  assert.equal(scaleExitCode(combined(scenario, [[run('portico', 150)]]), true), 1);
  assert.equal(scaleExitCode(combined(scenario, [[run('portico', 150)]]), false), 0);
});
