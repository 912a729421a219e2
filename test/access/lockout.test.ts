/** Who is banned for failed logins, and for how long: the counts themselves, with a clock that the test turns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lockout, type LockoutOptions, type LockoutOutcome } from '../../src/access/lockout.js';
import { Random } from '../support/random.js';

const OPTIONS: LockoutOptions = {
  lockoutWindow: 600,
  lockoutFailures: 5,
  lockoutAddressFailures: 20,
  lockoutTime: 300,
  lockoutLoopback: false,
  lockoutEntries: 1000,
};
const LONGEST = 5000;

class Scene {
  readonly lockout: Lockout;
  now = 1_000_000;
  #guess = 0;

  constructor(options: Partial<LockoutOptions> = {}) {
    this.lockout = new Lockout({ ...OPTIONS, ...options }, LONGEST, () => this.now);
  }

  pass(seconds: number): void {
    this.now += seconds * 1000;
  }

  /** A failure with a password that nobody has tried, or with the one given. */
  fail(host: string, username: string | null, password = `guess ${++this.#guess}`, transport = 'mqtt'): LockoutOutcome {
    const remote = host.includes(':') ? `[${host}]:50000` : `${host}:50000`;
    return this.lockout.failed({ remote, transport, username, secret: Buffer.from(password) });
  }

  isBanned(host: string, username: string | null = null, transport = 'mqtt'): boolean {
    const remote = host.includes(':') ? `[${host}]:1` : `${host}:1`;
    const ban = this.lockout.banOf(remote, transport, username);
    if (ban !== null && ban.username === null) assert.ok(this.lockout.isBanned(remote, transport));
    return ban !== null;
  }
}

test('refusals of one user from one address come later and later, up to the longest delay', () => {
  const scene = new Scene({ lockoutFailures: 100 });
  const delays = Array.from({ length: 8 }, () => scene.fail('192.0.2.1', 'ann').delay);
  assert.deepEqual(delays, [0, 0, 0, 1000, 2000, 4000, 5000, 5000]);
  assert.equal(scene.fail('192.0.2.1', 'bob').delay, 0, 'another user from there');
  assert.equal(scene.fail('192.0.2.2', 'ann').delay, 0, 'the same user from elsewhere');
  scene.pass(600);
  assert.equal(scene.fail('192.0.2.1', 'ann').delay, 0, 'the window is over');
});

test('access.lockout_failures: this user from this address is banned, and nobody else, for access.lockout_time', () => {
  const scene = new Scene();
  const outcomes = Array.from({ length: 5 }, () => scene.fail('192.0.2.1', 'ann').bans.length);
  assert.deepEqual(outcomes, [0, 0, 0, 0, 1]);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), true);
  assert.equal(scene.isBanned('192.0.2.1', 'bob'), false);
  assert.equal(scene.isBanned('192.0.2.1', null), false);
  assert.equal(scene.isBanned('192.0.2.2', 'ann'), false);
  assert.deepEqual(scene.lockout.list(), [
    {
      address: '192.0.2.1',
      transport: null,
      username: 'ann',
      since: scene.now,
      until: scene.now + 300_000,
      failures: 5,
    },
  ]);
  scene.pass(299);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), true);
  scene.pass(1);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), false);
  assert.deepEqual(scene.lockout.list(), []);
});

test('what fails during a ban does not make it longer', () => {
  const scene = new Scene();
  for (let i = 0; i < 5; i++) scene.fail('192.0.2.1', 'ann');
  scene.pass(200);
  for (let i = 0; i < 50; i++) assert.deepEqual(scene.fail('192.0.2.1', 'ann'), { delay: 0, bans: [], forgotten: 0 });
  scene.pass(100);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), false);
});

test('a wrong password that is repeated is one guess: a device with an old password bans nobody', () => {
  const scene = new Scene();
  for (let i = 0; i < 1000; i++) assert.deepEqual(scene.fail('192.0.2.1', 'ann', 'old').bans, []);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), false);
  assert.equal(scene.fail('192.0.2.1', 'ann', 'old').delay, LONGEST);
});

test('where nobody sees the password, as with SCRAM, each failure is a guess', () => {
  const scene = new Scene();
  const fail = (): number =>
    scene.lockout.failed({ remote: '192.0.2.1:1', transport: 'mqtt', username: 'ann', secret: undefined }).bans.length;
  assert.deepEqual([fail(), fail(), fail(), fail(), fail()], [0, 0, 0, 0, 1]);
});

test('access.lockout_address_failures: many failures of whomever ban the address, with everybody from there', () => {
  const scene = new Scene();
  for (let i = 0; i < 19; i++) assert.deepEqual(scene.fail('192.0.2.1', `user ${i}`).bans, []);
  const { bans } = scene.fail('192.0.2.1', 'user 19');
  assert.deepEqual(
    bans.map(({ username, failures }) => [username, failures]),
    [[null, 20]],
  );
  for (const user of ['ann', null, 'user 0']) assert.equal(scene.isBanned('192.0.2.1', user), true);
  assert.equal(scene.isBanned('192.0.2.2', 'user 0'), false);
});

test('access.lockout_address_failures: from half of it on, an address that guesses at many names waits longer and longer', () => {
  const scene = new Scene();
  const delays = Array.from({ length: 15 }, (_, i) => scene.fail('192.0.2.1', `user ${i}`).delay);
  assert.deepEqual(delays, [...new Array(10).fill(0), 1000, 2000, 4000, 5000, 5000]);
  assert.equal(scene.fail('192.0.2.2', 'user 15').delay, 0, 'another address');
  scene.pass(600);
  assert.equal(scene.fail('192.0.2.1', 'user 16').delay, 0, 'the window is over');
});

test('names that differ in case, or in characters that look alike, are users of their own, and one address all the same', () => {
  const scene = new Scene();
  const names = ['ann', 'Ann', 'ANN', 'a\u0301nn', '\u00e1nn', 'ann ', ' ann', '\u0430nn', 'ann\u200b', 'ann\u0000'];
  for (const name of names) assert.deepEqual(scene.fail('192.0.2.1', name).bans, []);
  for (const name of names) scene.fail('192.0.2.1', name);
  assert.equal(scene.isBanned('192.0.2.1'), true);
});

test('an IPv4 address that is mapped to IPv6 is that IPv4 address, however it is written: neither this machine nor a /64 of all', () => {
  const scene = new Scene();
  const forms = [
    '192.0.2.1',
    '::ffff:192.0.2.1',
    '::FFFF:192.0.2.1',
    '0:0:0:0:0:ffff:c000:201',
    '::ffff:c000:0201',
    '0000:0000:0000:0000:0000:ffff:192.0.2.1',
  ];
  for (const form of forms.slice(1)) scene.fail(form, 'ann');
  for (const form of forms) assert.equal(scene.isBanned(form, 'ann'), true, form);
  assert.equal(scene.isBanned('::ffff:192.0.2.2', 'ann'), false);
  for (let i = 0; i < 40; i++) scene.fail('::ffff:127.0.0.1', 'ann');
  assert.equal(scene.isBanned('127.0.0.1'), false, 'this machine, as before');
});

test('whoever has a whole /48 gets as many guesses at one user as one address, and late ones after', () => {
  const scene = new Scene();
  const delays = Array.from({ length: 500 }, (_, i) => scene.fail(`2001:db8:0:${i.toString(16)}::1`, 'ann').delay);
  assert.deepEqual(delays.slice(0, 5), [0, 0, 0, 0, 0]);
  assert.ok(delays.slice(5).every((delay) => delay === LONGEST));
});

test('behind one address with many good clients, a bad one that guesses bans itself and not the address', () => {
  const scene = new Scene();
  for (let minute = 0; minute < 120; minute++) {
    if (!scene.isBanned('192.0.2.1', 'bad')) scene.fail('192.0.2.1', 'bad');
    assert.equal(scene.isBanned('192.0.2.1', 'good'), false);
    scene.pass(60);
  }
});

test('a user who is guessed at from many addresses is banned nowhere; the refusals come late', () => {
  const scene = new Scene();
  const delays = Array.from({ length: 8 }, (_, i) => scene.fail(`192.0.2.${i}`, 'ann').delay);
  assert.deepEqual(delays, [0, 0, 0, 0, 0, LONGEST, LONGEST, LONGEST]);
  assert.equal(scene.isBanned('192.0.2.0', 'ann'), false);
  assert.equal(scene.isBanned('203.0.113.1', 'ann'), false);
});

test('an IPv6 address stands for its /64', () => {
  const scene = new Scene();
  for (let i = 1; i <= 5; i++) scene.fail(`2001:db8::${i}`, 'ann');
  assert.equal(scene.isBanned('2001:db8::ffff:ffff', 'ann'), true);
  assert.equal(scene.isBanned('2001:db8:0:1::1', 'ann'), false);
});

test('this machine counts only with access.lockout_loopback; what has no address never does', () => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1']) {
    for (const lockoutLoopback of [false, true]) {
      const scene = new Scene({ lockoutLoopback });
      const delays = Array.from({ length: 5 }, () => scene.fail(host, 'ann').delay);
      assert.equal(scene.isBanned(host, 'ann'), lockoutLoopback, host);
      assert.equal(Math.max(...delays) > 0, lockoutLoopback, host);
    }
  }
  const scene = new Scene({ lockoutLoopback: true });
  for (let i = 0; i < 50; i++) {
    scene.lockout.failed({ remote: 'local', transport: 'mqtt', username: 'ann', secret: undefined });
  }
  assert.equal(scene.lockout.entries, 0);
});

test('over plain CoAP, where anybody can write any address, bans hold there alone', () => {
  const scene = new Scene();
  for (let i = 0; i < 5; i++) scene.fail('192.0.2.1', 'ann', `guess ${i}`, 'coap');
  assert.equal(scene.isBanned('192.0.2.1', 'ann', 'coap'), true);
  for (const transport of ['mqtt', 'websocket', 'coaps', 'coap+tcp']) {
    assert.equal(scene.isBanned('192.0.2.1', 'ann', transport), false, transport);
  }
  const { bans } = Array.from({ length: 5 }, (_, i) => scene.fail('192.0.2.1', 'ann', `g${i}`, 'coaps'))[4];
  assert.equal(bans[0].transport, null);
  assert.equal(scene.isBanned('192.0.2.1', 'ann', 'websocket'), true);
});

test('0 takes each of the two bans away, and both the delays too', () => {
  const address = new Scene({ lockoutFailures: 0 });
  for (let i = 0; i < 19; i++) assert.deepEqual(address.fail('192.0.2.1', 'ann').bans, []);
  assert.equal(address.fail('192.0.2.1', 'ann').bans.length, 1);
  const user = new Scene({ lockoutAddressFailures: 0 });
  for (let i = 0; i < 100; i++) user.fail('192.0.2.1', `user ${i}`);
  assert.equal(user.isBanned('192.0.2.1'), false);
  const none = new Scene({ lockoutFailures: 0, lockoutAddressFailures: 0 });
  for (let i = 0; i < 100; i++) assert.equal(none.fail('192.0.2.1', 'ann').delay, 0);
  assert.equal(none.lockout.entries, 0);
});

test('limits.lockout_entries: any number of addresses and users takes bounded room; what is forgotten is told', () => {
  const scene = new Scene({ lockoutEntries: 100, lockoutFailures: 1 });
  const random = new Random(1);
  let forgotten = 0;
  for (let i = 0; i < 20_000; i++) {
    const host = `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`;
    forgotten += scene.fail(host, `user ${random.below(1_000_000)}`.repeat(1 + random.below(200))).forgotten;
    scene.pass(0.01);
  }
  assert.ok(scene.lockout.entries <= 300, `${scene.lockout.entries} entries`);
  assert.ok(scene.lockout.size <= 100, `${scene.lockout.size} bans`);
  assert.ok(forgotten > 20_000);
});

test('who fails again and again is not forgotten for those who fail once', () => {
  const scene = new Scene({ lockoutEntries: 100 });
  for (let i = 0; i < 5; i++) {
    for (let j = 0; j < 90; j++) scene.fail(`10.0.${i}.${j}`, `user ${i} ${j}`);
    scene.fail('192.0.2.1', 'ann');
  }
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), true);
});

test('lift: of an address, of a user, of both, of all; the failures before are forgotten', () => {
  const lifted = (address: string | null, user: string | null): [number, string[]] => {
    const scene = new Scene();
    for (const host of ['192.0.2.1', '192.0.2.2', '2001:db8::1']) {
      for (const name of ['ann', 'bob']) for (let i = 0; i < 5; i++) scene.fail(host, name);
    }
    for (let i = 0; i < 20; i++) scene.fail('192.0.2.2', `user ${i}`);
    const count = scene.lockout.lift(address, user);
    const left = scene.lockout.list().map((ban) => `${ban.address} ${ban.username ?? '*'}`);
    if (address === null && user === null) assert.equal(scene.lockout.entries, 0);
    if (address === '192.0.2.1' && user === 'ann') {
      assert.equal(scene.fail('192.0.2.1', 'ann').bans.length, 0, 'it begins anew');
      assert.equal(scene.fail('192.0.2.1', 'ann', 'guess 1').delay, LONGEST, 'others still count for the user');
    }
    return [count, left];
  };
  const V6 = '2001:db8:0:0';
  const all = [
    '192.0.2.1 ann',
    '192.0.2.1 bob',
    '192.0.2.2 ann',
    '192.0.2.2 bob',
    '192.0.2.2 *',
    `${V6} ann`,
    `${V6} bob`,
  ];
  const without = (...gone: string[]): string[] => all.filter((one) => !gone.includes(one));
  const sorted = ([count, left]: [number, string[]]): [number, string[]] => [count, left.toSorted()];
  const expected = (...gone: string[]): [number, string[]] => [gone.length, without(...gone).toSorted()];
  assert.deepEqual(sorted(lifted('192.0.2.1', 'ann')), expected('192.0.2.1 ann'));
  assert.deepEqual(sorted(lifted('192.0.2.2', null)), expected('192.0.2.2 ann', '192.0.2.2 bob', '192.0.2.2 *'));
  assert.deepEqual(sorted(lifted(null, 'bob')), expected('192.0.2.1 bob', '192.0.2.2 bob', `${V6} bob`));
  assert.deepEqual(sorted(lifted(V6, null)), expected(`${V6} ann`, `${V6} bob`));
  assert.deepEqual(sorted(lifted('203.0.113.1', null)), expected());
  assert.deepEqual(lifted(null, null), [7, []]);
});

test('long user names, and those that look like parts of a key, are told apart', () => {
  const scene = new Scene();
  const long = 'x'.repeat(60_000);
  for (let i = 0; i < 5; i++) scene.fail('192.0.2.1', long);
  assert.equal(scene.isBanned('192.0.2.1', long), true);
  assert.equal(scene.isBanned('192.0.2.1', `${long}y`), false);
  assert.equal(scene.isBanned('192.0.2.1', 'x'.repeat(64)), false);
  for (let i = 0; i < 5; i++) scene.fail('192.0.2.1', '');
  assert.equal(scene.isBanned('192.0.2.1', ''), true);
  assert.equal(scene.isBanned('192.0.2.1', null), false);
  assert.equal(scene.isBanned('192.0.2.1', '-'), false);
});

test('other limits hold from then on: bans there are last as long as a new one would, failures count on, delays are bounded anew', () => {
  const scene = new Scene();
  const ban = (host: string): void => {
    for (let i = 0; i < 5; i++) scene.fail(host, 'ann');
  };
  ban('192.0.2.1');
  scene.pass(100);
  ban('192.0.2.2');
  assert.equal(scene.lockout.replace({ ...OPTIONS, lockoutTime: 100 }, LONGEST), 0);
  assert.equal(scene.isBanned('192.0.2.1', 'ann'), false, 'it began 100 seconds ago');
  assert.equal(scene.isBanned('192.0.2.2', 'ann'), true);
  assert.equal(scene.lockout.size, 1);
  scene.lockout.replace({ ...OPTIONS, lockoutTime: 500 }, LONGEST);
  scene.pass(450);
  assert.equal(scene.isBanned('192.0.2.2', 'ann'), true);
  for (let i = 0; i < 3; i++) assert.equal(scene.fail('192.0.2.3', 'bob').bans.length, 0);
  scene.lockout.replace({ ...OPTIONS, lockoutFailures: 4 }, 700);
  const { bans, delay } = scene.fail('192.0.2.3', 'bob');
  assert.deepEqual([bans.length, delay], [1, 700]);
  scene.lockout.replace({ ...OPTIONS, lockoutFailures: 0, lockoutAddressFailures: 0 }, LONGEST);
  assert.equal(scene.fail('192.0.2.4', 'bob').delay, 0);
  assert.equal(scene.isBanned('192.0.2.3', 'bob'), true, 'bans stay');
});

test('with fewer limits.lockout_entries those too many are forgotten, the oldest first, and counted', () => {
  const scene = new Scene();
  for (let host = 1; host <= 4; host++) for (let i = 0; i < 5; i++) scene.fail(`192.0.2.${host}`, `user ${host}`);
  assert.equal(scene.lockout.entries, 12);
  assert.equal(scene.lockout.replace({ ...OPTIONS, lockoutEntries: 3 }, LONGEST), 4);
  assert.deepEqual([scene.lockout.entries, scene.lockout.size], [9, 3]);
  assert.deepEqual(
    [1, 2, 3, 4].map((host) => scene.isBanned(`192.0.2.${host}`, `user ${host}`)),
    [false, true, true, true],
  );
});
