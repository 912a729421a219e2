/** mosquitto_pub and mosquitto_sub. */
import assert from 'node:assert/strict';
import { type Finished, Program, run } from './programs.js';

/** Values of `-V`. */
export const MQTT_VERSIONS = ['mqttv31', 'mqttv311', 'mqttv5'] as const;
export type MqttVersion = (typeof MQTT_VERSIONS)[number];

/** A message as mosquitto_sub shows it. */
export interface Shown {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

function connection(port: number, version: MqttVersion): string[] {
  return ['-h', '127.0.0.1', '-p', String(port), '-V', version];
}

/** Runs mosquitto_pub; returns how it ended. */
export function tryPublish(
  port: number,
  version: MqttVersion,
  args: readonly string[],
  input?: Buffer,
): Promise<Finished> {
  return run('mosquitto_pub', [...connection(port, version), ...args], input);
}

/** Runs mosquitto_pub, which must succeed: with QoS 1 and 2 the broker has acknowledged. */
export async function publish(
  port: number,
  version: MqttVersion,
  args: readonly string[],
  input?: Buffer,
): Promise<void> {
  const { code, stderr } = await tryPublish(port, version, args, input);
  assert.equal(code, 0, `mosquitto_pub ${args.join(' ')}: ${stderr}`);
}

/** A running mosquitto_sub. */
export class Subscriber {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Starts mosquitto_sub and waits for the acknowledgement of its subscriptions. */
  static async start(port: number, version: MqttVersion, args: readonly string[]): Promise<Subscriber> {
    // -d shows protocol steps; -F has no form that a payload with line breaks could not break, so tests avoid those.
    const shown = ['-d', '-F', 'MESSAGE {"topic":"%t","qos":%q,"retain":%r,"payload":"%p"}'];
    const program = await Program.start('mosquitto_sub', [...connection(port, version), ...shown, ...args]);
    await program.lines.take((line) => line.startsWith('Subscribed (mid:'), 'SUBACK');
    return new Subscriber(program);
  }

  /** The next message. */
  async next(): Promise<Shown> {
    const line = await this.#program.lines.take((text) => text.startsWith('MESSAGE '), 'a message');
    const { retain, ...shown } = JSON.parse(line.slice('MESSAGE '.length)) as Omit<Shown, 'retain'> & {
      retain: number;
    };
    return { ...shown, retain: retain === 1 };
  }

  /** The next `count` payloads. */
  async payloads(count: number): Promise<string[]> {
    const payloads: string[] = [];
    while (payloads.length < count) payloads.push((await this.next()).payload);
    return payloads;
  }

  /** Waits for a protocol step that `-d` shows, such as `sending DISCONNECT`. */
  step(text: string): Promise<string> {
    return this.#program.lines.take((line) => line.includes(text), text);
  }

  /** The exit code once it has ended by itself. */
  get exit(): Promise<number | null> {
    return this.#program.exit;
  }

  end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    return this.#program.end(signal);
  }
}
