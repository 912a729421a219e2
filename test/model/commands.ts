/** What may happen in a run, as data: a failing run can be read, shortened and kept. */
import { inFull } from './clients.js';
import { isShared } from './filters.js';
import type { ConnectOptions, Qos, Subscription, Will } from './terms.js';
import type { ClientName, Setting, World } from './world.js';

export type Command =
  | {
      readonly do: 'connect';
      readonly who: ClientName;
      readonly version: 4 | 5;
      readonly clean: boolean;
      readonly expiry: number;
      readonly receiveMaximum: number;
      readonly will: {
        readonly qos: Qos;
        readonly retain: boolean;
        readonly delay: number;
        readonly expiry?: number;
      } | null;
    }
  | {
      readonly do: 'subscribe';
      readonly who: ClientName;
      readonly filters: readonly {
        readonly filter: string;
        readonly qos: Qos;
        readonly nl: boolean;
        readonly rap: boolean;
        readonly rh: 0 | 1 | 2;
      }[];
      /** 0 for none. */
      readonly identifier: number;
    }
  | { readonly do: 'unsubscribe'; readonly who: ClientName; readonly filters: readonly string[] }
  | {
      readonly do: 'publish';
      readonly who: ClientName;
      readonly topic: string;
      readonly qos: Qos;
      readonly retain: boolean;
      readonly empty: boolean;
      readonly expiry?: number;
      /** Messages in a row. */
      readonly count: number;
      /** `settle`: waits for the end of it; `hurry`: goes on at once; `lose`: the connection is cut behind it. */
      readonly after: 'settle' | 'hurry' | 'lose';
    }
  | { readonly do: 'acknowledge'; readonly who: ClientName; readonly count: number; readonly refuse: boolean }
  | {
      readonly do: 'disconnect';
      readonly who: ClientName;
      readonly how: 'normal' | 'with will' | 'cut';
      /** Session Expiry Interval of DISCONNECT. */
      readonly expiry?: number;
    }
  | { readonly do: 'pass'; readonly seconds: number }
  | { readonly do: 'restart'; readonly how: 'stop' | 'crash' };

export type CommandOf<Kind extends Command['do']> = Extract<Command, { do: Kind }>;

/** Does one command; one that means nothing now is passed over. */
async function perform(world: World, command: Command): Promise<void> {
  const hurried = command.do === 'acknowledge' || (command.do === 'publish' && !command.retain);
  if (!hurried) await world.settle();
  world.note(`* ${JSON.stringify(command)}`);
  switch (command.do) {
    case 'connect':
      await connect(world, command);
      break;
    case 'subscribe':
      subscribe(world, command);
      break;
    case 'unsubscribe':
      if (world.clients[command.who].connected) world.clients[command.who].unsubscribe(command.filters);
      break;
    case 'publish':
      await publish(world, command);
      if (command.after === 'hurry') return;
      break;
    case 'acknowledge':
      world.clients[command.who].acknowledge(command.count, command.refuse);
      return;
    case 'disconnect':
      await disconnect(world, command);
      break;
    case 'pass':
      await world.pass(command.seconds);
      break;
    case 'restart':
      if (command.how === 'crash') await world.crash();
      else await world.restart();
      break;
  }
  await world.settle();
}

async function connect(world: World, command: CommandOf<'connect'>): Promise<void> {
  const { who, version, clean, expiry, receiveMaximum } = command;
  const will: Will | null = command.will && { topic: `w/${who}`, payload: world.payload(), ...command.will };
  const options: ConnectOptions = { version, cleanStart: clean, expiry, window: receiveMaximum, will };
  await world.clients[who].connect(world.engine, inFull(options, world.setting.maxInflight));
}

function subscribe(world: World, { who, filters, identifier }: CommandOf<'subscribe'>): void {
  const client = world.clients[who];
  if (client.options === null || !client.connected) return;
  const { version } = client.options;
  const subscriptions = filters.map(({ filter, qos, nl, rap, rh }): Subscription => {
    // A shared subscription has no No Local [MQTT-3.8.3-4].
    const noLocal = nl && !isShared(filter);
    if (version === 5) return { filter, qos, noLocal, retainAsPublished: rap, retainHandling: rh, identifier };
    return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 };
  });
  client.subscribe(subscriptions);
}

async function publish(world: World, command: CommandOf<'publish'>): Promise<void> {
  const { who, topic, qos, retain, empty, expiry, count } = command;
  const client = world.clients[who];
  if (!client.connected) return;
  for (let i = 0; i < count; i++) {
    const payload = empty ? '' : world.payload();
    client.publish({ topic, payload, qos, retain, expiry: client.options?.version === 5 ? expiry : undefined });
  }
  if (command.after === 'lose') await client.cut();
}

async function disconnect(world: World, { who, how, expiry }: CommandOf<'disconnect'>): Promise<void> {
  const client = world.clients[who];
  if (client.options === null || !client.connected) return;
  const { version } = client.options;
  if (how === 'cut' || (how === 'with will' && version < 5)) await client.cut();
  else await client.disconnect(how === 'normal' ? 0 : 4, version === 5 ? expiry : undefined);
}

export interface Run {
  readonly setting: Setting;
  readonly commands: readonly Command[];
}

/** Does all commands, then has every client come back and take what it is owed. */
export async function performAll(world: World, commands: readonly Command[]): Promise<void> {
  for (const command of commands) await perform(world, command);
  await world.settle();
  await world.finish();
}
