/** Programs of other projects as clients: mosquitto_pub, mosquitto_sub, libcoap's coap-client, paho-mqtt. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { environment } from '../processes.js';
import { type Actors, Routine, type Stage } from './stage.js';

/** The interpreter for which Debian installs python3-paho-mqtt. */
const PYTHON = '/usr/bin/python3';
const COAP_CLIENTS = ['coap-client-openssl', 'coap-client-notls', 'coap-client'];
const MOSQUITTO_MS = 2000;
const COAP_MS = 4000;
const LOAD_MS = 10_000;
const TOPICS = 20;
const LINES = 20;
const SESSIONS = 5;
/** Seconds that a subscriber stays at most. */
const STAY = 5;
/** A program that takes longer is killed, and that is trouble. */
const LONGEST_MS = 60_000;
/** Messages of one burst of mqttload. */
const BURST = 10_000;

function isInstalled(command: string, args: readonly string[] = []): boolean {
  return spawnSync(command, args, { env: environment, timeout: 10_000 }).error === undefined;
}

export class Programs implements Actors {
  readonly #stage: Stage;
  readonly #core: number;
  readonly #mqttload: string;
  readonly #script: string;
  readonly #coapClient = COAP_CLIENTS.find((name) => isInstalled(name));
  readonly #hasMosquitto = isInstalled('mosquitto_pub', ['--help']);
  readonly #hasPaho = spawnSync(PYTHON, ['-c', 'import paho.mqtt.client']).status === 0;
  #routines: Routine[] = [];
  #paho: { readonly child: ChildProcess; readonly output: Promise<string> } | null = null;

  /** @param mqttload the load generator  @param root folder of the checkout */
  constructor(stage: Stage, core: number, mqttload: string, root: string) {
    this.#stage = stage;
    this.#core = core;
    this.#mqttload = mqttload;
    this.#script = join(root, 'bench', 'soak', 'paho_soak.py');
  }

  /** What takes part, for the report; what is not installed is left out. */
  get names(): string[] {
    return [
      'mqttload',
      ...(this.#hasMosquitto ? ['mosquitto_pub', 'mosquitto_sub'] : []),
      ...(this.#coapClient === undefined ? [] : [this.#coapClient]),
      ...(this.#hasPaho ? ['paho-mqtt'] : []),
    ];
  }

  async start(): Promise<void> {
    const failed = (error: Error): void => this.#stage.trouble(`program: ${error.message}`);
    this.#routines = [new Routine(LOAD_MS, () => this.#burst(), failed)];
    if (this.#hasMosquitto) this.#routines.push(new Routine(MOSQUITTO_MS, () => this.#mosquitto(), failed));
    if (this.#coapClient !== undefined) this.#routines.push(new Routine(COAP_MS, () => this.#coap(), failed));
    if (this.#hasPaho) this.#startPaho();
  }

  async stop(): Promise<void> {
    const paho = this.#paho;
    this.#paho = null;
    paho?.child.stdin?.end();
    await Promise.all(this.#routines.map((one) => one.stop()));
    if (paho === null) return;
    const words = await paho.output;
    let totals: Record<string, number> = {};
    try {
      totals = JSON.parse(words) as Record<string, number>;
    } catch {
      this.#stage.trouble(`paho-mqtt: ${words}`);
    }
    for (const [name, count] of Object.entries(totals)) this.#stage.done.add(`paho-mqtt: ${name}`, count);
    const { lost = 0, doubled = 0, disordered = 0, sent = 0, acknowledged = 0 } = totals;
    if (lost + doubled + disordered > 0 || acknowledged < sent) this.#stage.trouble(`paho-mqtt: ${words}`);
  }

  /** Ends the sessions of mosquitto_sub and paho-mqtt. */
  async leave(): Promise<void> {
    const { target } = this.#stage;
    const port = String(target.mqtt);
    if (this.#hasMosquitto) {
      for (let i = 0; i < TOPICS; i++) await this.#run('mosquitto_pub', ['-p', port, '-t', topicOf(i), '-r', '-n']);
    }
    const kept = Array.from({ length: 4 }, (_, i) => [`paho-publisher-${i}`, `paho-subscriber-${i}`]).flat();
    for (const id of this.#hasPaho && this.#hasMosquitto ? kept : []) {
      await this.#run('mosquitto_pub', ['-p', port, '-t', 'soak/end', '-n', '-i', id]);
    }
  }

  /** Runs a program to its end. */
  async #run(
    command: string,
    args: readonly string[],
    input?: string,
    expected: readonly number[] = [0],
  ): Promise<void> {
    const child = spawn('taskset', ['-c', String(this.#core), command, ...args], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: environment,
    });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-500);
    });
    child.stdin.on('error', () => {}); // it may end before it has read all
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_MS);
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    clearTimeout(timer);
    this.#stage.done.add(`runs of ${command.split('/').at(-1)}`);
    if (code === null || !expected.includes(code)) {
      this.#stage.trouble(`${command} ${args.join(' ')} ended with ${signal ?? code}: ${words.trim()}`);
    }
  }

  async #mosquitto(): Promise<void> {
    const { random, target } = this.#stage;
    const port = String(target.mqtt);
    const version = random.of(['mqttv31', 'mqttv311', 'mqttv5']);
    const topic = topicOf(random.below(TOPICS));
    const qos = String(random.below(3));
    const session = random.one(2) ? ['-c', '-i', `mosquitto-${random.below(SESSIONS)}-${version}`] : [];
    const expiry = session.length > 0 && version === 'mqttv5' ? ['-x', String(target.expiry)] : [];
    const every = ['-p', port, '-V', version, '-q', qos];
    // 27: nothing came for so long. 0 also when another run took the session over.
    const subscriber = ['-t', 'soak/mosquitto/#', '-C', String(LINES), '-W', String(STAY)];
    const lines = Array.from({ length: LINES }, (_, i) => `line ${i}\n`).join('');
    await Promise.all([
      this.#run('mosquitto_sub', [...every, ...session, ...expiry, ...subscriber], undefined, [0, 27]),
      this.#run('mosquitto_pub', [...every, '-t', topic, '-l', ...(random.one(3) ? ['-r'] : [])], lines),
    ]);
  }

  async #coap(): Promise<void> {
    const { random, target } = this.#stage;
    const command = this.#coapClient!;
    const uri = `coap://127.0.0.1:${target.coap}/ps/soak/device/${random.below(50)}`;
    const kind = random.below(3);
    if (kind === 0) await this.#run(command, ['-m', 'put', '-e', 'x'.repeat(random.below(200)), uri]);
    else if (kind === 1) await this.#run(command, ['-m', 'get', uri]);
    else await this.#run(command, ['-m', 'get', '-s', '2', uri]);
  }

  /** Ten publishers and ten subscribers, as fast as they can, for a moment. */
  async #burst(): Promise<void> {
    const { random, target } = this.#stage;
    const qos = String(random.below(3));
    const version = random.one(2) ? ['-x'] : [];
    const pairs = [
      '-p',
      String(target.mqtt),
      '-m',
      'pair',
      '-P',
      '10',
      '-S',
      '10',
      '-w',
      '20',
      '-W',
      '500',
      '-d',
      '60',
    ];
    const kept = random.one(2);
    const burst = [...pairs, '-q', qos, '-n', String(BURST), ...version, ...(kept ? ['-k'] : [])];
    await this.#run(this.#mqttload, burst);
    this.#stage.done.add('messages of mqttload', BURST);
    // The same clients with clean sessions end the kept ones.
    if (kept) await this.#run(this.#mqttload, [...pairs, '-n', '10']);
  }

  #startPaho(): void {
    const child = spawn(
      'taskset',
      ['-c', String(this.#core), PYTHON, '-B', this.#script, String(this.#stage.target.mqtt)],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    const output = collect(child);
    this.#paho = { child, output };
  }
}

function topicOf(number: number): string {
  return `soak/mosquitto/${number}`;
}

/** What a program has written once it has ended. */
async function collect(child: ChildProcess): Promise<string> {
  let words = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-2000);
    });
  }
  await once(child, 'close');
  return words.trim();
}
