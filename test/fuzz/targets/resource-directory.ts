/** The resource directory: what devices say of themselves, and what is shown of it to others. */
import assert from 'node:assert/strict';
import { formatLinks, parseLinks } from '../../../src/coap/link-format.js';
import { Directory, type DirectoryLimits, type Registrant } from '../../../src/plugins/coap-devices/directory.js';
import {
  decodeRegistration,
  encodeRegistration,
  levelOf,
  MOST_ATTRIBUTES,
  type Registration,
} from '../../../src/plugins/coap-devices/registration.js';
import { Feed, input, type Target } from '../target.js';

const LIMITS: DirectoryLimits = {
  registrations: 8,
  registrations_per_device: 4,
  registration_bytes: 512,
  registration_links: 16,
  registration_lifetime_min: 1,
  registration_lifetime_max: 0xffffffff,
};
const MOST_LINKS = LIMITS.registrations * LIMITS.registration_links;

function registrantOf(number: number): Registrant {
  const address = { address: `192.0.2.${number % 4}`, port: 5683, family: 'IPv4' } as const;
  const base = `coap://${address.address}:${address.port}`;
  const owner = number < 0x80 ? null : `user ${number % 4}`;
  return { base, owner, origin: { ...address, via: 'coap://192.0.2.9:5683', bound: false }, address };
}

/** What is kept of a registration is what a start reads. */
function checkStored(registration: Registration): void {
  const stored = JSON.parse(String(encodeRegistration(registration)));
  assert.deepEqual({ ...decodeRegistration(stored) }, { ...registration });
}

function checkShown(directory: Directory, registrations: ReadonlyMap<string, Registration>, query: string[]): void {
  const devices = parseLinks(formatLinks(directory.lookUpEndpoints([])), MOST_LINKS);
  assert.equal(devices?.length, registrations.size, 'a link for each device');
  assert.ok(parseLinks(formatLinks(directory.lookUpResources([])), MOST_LINKS) !== null);
  for (const found of [directory.lookUpEndpoints(query), directory.lookUpResources(query)]) {
    assert.ok(parseLinks(formatLinks(found), MOST_LINKS) !== null);
  }
  for (const registration of registrations.values()) {
    assert.ok(!/[/+#]/.test(levelOf(registration)), 'a level of a topic');
    assert.ok(Object.keys(registration.attributes).length <= MOST_ATTRIBUTES);
    checkStored(registration);
  }
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const registrations = new Map<string, Registration>();
  let now = 0;
  const directory = new Directory({
    limits: LIMITS,
    path: '/rd',
    now: () => now,
    put: async (registration) => void registrations.set(registration.id, registration),
    delete: async ({ id }) => void registrations.delete(id),
    changed() {},
    refused() {},
  });
  const codes = new Set<number>();
  while (!feed.empty) {
    const step = feed.byte();
    const registrant = registrantOf(feed.byte());
    const query = String(feed.take(feed.byte())).split('&');
    const ids = [...registrations.keys()];
    const id = ids[step % Math.max(1, ids.length)] ?? 'none';
    if (step < 0x80) codes.add(directory.register(query, Buffer.from(feed.take(feed.byte())), registrant).code);
    else if (step < 0xc0) codes.add(directory.update(id, query, Buffer.alloc(0), registrant).code);
    else if (step < 0xe0) codes.add(directory.remove(id, registrant).code);
    else {
      now += 1000 * step;
      directory.dropExpired();
    }
    assert.ok(directory.size === registrations.size && registrations.size <= LIMITS.registrations);
    checkShown(directory, registrations, query);
  }
  return [...codes].toSorted((one, other) => one - other).join();
}

function registration(query: string, links: string): Buffer {
  return input(0, 1, query.length, query, links.length, links);
}

const NODE = registration('ep=node1&et=lamp&lt=60', '</a>;rt="x y";ct=40;obs,</b>;title="\\"";anchor="/a"');
const OTHER = registration('ep=n&d=s&base=coap://192.0.2.1:1', '<coap://h/c?q>;if=x');
const UPDATE = input(0x80, 1, 8, 'lt=9&a=b');

export const resourceDirectory: Target = {
  name: 'resource-directory',
  scope: ['/src/plugins/coap-devices/directory', '/src/plugins/coap-devices/registration', '/src/coap/link-format'],
  longest: 800,
  words: [
    ...['ep=', '&d=', '&lt=', '&base=coap://', '&et=', 'page=1', 'count=1'],
    ...['</', '>;', '="', '",', '\\"'],
    ...[NODE, UPDATE],
  ],
  seeds: () => [
    NODE,
    OTHER,
    Buffer.concat([NODE, OTHER, UPDATE]),
    input(NODE, UPDATE, 0xc0, 1, 0),
    input(NODE, 0xff, 1, 0),
  ],
  run,
};
