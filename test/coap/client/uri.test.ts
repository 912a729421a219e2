/** `coap` and `coaps` URIs (RFC 7252 6.1 to 6.4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCoapUri } from '../../../src/coap/client/uri.js';

const NAME = { secure: false, host: 'example.com', kind: 'name', port: 5683, path: [], query: [] } as const;

test('the examples of RFC 7252 6.3 and 6.4 name the same resource', () => {
  const sensor = { ...NAME, path: ['~sensors', 'temp.xml'] };
  assert.deepEqual(parseCoapUri('coap://example.com:5683/~sensors/temp.xml'), sensor);
  assert.deepEqual(parseCoapUri('coap://EXAMPLE.com/%7Esensors/temp.xml'), sensor);
  assert.deepEqual(parseCoapUri('coap://EXAMPLE.com:/%7esensors/temp.xml'), sensor);
  assert.deepEqual(parseCoapUri('CoAP://ex%61mple.com/~sensors/temp.xml'), sensor);
});

test('the root has no Uri-Path, a trailing slash one that is empty (RFC 7252 6.4, step 8)', () => {
  assert.deepEqual(parseCoapUri('coap://example.com'), NAME);
  assert.deepEqual(parseCoapUri('coap://example.com/'), NAME);
  assert.deepEqual(parseCoapUri('coap://example.com/a/'), { ...NAME, path: ['a', ''] });
  assert.deepEqual(parseCoapUri('coap://example.com//'), { ...NAME, path: ['', ''] });
});

test('segments and arguments are decoded one by one; the plus is a plus (RFC 7252 6.4, steps 8 and 9)', () => {
  assert.deepEqual(parseCoapUri('coap://example.com/a%2Fb/%C3%BC?x=%26&y=1+1&'), {
    ...NAME,
    path: ['a/b', 'ü'],
    query: ['x=&', 'y=1+1', ''],
  });
  assert.deepEqual(parseCoapUri('coap://example.com?'), { ...NAME, query: [''] });
});

test('dot segments are taken out first (RFC 7252 6.4, step 1; RFC 3986 5.2.4)', () => {
  assert.deepEqual(parseCoapUri('coap://example.com/a/./b/../c'), { ...NAME, path: ['a', 'c'] });
  assert.deepEqual(parseCoapUri('coap://example.com/a/%2e%2E/b/.'), { ...NAME, path: ['b', ''] });
  assert.deepEqual(parseCoapUri('coap://example.com/../..'), NAME);
});

test('addresses are told from names (RFC 7252 6.4, step 5)', () => {
  assert.deepEqual(parseCoapUri('coap://127.0.0.1:5700/heater'), {
    secure: false,
    host: '127.0.0.1',
    kind: 'IPv4',
    port: 5700,
    path: ['heater'],
    query: [],
  });
  assert.deepEqual(parseCoapUri('coap://[::1]:61616/x'), {
    secure: false,
    host: '::1',
    kind: 'IPv6',
    port: 61_616,
    path: ['x'],
    query: [],
  });
  // Written as the socket writes it, so that a response is known by its source.
  assert.equal((parseCoapUri('coap://[2001:DB8:0:0:0:0:0:1]') as { host: string }).host, '2001:db8::1');
  assert.equal((parseCoapUri('coap://[fe80::1%25lo]') as { host: string }).host, 'fe80::1%lo');
});

test('coaps is the same over DTLS, at port 5684 unless another is named (RFC 7252 6.2)', () => {
  assert.deepEqual(parseCoapUri('coaps://example.com'), { ...NAME, secure: true, port: 5684 });
  assert.deepEqual(parseCoapUri('CoAPs://example.com:5683/'), { ...NAME, secure: true });
});

for (const [uri, reason] of [
  ['http://example.com/', /scheme/],
  ['coaps+tcp://example.com/', /scheme/],
  ['coap+tcp://example.com/', /scheme/],
  ['coap://example.com/a#b', /fragment/],
  ['coap:/a', /of the form/],
  ['coap://user@example.com/', /of the form/],
  ['coap://', /host/],
  ['coap:///a', /host/],
  ['coap://[::1', /of the form/],
  ['coap://[1.2.3.4]/', /host/],
  [`coap://${'h'.repeat(256)}/`, /host/],
  ['coap://example.com:0/', /port/],
  ['coap://example.com:65536/', /port/],
  ['coap://example.com:x/', /of the form/],
  ['coap://example.com/a b', /encoded/],
  ['coap://example.com/%zz', /encoded/],
  ['coap://example.com/%ff', /UTF-8/],
  [`coap://example.com/${'p'.repeat(256)}`, /255/],
  [`coap://example.com/?${'q'.repeat(256)}`, /255/],
] as const) {
  test(`${uri.length > 60 ? `${uri.slice(0, 24)}…` : uri} is refused in words`, () => {
    const reading = parseCoapUri(uri);
    assert.ok(typeof reading === 'string');
    assert.match(reading, reason);
  });
}
