/** ETSI TD_COAP_LINK 01-09, and RFC 6690 by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterLinks, formatLinks, type Link } from '../../src/coap/link-format.js';
import { Bench, number, OPT } from './harness.js';
import { Resources } from './resources.js';

function discover(...query: string[]): string[] {
  const bench = new Bench(new Resources(() => {}).handler);
  const response = bench.client().ask({
    code: '0.01',
    path: ['.well-known', 'core'],
    options: query.map((argument): [number, string] => [OPT.uriQuery, argument]),
  });
  assert.equal(response.code, '2.05');
  assert.equal(number(response, OPT.contentFormat), 40);
  return [...response.payload.toString().matchAll(/<([^>]*)>/g)].map((match) => match[1]);
}

test('TD_COAP_LINK_01: /.well-known/core lists all links, ct 40', () => {
  assert.deepEqual(discover(), ['/test', '/link1', '/link2', '/link3', '/large', '/obs', '/path']);
});

test('TD_COAP_LINK_02: ?rt=Type1 filters', () => {
  assert.deepEqual(discover('rt=Type1'), ['/test', '/link1', '/link3', '/large']);
});

test('TD_COAP_LINK_03: ?rt=* finds every link with rt', () => {
  assert.deepEqual(discover('rt=*'), ['/test', '/link1', '/link2', '/link3', '/large']);
});

test('TD_COAP_LINK_04: each of the values of rt matches, and only whole values', () => {
  assert.deepEqual(discover('rt=Type2'), ['/link1', '/link2', '/large']);
  assert.deepEqual(discover('rt=Type'), []);
  assert.deepEqual(discover('rt=Type1 Type2'), []);
});

test('TD_COAP_LINK_05: ?if=If* matches a prefix', () => {
  assert.deepEqual(discover('if=If*'), ['/link1', '/link2']);
});

test('TD_COAP_LINK_06: ?sz=* finds links with sz', () => {
  assert.deepEqual(discover('sz=*'), ['/large']);
});

test('TD_COAP_LINK_07: ?href=/link1 matches exactly', () => {
  assert.deepEqual(discover('href=/link1'), ['/link1']);
});

test('TD_COAP_LINK_08: ?href=/link* matches a prefix', () => {
  assert.deepEqual(discover('href=/link*'), ['/link1', '/link2', '/link3']);
});

test('TD_COAP_LINK_09: a link with ct=40 leads to another document of links and on to the sub-resource', () => {
  assert.deepEqual(discover('ct=40'), ['/path']);
  const client = new Bench(new Resources(() => {}).handler).client();
  const response = client.ask({ code: '0.01', path: ['path'] });
  assert.equal(number(response, OPT.contentFormat), 40);
  assert.equal(response.payload.toString(), '</path/sub1>,</path/sub2>,</path/sub3>');
  assert.equal(client.ask({ code: '0.01', path: ['path', 'sub1'] }).payload.toString(), 'sub 1');
});

test('RFC 6690 2: numbers and flags stand bare, strings in quotes with quotes and backslashes escaped', () => {
  const links: Link[] = [{ href: '/a', attributes: { ct: 40, obs: true, title: 'say "hi" \\ bye' } }, { href: '/b' }];
  assert.equal(formatLinks(links), '</a>;ct=40;obs;title="say \\"hi\\" \\\\ bye",</b>');
  assert.equal(formatLinks([]), '');
});

test('RFC 6690 4.1: all arguments have to match; nonsense is ignored; attributes of objects in general are none', () => {
  const links: Link[] = [
    { href: '/a', attributes: { rt: 'x', obs: true } },
    { href: '/b', attributes: { rt: 'x' } },
  ];
  const hrefs = (...query: string[]) => filterLinks(links, query).map((link) => link.href);
  assert.deepEqual(hrefs('rt=x', 'obs=*'), ['/a']);
  assert.deepEqual(hrefs('nonsense', '=x', ''), ['/a', '/b']);
  assert.deepEqual(hrefs('constructor=*'), []);
  assert.deepEqual(hrefs('obs='), ['/a']);
});
