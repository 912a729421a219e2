/** What is no WebSocket of MQTT: refused, counted, and bounded in bytes and time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Served } from './served.js';
import { closed, open } from './sockets.js';

const WEBSOCKET = { type: 'websocket', host: '127.0.0.1', port: 0 };

/** A request for an upgrade. @param changed fields in the place of the right ones; null for none */
function upgrade(changed: Readonly<Record<string, string | null>> = {}, path = '/mqtt', method = 'GET'): string {
  const fields = {
    Host: 'x',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': 'mqtt',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
    ...changed,
  };
  const lines = Object.entries(fields).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  return [`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

/** What comes back before the broker closes. */
async function answerTo(port: number, request: string): Promise<string> {
  const socket = await open(port);
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.write(request);
  await closed(socket);
  return answer.split('\r\n')[0];
}

const REFUSED: readonly [what: string, request: string, answer: RegExp, words: RegExp][] = [
  ['another path', upgrade({}, '/other'), /^HTTP\/1\.1 404 /, /another path/],
  [
    'another sub-protocol',
    upgrade({ 'Sec-WebSocket-Protocol': 'soap' }),
    /^HTTP\/1\.1 400 /,
    /no sub-protocol of MQTT/,
  ],
  ['another version', upgrade({ 'Sec-WebSocket-Version': '99' }), /^HTTP\/1\.1 400 /, /Version/],
  ['no key', upgrade({ 'Sec-WebSocket-Key': null }), /^HTTP\/1\.1 400 /, /Key/],
  ['a key that is none', upgrade({ 'Sec-WebSocket-Key': 'x' }), /^HTTP\/1\.1 400 /, /Key/],
  ['another protocol than WebSocket', upgrade({ Upgrade: 'h2c' }), /^HTTP\/1\.1 400 /, /Upgrade/],
  ['another method', upgrade({}, '/mqtt', 'POST'), /^HTTP\/1\.1 400 /, /method/i],
  ['too large a header', upgrade({ Cookie: 'c'.repeat(40_000) }), /^$/, /overflow/i],
  ['too large a line', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\n`, /^$/, /overflow/i],
  ['MQTT without WebSocket', '\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0', /^$/, /Parse Error/],
  ['a PROXY header that nobody has asked for', `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${upgrade()}`, /^$/, /Parse Error/],
];

for (const [what, request, answer, words] of REFUSED) {
  test(`${what}: closed, counted once, and told`, async () => {
    const served = await Served.start([{ ...WEBSOCKET, path: '/mqtt' }]);
    const [port] = await served.ports(1);
    assert.match(await answerTo(port, request), answer);
    await served.line((line) => words.test(line.msg), 'a line');
    assert.equal(served.counters.protocolErrors, 1);
    assert.equal(served.server.broker.environment.gate.pending, 0);
  });
}

test('an upgrade that comes a byte at a time, or not at all, has mqtt.connect_timeout for it', async () => {
  const served = await Served.start([WEBSOCKET], { mqtt: { connect_timeout: 1 } });
  const [port] = await served.ports(1);
  const request = upgrade({ Cookie: 'c'.repeat(4000) });
  const slow = await open(port);
  let sent = 0;
  const trickle = setInterval(() => slow.write(request[sent++]), 10);
  slow.once('close', () => clearInterval(trickle));
  await Promise.all([closed(slow), closed(await open(port))]);
  assert.ok(sent < request.length, 'it was not done');
  assert.equal(served.counters.connectTimeouts, 2);
  assert.equal(served.server.broker.environment.gate.pending, 0);
});

test('connections that are no WebSockets yet count among limits.pending_connections', async () => {
  const served = await Served.start([WEBSOCKET], { limits: { pending_connections: 2 } });
  const [port] = await served.ports(1);
  const waiting = [await open(port), await open(port)];
  await closed(await open(port));
  assert.equal(served.counters.refusedPending, 1);
  for (const socket of waiting) socket.destroy();
});
