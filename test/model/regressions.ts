/** Runs that failed once, shortened, by what they showed. */
import type { Command, CommandOf, Run } from './commands.js';
import { NEVER } from './terms.js';
import type { ClientName, Setting } from './world.js';

const SETTING: Setting = { delays: 0, maxInflight: 512, queueMemory: 256 * 1024 };

function connect(who: ClientName, more: Partial<CommandOf<'connect'>> = {}): Command {
  return { do: 'connect', who, version: 5, clean: false, expiry: NEVER, receiveMaximum: 65535, will: null, ...more };
}

type Filter = CommandOf<'subscribe'>['filters'][number];

function subscribe(who: ClientName, filter: string, more: Partial<Filter> = {}): Command {
  return { do: 'subscribe', who, filters: [{ filter, qos: 2, nl: false, rap: false, rh: 0, ...more }], identifier: 0 };
}

function publish(who: ClientName, topic: string, more: Partial<CommandOf<'publish'>> = {}): Command {
  return { do: 'publish', who, topic, qos: 1, retain: false, empty: false, count: 1, after: 'settle', ...more };
}

export const REGRESSIONS: Readonly<Record<string, Run>> = {
  'a session whose Session Expiry Interval became 0 does not outlast the death of the broker [MQTT-3.1.2-23]': {
    setting: SETTING,
    commands: [connect('b'), connect('b', { expiry: 0 }), { do: 'restart', how: 'crash' }, connect('b')],
  },
  'retained messages that wait for Receive Maximum outlast the connection [MQTT-3.3.1-9]': {
    setting: SETTING,
    commands: [
      connect('a'),
      publish('a', 'a', { retain: true }),
      publish('a', 'a/b', { retain: true }),
      connect('b', { receiveMaximum: 1 }),
      subscribe('b', 'a/#'),
      { do: 'disconnect', who: 'b', how: 'normal' },
      connect('b', { receiveMaximum: 1 }),
    ],
  },
  'they outlast a stop of the broker too': {
    setting: SETTING,
    commands: [
      connect('a'),
      publish('a', 'a', { retain: true }),
      publish('a', 'a/b', { retain: true }),
      connect('b', { receiveMaximum: 1 }),
      subscribe('b', 'a/#'),
      { do: 'restart', how: 'stop' },
    ],
  },
  'PUBREL does not wait for Receive Maximum [MQTT-3.3.4-10]': {
    setting: SETTING,
    commands: [
      connect('b'),
      connect('c'),
      subscribe('b', '#'),
      publish('c', 'a', { qos: 2, count: 3 }),
      { do: 'acknowledge', who: 'b', count: 2, refuse: false },
      connect('b', { receiveMaximum: 1 }),
    ],
  },
  'a will waits for its delay in a session whose interval DISCONNECT has made longer (3.1.3.2.2)': {
    setting: SETTING,
    commands: [
      connect('a'),
      subscribe('a', 'w/+'),
      connect('b', { expiry: 20, will: { qos: 1, retain: false, delay: 40 } }),
      { do: 'disconnect', who: 'b', how: 'with will', expiry: 60 },
      { do: 'pass', seconds: 30 },
      { do: 'pass', seconds: 12 },
    ],
  },
  'a shared subscription does not hand a will to the session that ends with it (4.8.2)': {
    setting: SETTING,
    commands: [
      connect('d'),
      connect('e', { version: 4 }),
      subscribe('e', '$share/g/w/+', { qos: 2 }),
      subscribe('d', '$share/g/w/+', { qos: 1 }),
      { do: 'restart', how: 'stop' },
      connect('d', { expiry: 0, will: { qos: 2, retain: false, delay: 0 } }),
      { do: 'disconnect', who: 'd', how: 'cut' },
    ],
  },
  'a Session Expiry Interval in DISCONNECT after 0 in CONNECT is refused, also if there was one before [MQTT-3.14.2-2]':
    {
      setting: SETTING,
      commands: [
        connect('b'),
        connect('b', { expiry: 0 }),
        { do: 'disconnect', who: 'b', how: 'normal', expiry: 60 },
        connect('b'),
      ],
    },
  'a message whose PUBREC has come is not sent again, also behind numbers that a crash skipped [MQTT-4.3.3-6]': {
    setting: SETTING,
    commands: [
      connect('c', { will: { qos: 2, retain: false, delay: 0 } }),
      subscribe('c', '#'),
      publish('c', 'a', { qos: 2 }),
      { do: 'restart', how: 'crash' },
      connect('c'),
      { do: 'acknowledge', who: 'c', count: 4, refuse: false },
      { do: 'restart', how: 'stop' },
    ],
  },
};
