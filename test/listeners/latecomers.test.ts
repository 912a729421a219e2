/** Addresses that are not up yet when the broker starts. */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mock, test } from 'node:test';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { isNotYet, Latecomers } from '../../src/listeners/latecomers.js';
import { connectRaw } from '../interop/raw.js';
import { Served } from './served.js';

function failure(code: string): PorticoError {
  return new PorticoError(ErrorKinds.Listen, `cannot listen: ${code}`, {
    cause: Object.assign(new Error(code), { code }),
  });
}

test('what is not there yet is tried again; a port in use, or one that may not be opened, is not', () => {
  for (const code of ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']) assert.ok(isNotYet(failure(code)), code);
  for (const code of ['EADDRINUSE', 'EACCES', 'EMFILE']) assert.ok(!isNotYet(failure(code)), code);
  assert.ok(!isNotYet(new PorticoError(ErrorKinds.Listen, 'x')));
});

test('each attempt waits twice as long as the one before, a minute at most; a reason is told once', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const told: string[] = [];
    const codes = ['ENOTFOUND', 'ENOTFOUND', 'EADDRNOTAVAIL', ...Array<string>(6).fill('EADDRNOTAVAIL')];
    let attempts = 0;
    let done = (): void => {};
    const latecomers = new Latecomers({
      late: (error) => told.push(String(error)),
      opened: (what, count) => told.push(`${what} ${count}`),
    });
    const open = async (): Promise<void> => {
      const code = codes[attempts++];
      setImmediate(() => done());
      if (code !== undefined) throw failure(code);
    };
    latecomers.add('mqtt', open, failure('ENOTFOUND'));
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
      const before = attempts;
      mock.timers.tick(seconds * 1000 - 1);
      assert.equal(attempts, before, `not before ${seconds} s`);
      const tried = new Promise<void>((resolve) => {
        done = resolve;
      });
      mock.timers.tick(1);
      await tried;
      assert.equal(attempts, before + 1);
    }
    const kind = 'PorticoError: cannot listen:';
    assert.deepEqual(told, [`${kind} ENOTFOUND`, `${kind} EADDRNOTAVAIL`, 'mqtt 11']);
  } finally {
    mock.timers.reset();
  }
});

test('a stop waits for the attempt that is under way, and tries no more', async () => {
  const begun = new Promise<() => void>((resolve) => {
    const latecomers = new Latecomers({ late: () => {}, opened: () => {} }, 1);
    let opened = 0;
    const open = (): Promise<void> =>
      new Promise((_, reject) => {
        opened++;
        let stopped = false;
        const stopping = latecomers.stop().then(() => {
          stopped = true;
        });
        resolve(async () => {
          assert.equal(stopped, false);
          reject(failure('ENOTFOUND'));
          await stopping;
          assert.equal(opened, 1);
        });
      });
    latecomers.add('mqtt', open, failure('ENOTFOUND'));
  });
  await (await begun)();
});

test('a host name that does not resolve yet is served once it does; the others are served at once', async () => {
  const { lookup } = dns;
  let known = false;
  const answer = (name: string, ...rest: unknown[]): unknown => {
    if (name !== 'later.invalid' || known) return Reflect.apply(lookup, dns, [known ? '127.0.0.1' : name, ...rest]);
    const callback = rest.at(-1) as (error: Error) => void;
    return process.nextTick(callback, Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' }));
  };
  const mocked = mock.method(dns, 'lookup', answer as typeof dns.lookup);
  try {
    const listeners = [
      { type: 'mqtt', host: 'later.invalid', port: 0 },
      { type: 'mqtt', host: '127.0.0.1', port: 0 },
      { type: 'websocket', host: 'later.invalid', port: 0 },
    ];
    const served = await Served.start(listeners, { allow_anonymous: true });
    const late = await served.line((line) => line.msg.includes('later.invalid'), 'that it is late');
    assert.equal(
      late.msg,
      'cannot listen for MQTT on later.invalid:0: no resolver knows this name; it is tried again until it can be opened',
    );
    await served.line((line) => Array.isArray(line.addresses) && line.addresses.length === 0, 'no address yet');
    const [port] = await served.ports(1);
    assert.equal((await connectRaw(port, { clientId: 'a' })).connack.returnCode, 0);
    known = true;
    for (const type of ['mqtt', 'websocket']) {
      await served.line(
        (line) => line.msg === `${type} on later.invalid is open now, after 2 attempts`,
        'that it is open',
      );
    }
  } finally {
    mocked.mock.restore();
  }
});

test('addresses that this machine does not have are waited for, whatever listens there', async () => {
  const host = '192.0.2.1';
  const listeners = ['mqtt', 'websocket', 'http', 'coap', 'coap+tcp'].map((type) => ({ type, host, port: 0 }));
  const http = listeners.map((listener) =>
    listener.type === 'http' ? { ...listener, allow_anonymous: true } : listener,
  );
  const served = await Served.start(http, { allow_anonymous: true, coap: { devices_topic: '' } });
  for (const _ of listeners) {
    const { msg } = await served.line((line) => line.msg.includes('it is tried again'), 'that one is late');
    assert.match(msg, /192\.0\.2\.1.*(this machine has no such address|EADDRNOTAVAIL)/);
  }
  await served.stop();
});

test('an interface that is not there is waited for, and does not hold up a stop', async () => {
  const served = await Served.start([{ type: 'mqtt', interface: 'none0', port: 0 }], { allow_anonymous: true });
  const late = await served.line((line) => line.msg.includes('none0'), 'that it is late');
  assert.match(
    late.msg,
    /^cannot listen for mqtt on none0: it has no address, or there is no such interface; it is tried/,
  );
  await served.stop();
});

test('a port that another program uses stops the start', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = typeof address === 'object' ? address?.port : 0;
  await assert.rejects(Served.start([{ type: 'mqtt', host: '127.0.0.1', port }]), {
    code: 'PORTICO_LISTEN',
    message: `cannot listen for MQTT on 127.0.0.1:${port}: another program uses this port`,
  });
  other.close();
});
