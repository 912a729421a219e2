/** Templates of payloads and URIs: what they say about a message, and what no message can make them do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from 'cborg';
import fc from 'fast-check';
import type { Message } from '../../src/bus/message.js';
import { MOST_RENDERED, TemplateFailure, TemplateFault } from '../../src/plugins/coap-devices/liquid.js';
import { MessageValues } from '../../src/plugins/coap-devices/message-values.js';
import { payloadTemplate } from '../../src/plugins/coap-devices/template.js';
import { UriTemplate } from '../../src/plugins/coap-devices/uri-template.js';
import { Output } from '../../src/wire/output.js';
import type { Properties } from '../../src/wire/packets.js';
import { encodePropertyList } from '../../src/wire/properties.js';
import { seeds } from '../support/seeds.js';

const [TEXT, JSON_FORMAT, CBOR] = [0, 50, 60];

function valuesOf(payload: string | Buffer, topic = 'sensor/temp', properties: Properties = {}, publisherId = '') {
  const out = new Output();
  encodePropertyList(out, properties, 'publish');
  const message: Message = {
    topic,
    payload: Buffer.from(payload),
    qos: 0,
    retain: false,
    properties: Buffer.from(out.bytes()),
    expiresAt: 0,
    publisherId,
    receivedAt: 0,
  };
  return new MessageValues(message);
}

/** What a template makes of a payload. */
function made(source: string, payload: string | Buffer, format: number | undefined = JSON_FORMAT): string {
  return payloadTemplate(source, format)(valuesOf(payload)).toString();
}

/** That a template makes nothing of a payload, and why. */
function fails(source: string, payload: string | Buffer, why: RegExp, format = JSON_FORMAT): void {
  assert.throws(
    () => made(source, payload, format),
    (error) => error instanceof TemplateFailure && why.test(error.message),
    source,
  );
}

/** That a text is no template: where, and why. */
function isFault(parse: () => unknown, line: number, column: number, why: RegExp): void {
  assert.throws(parse, (error) => {
    assert.ok(error instanceof TemplateFault);
    assert.deepEqual([error.line, error.column], [line, column], error.message);
    assert.match(error.message, why);
    return true;
  });
}

function resolved(source: string, payload: string, topic?: string): string[][] {
  const { path, query } = new UriTemplate(source).resolve(valuesOf(payload, topic));
  return [[...path], [...query]];
}

test('a payload becomes JSON around it: as a number, as text, as a whole JSON value', () => {
  assert.equal(made('{"temp":{{ payload | number }},"unit":"C"}', '25.3'), '{"temp":25.3,"unit":"C"}');
  assert.equal(made('{"temp":{{ json }}}', ' 25.3 '), '{"temp":25.3}');
  assert.equal(made('{"name":"{{ payload }}"}', 'hall'), '{"name":"hall"}');
  assert.equal(made('{"name":{{ payload | json }}}', 'hall'), '{"name":"hall"}');
  assert.equal(made('{"was":{{ json }}}', '{"a":[1,null]}'), '{"was":{"a":[1,null]}}');
  assert.equal(made('{"temp":{{ json }}}\n', '25.3'), '{"temp":25.3}');
  assert.equal(made('{"f":{{ payload | number | times: 1.8 | plus: 32 }}}', '100'), '{"f":212}');
});

test('a template sees topic, levels, fields of JSON, publisher, Content Type and User Properties', () => {
  const source =
    '{{ topic }} {{ levels[1] }} {{ json.a.b }} {{ json["c"][0] }} {{ client }} {{ content_type }} {{ properties.room }}';
  const properties: Properties = {
    contentType: 'application/json',
    userProperties: [
      ['room', 'first'],
      ['room', 'second'],
    ],
  };
  const values = valuesOf('{"a":{"b":1},"c":["x"]}', 'sensor/temp', properties, 'probe');
  assert.equal(payloadTemplate(source, TEXT)(values).toString(), 'sensor/temp temp 1 x probe application/json first');
});

test('for CBOR the JSON that was rendered is converted', () => {
  const source = '{"temp":{{ payload | number }},"place":"{{ levels[0] }}"}';
  const bytes = payloadTemplate(source, CBOR)(valuesOf('25.3', 'kitchen/temp'));
  assert.deepEqual(decode(bytes), { temp: 25.3, place: 'kitchen' });
});

test('a message without the field is a failure, unless the template says what then', () => {
  fails('{"x":{{ json.x }}}', '{"y":1}', /undefined variable: json\.x \(line 1, column 9\)/);
  fails('{{ levels[2] }}', '', /undefined variable: levels\.2/, TEXT);
  fails('{{ client }}', '', /undefined variable: client/, TEXT);
  fails('{{ content_type }}', '', /undefined variable: content_type/, TEXT);
  fails('{{ properties.room }}', '', /undefined variable: properties\.room/, TEXT);
  fails('{{ json.x }}', 'warm', /the payload is not JSON/, TEXT);
  fails('{{ payload }}', Buffer.of(0xff), /the payload is not UTF-8/, TEXT);
  fails('{{ json.x }}', '{"x":null}', /nothing has no text/, TEXT);
  fails('{{ json }}', '{"x":1}', /an object has no text/, TEXT);
  fails('{"x":{{ payload | number }}}', 'warm', /no number/);
  fails('{"x":{{ payload | number }}}', '', /no number/);
  fails('{"x":{{ payload | number }}}', '1e999', /no number/);
  fails('{"x":{{ payload | number | divided_by: 0 }}}', '1', /no number is no JSON/);
  assert.equal(made('{"x":{{ json.x | default: 7 }}}', '{}'), '{"x":7}');
  assert.equal(made('{ {%- if json.x %}"x":{{ json.x }}{% endif -%} }', '{}'), '{}');
});

test('a filter does not make a value of what is none', () => {
  for (const [source, payload, why] of [
    ['{{ payload | plus: 0.5 }}', 'n/a', /what is no number was to be one/],
    ['{{ payload | round }}', 'abc', /what is no number was to be one/],
    ['{{ 7 | minus: payload }}', '', /what is no number was to be one/],
    ['{{ json.x | append: "a" }}', '{"x":{"q":1}}', /an object has no text/],
    ['{{ json.x | append: "a" }}', '{"x":null}', /nothing has no text/],
    ['{{ "a" | append: json.x }}', '{"x":[1]}', /a list has no text/],
    ['{{ json | upcase }}', 'null', /nothing has no text/],
    ['{{ json.l | join }}', '{"l":[1,null]}', /nothing has no text/],
    ['{{ json.l | join }}', '{"l":[1,{"a":1}]}', /an object has no text/],
    ['{{ json.x | first }}', '{"x":null}', /nothing has no text/],
    ['{{ json.x | last }}', '{"x":[]}', /nothing has no text|nothing is no JSON/],
    ['{{ json.x | size }}', '{"x":null}', /nothing has no text/],
    ['{{ json.x | slice: 0, 3 }}', '{"x":{}}', /an object has no text/],
    ['{{ payload | base64_decode }}', '//4=', /what was decoded is no text/],
    ['{{ payload | date: "%Y" }}', 'garbage', /what is no date was to be one/],
  ] as const) {
    fails(source, payload, why, TEXT);
    fails(`"${source}"`, payload, why);
  }
  assert.equal(made('{{ payload | plus: 0.5 | times: "2" | divided_by: 4, true }}', ' 25.5 ', TEXT), '13');
  assert.equal(made('{{ json.l | join: "+" | append: true }}', '{"l":[1,"b",false]}', TEXT), '1+b+falsetrue');
  assert.equal(made('{{ json | first }}{{ json | last }}{{ json | size }}', '[1,2,"c"]', TEXT), '1c3');
  assert.equal(made('{{ payload | slice: 1, 2 }}', 'abcd', TEXT), 'bc');
  assert.equal(made('{{ payload | base64_decode }}', 'w7w=', TEXT), 'ü');
  assert.equal(made('{{ payload | date: "%Y" }}', '2026-11-22T18:00:00Z', TEXT), '2026');
  assert.equal(made('{{ payload | date: "%Y" }}', '0', TEXT), '1970');
});

test('no payload leaves its quotes in JSON, nor adds a member', () => {
  const hostile = [
    '","admin":true,"x":"',
    '\\","admin":true,"x":"\\',
    '"}',
    'a\nb\u0000\u2028',
    '{{ topic }}',
    '{% raw %}',
    '}}',
    '%2F',
    '../..',
    '\ud83d\ude00',
    'constructor',
    '__proto__',
  ];
  for (const payload of hostile) {
    assert.deepEqual(JSON.parse(made('{"name":"{{ payload }}"}', payload)), { name: payload });
    assert.deepEqual(JSON.parse(made('{"name":{{ payload | json }}}', payload)), { name: payload });
    assert.deepEqual(JSON.parse(made('{"name":{{ json | json }}}', JSON.stringify(payload))), { name: payload });
  }
  fails('{"temp":{{ payload }}}', '1,"admin":true', /is no JSON/);
  fails('{"temp":{{ payload }}}', '', /is no JSON/);
  fails('{"temp":{{ json }}}', '"1,\\"admin\\":true"', /is no JSON/);
});

test('names of prototypes are names like others: there only if the message has them', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'prototype']) {
    fails(`{{ json.${name} }}`, '{}', /undefined variable/, TEXT);
    fails(`{{ json["${name}"].constructor }}`, '{}', /undefined variable/, TEXT);
    fails(`{{ properties.${name} }}`, '', /undefined variable/, TEXT);
    fails(`{{ levels.${name} }}`, '', /undefined variable/, TEXT);
    fails(`{{ payload.${name} }}`, 'x', /undefined variable/, TEXT);
    isFault(() => payloadTemplate(`{{ ${name} }}`, TEXT), 1, 4, /there is no variable/);
    assert.equal(made(`{{ json.${name} }}`, `{"${name}":"own"}`, TEXT), 'own');
  }
  made('{{ json.__proto__.polluted }}', '{"__proto__":{"polluted":"yes"}}', TEXT);
  assert.equal(Reflect.get({}, 'polluted'), undefined);
});

test('loops end: by their steps, or by what they make', () => {
  fails('{% for i in (1..100000000) %}{% endfor %}', '', /limit exceeded/, TEXT);
  fails('{% for i in (1..payload) %}x{% endfor %}', '1e300', /limit exceeded/, TEXT);
  fails('{% for i in (1..20000) %}{% endfor %}', '', /more than 5000 steps/, TEXT);
  const nested = '{% for a in json %}{% for b in json %}{% for c in json %}{% endfor %}{% endfor %}{% endfor %}';
  fails(nested, JSON.stringify(new Array(10_000).fill(0)), /more than 5000 steps/, TEXT);
  fails('{% for i in (1..1000) %}{{ payload }}{% endfor %}', 'long'.repeat(1000), /more than 65536 bytes/, TEXT);
  fails('{{ payload | replace: "", payload | size }}', 'x'.repeat(60_000), /limit exceeded/, TEXT);
});

test('a payload of 64 KiB goes through, one byte more or a larger result does not', () => {
  const largest = 'ü'.repeat(MOST_RENDERED / 2);
  assert.equal(made('{{ payload }}', largest, TEXT), largest);
  assert.equal(made('{{ payload }}\n', 'a', TEXT), 'a\n');
  fails('{{ payload }}', `${largest}.`, /the payload has more than 65536 bytes/, TEXT);
  fails('{{ payload }}!', largest, /more than 65536 bytes/, TEXT);
  fails('{"x":"{{ payload }}"}', '"'.repeat(MOST_RENDERED), /more than 65536 bytes/);
  fails('{{ json }}', '['.repeat(30_000) + ']'.repeat(30_000), /./, CBOR);
});

test('a text that is no template says where, and what is not there', () => {
  const parse = (source: string) => () => payloadTemplate(source, TEXT);
  isFault(parse('a\n  {{ payload '), 2, 3, /not closed/);
  isFault(parse('{% if json.x %}'), 1, 1, /not closed/);
  isFault(parse('{% nope %}'), 1, 1, /tag "nope" not found/);
  isFault(parse('{{ payload | nope }}'), 1, 1, /undefined filter: nope/);
  isFault(parse('{\n"x": {{ payloed }}}'), 2, 9, /there is no variable payloed, but topic, levels, payload, json/);
  isFault(parse('{{ json[levle] }}'), 1, 9, /there is no variable levle/);
});

test('a template reads no files and no other templates', () => {
  for (const tag of ['include "a"', 'render "a"', 'layout "a"', 'block a', 'capture a', 'liquid echo topic']) {
    isFault(() => payloadTemplate(`{% ${tag} %}`, TEXT), 1, 1, /not found/);
  }
  isFault(() => payloadTemplate('{{ payload | raw }}', JSON_FORMAT), 1, 1, /undefined filter: raw/);
});

test('each segment of the path and each part of the query is a template of its own', () => {
  assert.deepEqual(resolved('coap://h/{{ levels[0] }}/set?v={{ payload }}&u=%43', '25'), [
    ['sensor', 'set'],
    ['v=25', 'u=C'],
  ]);
  assert.deepEqual(resolved('coap://h/a{{ payload | split: "/?&#" | first }}?{{ topic | slice: 0, 6 }}', 'b/?&#c'), [
    ['ab'],
    ['sensor'],
  ]);
  assert.deepEqual(resolved('coap://h/%7B{% if payload == "on" %}on{% else %}off{% endif %}', 'on'), [['{on'], []]);
  assert.deepEqual(resolved('coap://h?v={{ payload }}', '1'), [[], ['v=1']]);
  assert.deepEqual(resolved('coap://h/?v={{ payload }}', '1'), [[], ['v=1']]);
  assert.deepEqual(resolved('coap://h/a/?v={{ payload }}', '1'), [['a', ''], ['v=1']]);
  assert.deepEqual(resolved('coap://h/b/../c', ''), [['c'], []]);
});

test('no value widens path, query or host', () => {
  for (const value of ['a/b', '%2F', '%2e%2e', '../x', '..%2f', 'a?b', 'a&b=c', '#', '@h:1', '{{ topic }}', '%', 'ü']) {
    assert.deepEqual(resolved('coap://h/x/{{ payload }}/y?q={{ payload }}', value), [
      ['x', value, 'y'],
      [`q=${value}`],
    ]);
    assert.equal(new UriTemplate('coap://h/{{ payload | json }}').uri.host, 'h');
  }
  assert.deepEqual(resolved('coap://h/{{ topic }}', '', 'a/b'), [['a/b'], []]);
  for (const value of ['.', '..']) {
    assert.throws(() => resolved('coap://h/x/{{ payload }}', value), /is \. or \.\./);
    assert.throws(() => resolved('coap://h/x/{{ payload | slice: 0 }}.', '.'), /is \. or \.\./);
  }
  assert.throws(() => resolved('coap://h/{{ payload }}', 'x'.repeat(256)), /more than 255 bytes/);
  assert.throws(() => resolved('coap://h/?{{ payload }}', 'ü'.repeat(128)), /more than 255 bytes/);
  assert.equal(resolved('coap://h/{{ payload }}', 'x'.repeat(255))[0][0].length, 255);
});

/** Text of any characters, among them many that mean something in JSON, URIs and Liquid. */
const hostileText = fc
  .array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom(...'"\\\\{}%/?&#.:,[]|', '{{', '}}', '{%', '%}')))
  .map((parts) => parts.join(''));

test('any text is one value of JSON, one segment and one part of a query', () => {
  const asText = payloadTemplate('{"a":"{{ payload }}","b":{{ json | json }},"c":[{{ payload | json }}]}', JSON_FORMAT);
  const uri = new UriTemplate('coap://h/x/{{ payload }}/y?q={{ payload }}');
  for (const seed of seeds(3)) {
    const property = fc.property(hostileText, (value) => {
      const quoted = JSON.stringify(value);
      const rendered = asText(valuesOf(quoted)).toString();
      assert.deepEqual(JSON.parse(rendered), { a: quoted, b: value, c: [quoted] });
      if (value === '.' || value === '..' || Buffer.byteLength(value) > 253) return;
      const { path, query } = uri.resolve(valuesOf(value));
      assert.deepEqual([path, query], [['x', value, 'y'], [`q=${value}`]]);
    });
    fc.assert(property, { seed, numRuns: 300 });
  }
});

test('host and port cannot be templates; a fault in a URI says its column', () => {
  const parse = (source: string) => () => new UriTemplate(source);
  isFault(parse('coap://{{ levels[0] }}/x'), 1, 8, /host and port cannot be templates/);
  isFault(parse('coap://h:{{ payload }}/x'), 1, 10, /host and port cannot be templates/);
  isFault(parse('coap://h{% if payload %}:1{% endif %}/x'), 1, 9, /host and port cannot be templates/);
  isFault(parse('coap://h/a/{{ nope }}'), 1, 15, /there is no variable nope/);
  isFault(parse('coap://h/a?b&c={{ payload | nope }}'), 1, 16, /undefined filter: nope/);
  isFault(parse('coap://h/{% if payload %}a/b{% endif %}'), 1, 10, /not closed/);
  isFault(parse('coap://h/{{ payload'), 1, 1, /must be encoded/);
  isFault(parse('coap://h/../{{ payload }}'), 1, 9, /no segments \. and \.\./);
});
