/**
 * The scenarios: what is sent, to whom, and by how much Portico has to be faster than the baseline in the same run.
 * The load is broker-neutral; `load/mqttload.c` and `load/coapload.c` explain the arguments that are built here.
 */

/** Duration of one run of the load generator. */
export interface Timing {
  /** Seconds of load before the measured interval. */
  readonly warmupSeconds: number;
  /** Seconds of the measured interval, at most 120. */
  readonly seconds: number;
  /** Ends a run earlier, after so many messages (MQTT) or requests (CoAP); the warm-up must then be 0. */
  readonly messages?: number;
}

interface ScenarioBase {
  /** Name on the command line and in results. */
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  /** Least ratio of Portico's rate to the baseline's; absent where the row is reported only. */
  readonly floor?: number;
  /** Names another scenario: the floor is against Portico's own rate there, and not against the baseline. */
  readonly against?: string;
}

/** Publishers and subscribers of one MQTT broker, 64-byte payloads. The rate is deliveries per second. */
export interface MqttScenario extends ScenarioBase {
  readonly protocol: 'mqtt';
  readonly qos: 0 | 1 | 2;
  readonly publishers: number;
  readonly subscribers: number;
  /** `pair`: publisher i to subscriber i; `fanout`: to every subscriber; `fanin`: all to one wildcard. */
  readonly pattern: 'pair' | 'fanout' | 'fanin';
  /** Messages sent and not yet delivered to all their receivers, over all publishers. */
  readonly window: number;
  /** Unacknowledged messages for each publisher at QoS 1 and 2. */
  readonly inflight: number;
  /** Subscribers have persistent sessions and the broker keeps its state on disk. */
  readonly persistent: boolean;
  /** MQTT 5.0 with properties on every message and subscription, and not 3.1.1. */
  readonly properties: boolean;
}

/**
 * Devices with one Confirmable request outstanding each, as NSTART 1 asks (RFC 7252 4.7); 64-byte payloads. Enough of them
 * that the rate is bounded by work, and not by the wait of each for a commit. The rate is responses per second.
 */
export interface CoapScenario extends ScenarioBase {
  readonly protocol: 'coap';
  readonly method: 'get' | 'put';
}

export type Scenario = MqttScenario | CoapScenario;

type MqttShape = Pick<MqttScenario, 'name' | 'title' | 'qos' | 'publishers' | 'subscribers' | 'pattern'>;

// The window is Mosquitto's default max_queued_messages, so no peer needs another limit than its default.
function mqtt(shape: MqttShape & Partial<MqttScenario>): MqttScenario {
  return { protocol: 'mqtt', window: 1000, inflight: 100, persistent: false, properties: false, ...shape };
}

const tenToTen = { publishers: 10, subscribers: 10, pattern: 'pair' } as const;
const oneTo100 = { publishers: 1, subscribers: 100, pattern: 'fanout' } as const;

/** The same with properties, right behind the scenario that it is measured against: what slows the machine slows both. */
function withProperties(qos: 0 | 1 | 2, shape: Partial<MqttScenario> = {}): MqttScenario {
  return mqtt({
    name: `qos${qos}-10to10-v5`,
    title: `QoS ${qos}, 10 publishers to 10 subscribers, MQTT 5.0 with properties`,
    qos,
    ...tenToTen,
    ...shape,
    properties: true,
    floor: 0.8,
    against: `qos${qos}-10to10`,
  });
}

/** In the order of the report. */
export const scenarios: readonly Scenario[] = [
  mqtt({ name: 'qos0-10to10', title: 'QoS 0, 10 publishers to 10 subscribers', qos: 0, ...tenToTen, floor: 5 }),
  withProperties(0),
  mqtt({ name: 'qos1-10to10', title: 'QoS 1, 10 publishers to 10 subscribers', qos: 1, ...tenToTen, floor: 5 }),
  withProperties(1),
  mqtt({
    name: 'qos1-persistent',
    title: 'QoS 1, 10 to 10 persistent sessions, stored before PUBACK',
    qos: 1,
    ...tenToTen,
    persistent: true,
    floor: 2,
  }),
  // With 100 in flight, Mosquitto 2.0.11 (max_inflight_messages: 20) leaves acknowledged messages undelivered.
  mqtt({ name: 'qos2-10to10', title: 'QoS 2, 10 publishers to 10 subscribers', qos: 2, ...tenToTen, inflight: 20 }),
  withProperties(2, { inflight: 20 }),
  mqtt({ name: 'qos0-1to100', title: 'QoS 0, 1 publisher to 100 subscribers', qos: 0, ...oneTo100, floor: 5 }),
  mqtt({ name: 'qos1-1to100', title: 'QoS 1, 1 publisher to 100 subscribers', qos: 1, ...oneTo100, floor: 5 }),
  mqtt({
    name: 'qos0-100to1',
    title: 'QoS 0, 100 publishers to 1 wildcard subscriber',
    qos: 0,
    publishers: 100,
    subscribers: 1,
    pattern: 'fanin',
    floor: 3,
  }),
  mqtt({
    name: 'qos0-500to500',
    title: 'QoS 0, 500 publishers to 500 subscribers',
    qos: 0,
    publishers: 500,
    subscribers: 500,
    pattern: 'pair',
  }),
  { protocol: 'coap', name: 'coap-put', title: 'CoAP PUT to /ps/bench/x', method: 'put', floor: 0.9 },
  { protocol: 'coap', name: 'coap-get', title: 'CoAP GET of /ps/bench/x', method: 'get', floor: 0.9 },
];

function timingArguments(timing: Timing): string[] {
  const args = ['-u', String(timing.warmupSeconds), '-d', String(timing.seconds)];
  return timing.messages === undefined ? args : [...args, '-n', String(timing.messages)];
}

/** Arguments of `mqttload`, without address. */
export function mqttLoadArguments(scenario: MqttScenario, timing: Timing): string[] {
  const { pattern, publishers, subscribers, qos, window, inflight, persistent, properties } = scenario;
  const shape = { '-m': pattern, '-P': publishers, '-S': subscribers, '-q': qos, '-W': window, '-w': inflight };
  const args = Object.entries(shape).flatMap(([flag, value]) => [flag, String(value)]);
  // Ten seconds more for connecting and for draining what is owed.
  const limit = Math.ceil(timing.warmupSeconds + timing.seconds + 10);
  return [
    ...args,
    ...(persistent ? ['-k'] : []),
    ...(properties ? ['-x'] : []),
    '-T',
    String(limit),
    ...timingArguments(timing),
  ];
}

/** As many as fit into the receive buffer that Linux grants by default. */
const DEVICES = '192';

/** Arguments of `coapload`, without address. */
export function coapLoadArguments(scenario: CoapScenario, timing: Timing): string[] {
  return ['-m', scenario.method, '-r', 'ps/bench/x', '-K', DEVICES, '-W', DEVICES, ...timingArguments(timing)];
}

/** Arguments of `coapload` for the one PUT that gives a GET something to read. */
export const coapPrimingArguments: readonly string[] = ['-m', 'put', '-r', 'ps/bench/x', '-n', '1'];
