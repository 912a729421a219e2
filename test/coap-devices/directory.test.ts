/** The resource directory of RFC 9176, without sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '../../src/coap/codes.js';
import { formatLinks, parseLinks } from '../../src/coap/link-format.js';
import { Directory, type DirectoryLimits, type Registrant } from '../../src/plugins/coap-devices/directory.js';
import { decodeRegistration, encodeRegistration } from '../../src/plugins/coap-devices/registration.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

/** Whoever comes from an address, without a name. */
function from(address: string, port: number): Registrant {
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  const host = family === 'IPv6' ? `[${address}]` : address;
  const at = { address, port, family } as const;
  return {
    base: `coap://${host}:${port}`,
    owner: null,
    origin: { ...at, via: 'coap://[::]:5683', bound: false },
    address: at,
  };
}

const NODE = from('2001:db8:3::123', 61_616);
const OTHER = from('192.0.2.7', 5683);
const LINKS = Buffer.from('</sensors/temp>;rt=temperature-c;if=sensor,</t>;anchor="/sensors/temp";rel=alternate');
const NONE = Buffer.alloc(0);

const LIMITS: DirectoryLimits = {
  registrations: 100,
  registrations_per_device: 100,
  registration_bytes: 8192,
  registration_links: 200,
  registration_lifetime_min: 1,
  registration_lifetime_max: 0xffffffff,
};

class Bench {
  now = 1_000_000;
  readonly told: string[] = [];
  readonly limits: string[] = [];
  readonly directory: Directory;

  /** What the store holds, and whether it takes anything. */
  readonly kept = new Map<string, Buffer>();
  writable = true;

  constructor(limits: Partial<DirectoryLimits> = {}) {
    const write = (change: () => void): Promise<void> => {
      if (!this.writable) throw new Error('full');
      change();
      return Promise.resolve();
    };
    this.directory = new Directory({
      limits: { ...LIMITS, ...limits },
      path: '/rd',
      now: () => this.now,
      put: (registration) => write(() => this.kept.set(registration.id, encodeRegistration(registration))),
      delete: ({ id }) => write(() => this.kept.delete(id)),
      changed: ({ ep }, what) => this.told.push(`${ep} ${what}`),
      refused: (limit) => this.limits.push(limit),
    });
  }

  /** Registers; returns the identifier. */
  register(query: string, registrant = NODE, links = LINKS): string {
    const { code, registration } = this.directory.register(query.split('&'), links, registrant);
    assert.equal(code, Code.Created, query);
    return registration!.id;
  }

  resources(query = ''): string {
    return formatLinks(this.directory.lookUpResources(query === '' ? [] : query.split('&')));
  }

  endpoints(query = ''): string {
    return formatLinks(this.directory.lookUpEndpoints(query === '' ? [] : query.split('&')));
  }
}

test('RFC 6690 2: links are read with quoted, unquoted and missing values, and written the same', () => {
  const text =
    '</a>;rt="x y";ct=40;obs;title="say \\"hi\\", \\\\ or </b>;",<coap://h:1/c?q=1>;if=sensor , <d>;sz = 012;sz=3';
  const links = parseLinks(text, 10);
  assert.deepEqual(links, [
    { href: '/a', attributes: { rt: 'x y', ct: 40, obs: true, title: 'say "hi", \\ or </b>;' } },
    { href: 'coap://h:1/c?q=1', attributes: { if: 'sensor' } },
    { href: 'd', attributes: { sz: '012' } },
  ]);
  assert.deepEqual(parseLinks(formatLinks(links ?? []), 10), links);
  assert.deepEqual(parseLinks('', 10), []);
  for (const bad of ['a', '<a', '</a>;', '</a>;=1', '</a>;rt="x', '</a>,', '</a></b>', ',</a>', '</a>;rt=', '<a>b']) {
    assert.equal(parseLinks(bad, 10), null, bad);
  }
  assert.equal(parseLinks('</a>,</b>,</c>', 2), null);
});

test('reading links ends soon, and writing what was read gives the same again, whatever the text', () => {
  const parts = ['<', '>', '/a', ';', ',', '"', '\\', 'rt', '=', ' ', 'obs', '40', '</x>', ';rt="', '__proto__', 'ä'];
  for (const seed of seeds(20)) {
    const random = new Random(seed);
    for (let round = 0; round < 200; round++) {
      const text = Array.from({ length: random.below(40) }, () => random.pick(parts)).join('');
      const links = parseLinks(text, 100);
      if (links !== null) assert.deepEqual(parseLinks(formatLinks(links), 100), links, `${text} SEED=${seed}`);
    }
  }
  assert.equal(parseLinks(`</a>;rt="${'\\'.repeat(100_000)}`, 10), null);
  assert.equal(parseLinks(`</a>${';x'.repeat(50_000)}"`, 10), null);
});

test('RFC 9176 5: a device registers with ep, and is found by its resources and by itself', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1');
  const base = 'coap://[2001:db8:3::123]:61616';
  assert.equal(
    bench.resources(),
    `<${base}/sensors/temp>;rt="temperature-c";if="sensor",<${base}/t>;anchor="${base}/sensors/temp";rel="alternate"`,
  );
  assert.equal(bench.endpoints(), `</rd/${id}>;ep="node1";base="${base}";rt="core.rd-ep"`);
  assert.deepEqual(bench.told, ['node1 registered']);
});

test('RFC 9176 5: the same name registers again under the same location; another sector is another device', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1');
  const links = Buffer.from('</new>');
  assert.equal(bench.register('ep=node1', OTHER, links), id);
  assert.equal(bench.resources(), '<coap://192.0.2.7:5683/new>');
  assert.notEqual(bench.register('ep=node1&d=floor2'), id);
  assert.equal(bench.directory.size, 2);
  assert.equal(bench.directory.find('node1', 'floor2')?.d, 'floor2');
});

test('RFC 9176 5: what a registration may not be is 4.00, and changes nothing', () => {
  const bench = new Bench();
  const bad = [
    '',
    'd=x',
    'ep=',
    `ep=${'x'.repeat(64)}`,
    'ep=a\u0001b',
    'ep=a/b',
    'ep=a+b',
    'ep=#',
    'ep=$a',
    'ep=a&d=b/c',
    'ep=a&d=b@c',
    `ep=a&d=${'x'.repeat(64)}`,
    'ep=a&ep=b',
    'ep=a&lt=0',
    'ep=a&lt=-1',
    'ep=a&lt=4294967296',
    'ep=a&lt=soon',
    'ep=a&base=http://h',
    'ep=a&base=coap://h/path',
    'ep=a&base=coap://u@h',
    'ep=a&base=coap:',
    `ep=a&${Array.from({ length: 17 }, (_, i) => `x${i}=1`).join('&')}`,
  ];
  for (const query of bad) {
    assert.equal(bench.directory.register(query.split('&'), LINKS, NODE).code, Code.BadRequest, query);
  }
  for (const links of ['</a', 'x', '<http://[>']) {
    assert.equal(bench.directory.register(['ep=a'], Buffer.from(links), NODE).code, Code.BadRequest, links);
  }
  assert.equal(bench.directory.size, 0);
  assert.deepEqual(bench.told, []);
});

test('RFC 9176 5.3.1: an update renews the lifetime, and follows the device to where it comes from now', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1&lt=60');
  bench.now += 59_000;
  const { code } = bench.directory.update(id, [], NONE, OTHER);
  assert.equal(code, Code.Changed);
  bench.now += 59_000;
  bench.directory.dropExpired();
  assert.match(bench.resources('rt=temperature-c'), /^<coap:\/\/192\.0\.2\.7:5683\/sensors\/temp>/);
  const tool = { ...OTHER, owner: 'tool' };
  const named = bench.register('ep=named&base=coap://device.example:5683', tool);
  bench.directory.update(named, ['lt=10', 'et=lamp'], NONE, tool);
  const registration = bench.directory.get(named);
  assert.equal(registration?.base, 'coap://device.example:5683');
  assert.equal(registration?.lt, 10);
  assert.deepEqual(registration?.attributes, { et: 'lamp' });
  assert.deepEqual(bench.told.slice(1), ['node1 updated', 'named registered', 'named updated']);
});

test('RFC 9176 5.3.1: an update of nothing is 4.04; one that changes names or brings links is 4.00', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1');
  assert.equal(bench.directory.update('nobody', [], NONE, NODE).code, Code.NotFound);
  assert.equal(bench.directory.update(id, ['ep=node2'], NONE, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.update(id, ['d=floor2'], NONE, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.update(id, [], LINKS, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.update(id, ['lt=0'], NONE, NODE).code, Code.BadRequest);
});

test('an attribute of a device has a name that one of a link may have: no lookup shows more links than there are', () => {
  const bench = new Bench();
  for (const name of ['a b', 'a,</forged>;rt', 'a"', 'a;b', 'ä', 'a**']) {
    assert.equal(bench.directory.register(['ep=node1', `${name}=x`], LINKS, NODE).code, Code.BadRequest, name);
  }
  const id = bench.register('ep=node1&et=lamp&title*=x');
  assert.equal(bench.directory.update(id, ['a,</forged>;rt=x'], NONE, NODE).code, Code.BadRequest);
  assert.equal(parseLinks(bench.endpoints(), 10)?.length, 1);
});

test('updates bring no more attributes than a registration may have', () => {
  const bench = new Bench();
  const named = (first: number, count: number): string[] => Array.from({ length: count }, (_, i) => `a${first + i}=x`);
  const id = bench.register('ep=node1&et=lamp');
  assert.equal(bench.directory.update(id, named(0, 15), NONE, NODE).code, Code.Changed);
  assert.equal(bench.directory.update(id, named(15, 1), NONE, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.update(id, named(0, 15), NONE, NODE).code, Code.Changed, 'the same names');
  assert.equal(Object.keys(bench.directory.get(id)?.attributes ?? {}).length, 16);
});

test('RFC 9176 5.3.2: a registration is removed by its device, or when its lifetime is over', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1&lt=60');
  bench.register('ep=node2&lt=61', OTHER);
  assert.equal(bench.directory.remove(id, NODE).code, Code.Deleted);
  assert.equal(bench.directory.remove(id, NODE).code, Code.NotFound);
  bench.now += 60_999;
  bench.directory.dropExpired();
  assert.equal(bench.directory.size, 1);
  bench.now += 1;
  bench.directory.dropExpired();
  assert.equal(bench.endpoints(), '');
  assert.deepEqual(bench.told.slice(2), ['node1 removed', 'node2 expired']);
});

test('a name belongs to whoever registered it first: nobody else replaces, renews or removes it', () => {
  const bench = new Bench();
  const alice = { ...NODE, owner: 'alice' };
  const id = bench.register('ep=node1', alice);
  for (const other of [NODE, { ...NODE, owner: 'bob' }]) {
    assert.equal(bench.directory.register(['ep=node1'], LINKS, other).code, Code.Forbidden);
    assert.equal(bench.directory.update(id, [], NONE, other).code, Code.Forbidden);
    assert.equal(bench.directory.remove(id, other).code, Code.Forbidden);
  }
  assert.equal(bench.directory.update(id, [], NONE, alice).code, Code.Changed);
});

test('more registrations than the limit are 5.03, and told; those that are there may renew', () => {
  const bench = new Bench({ registrations: 2 });
  const id = bench.register('ep=a');
  bench.register('ep=b');
  assert.equal(bench.directory.register(['ep=c'], LINKS, NODE).code, Code.ServiceUnavailable);
  assert.deepEqual(bench.limits, ['registrations']);
  assert.equal(bench.register('ep=a'), id);
});

test('RFC 9176 6: lookups filter by attributes of links and of devices, and come in pages', () => {
  const bench = new Bench();
  for (let i = 0; i < 5; i++) {
    const links = Buffer.from(`</light>;rt=light,</temp>;rt="temp c";if=sensor`);
    bench.register(`ep=node${i}&et=${i < 2 ? 'lamp' : 'probe'}`, from(`192.0.2.${i}`, 5683), links);
  }
  const count = (text: string): number => (parseLinks(text, 1000) ?? []).length;
  assert.equal(count(bench.resources()), 10);
  assert.equal(count(bench.resources('rt=light')), 5);
  assert.equal(count(bench.resources('rt=temp')), 5);
  assert.equal(bench.resources('ep=node3&rt=light'), '<coap://192.0.2.3:5683/light>;rt="light"');
  assert.equal(count(bench.resources('et=lamp&if=sen*')), 2);
  assert.equal(count(bench.resources('href=coap://192.0.2.4:5683/*')), 2);
  assert.equal(count(bench.resources('nothing=*')), 0);
  assert.equal(count(bench.endpoints('rt=light&et=probe')), 3);
  assert.equal(count(bench.endpoints('ep=node*')), 5);
  assert.equal(count(bench.endpoints('count=2&page=2')), 1);
  assert.equal(count(bench.endpoints('count=2')), 2);
  assert.equal(count(bench.endpoints('count=0')), 0);
});

test('a registration is the same after it was stored; what is none says so', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1&d=x&et=lamp&lt=100');
  const stored = bench.directory.get(id)!;
  const restored = decodeRegistration(JSON.parse(encodeRegistration(stored).toString()));
  assert.deepEqual(restored, stored);
  const other = new Bench();
  other.directory.restore(restored);
  assert.equal(other.resources(), bench.resources());
  assert.throws(() => decodeRegistration(JSON.parse('{}')));
  assert.throws(() => decodeRegistration(JSON.parse('{"links":"<a>"}')));
});

test('registrations of one user name, or of one address, are bounded; those of others are not', () => {
  const bench = new Bench({ registrations_per_device: 2 });
  bench.register('ep=a');
  const id = bench.register('ep=b');
  assert.equal(bench.directory.register(['ep=c'], LINKS, NODE).code, Code.ServiceUnavailable);
  assert.deepEqual(bench.limits, ['registrations_per_device']);
  bench.register('ep=d', OTHER);
  bench.register('ep=e', { ...NODE, owner: 'gateway' });
  bench.directory.remove(id, NODE);
  bench.register('ep=c');
});

test('a list of links beyond its bytes or its number is 4.13, and told', () => {
  const bench = new Bench({ registration_bytes: 100, registration_links: 3 });
  const long = Buffer.from(`</${'x'.repeat(98)}>`);
  assert.equal(bench.directory.register(['ep=a'], long, NODE).code, Code.RequestEntityTooLarge);
  const many = Buffer.from('</a>,</b>,</c>,</d>');
  assert.equal(bench.directory.register(['ep=a'], many, NODE).code, Code.RequestEntityTooLarge);
  assert.deepEqual(bench.limits, ['registration_bytes', 'registration_links']);
  bench.register('ep=a', NODE, many.subarray(0, 14));
});

test('a lifetime outside of its range is 4.00, and told; one that is not asked for is within', () => {
  const bench = new Bench({ registration_lifetime_min: 60, registration_lifetime_max: 3600 });
  assert.equal(bench.directory.register(['ep=a', 'lt=59'], LINKS, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.register(['ep=a', 'lt=3601'], LINKS, NODE).code, Code.BadRequest);
  const id = bench.register('ep=a');
  assert.equal(bench.directory.update(id, ['lt=3601'], NONE, NODE).code, Code.BadRequest);
  assert.equal(bench.directory.get(id)?.lt, 3600);
  const { limits } = bench;
  assert.deepEqual(limits, ['registration_lifetime_min', 'registration_lifetime_max', 'registration_lifetime_max']);
});

test('a base elsewhere needs an identity; an anonymous device may name itself', () => {
  const bench = new Bench();
  const elsewhere = ['ep=a', 'base=coap://198.51.100.1'];
  assert.equal(bench.directory.register(elsewhere, LINKS, OTHER).code, Code.Forbidden);
  bench.register('ep=a&base=coap://192.0.2.7:9999', OTHER);
  bench.register('ep=b&base=coap://198.51.100.1', { ...OTHER, owner: 'tool' });
});

test('names that are one topic level are one device, which nobody takes by another spelling', () => {
  const bench = new Bench();
  bench.register('ep=a&d=b');
  assert.equal(bench.directory.register(['ep=a@b'], LINKS, NODE).code, Code.Forbidden);
  assert.equal(bench.directory.find('a@b'), undefined);
});

test('what the store cannot take is 5.03 and changes nothing; expiry is tried again', () => {
  const bench = new Bench();
  const id = bench.register('ep=node1&lt=60');
  bench.writable = false;
  assert.equal(bench.directory.register(['ep=node2'], LINKS, NODE).code, Code.ServiceUnavailable);
  assert.equal(bench.directory.update(id, ['lt=10'], NONE, NODE).code, Code.ServiceUnavailable);
  assert.equal(bench.directory.remove(id, NODE).code, Code.ServiceUnavailable);
  assert.equal(bench.directory.get(id)?.lt, 60);
  bench.now += 60_000;
  bench.directory.dropExpired();
  assert.deepEqual(bench.told, ['node1 registered']);
  bench.writable = true;
  bench.directory.dropExpired();
  assert.deepEqual(bench.told, ['node1 registered', 'node1 expired']);
  assert.equal(bench.kept.size, 0);
});
