/** The format of mosquitto.conf, and each error case with its file and line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linesOf, textOf, wordsOf } from '../../../src/config/mosquitto/lexer.js';
import { sourceOf } from '../../../src/config/source.js';
import { portOf } from '../configurations.js';
import { faults, load } from './conf.js';

const lines = (text: string) => [...linesOf(text)].map(({ number, name, rest }) => [number, name, rest]);

test('lines: LF and CR LF, comments in the first column, empty ones, spaces in front, no line end at the end', () => {
  assert.deepEqual(lines('# c\n\n\r\n   \na 1\r\n  b  2 \n c\nd x # y'), [
    [5, 'a', '1'],
    [6, 'b', ' 2 '],
    [7, 'c', ''],
    [8, 'd', 'x # y'],
  ]);
  assert.deepEqual(lines(' # c\n'), [[1, '#', 'c']]);
  assert.deepEqual(lines('a\tb\n'), [[1, 'a\tb', '']]);
  assert.deepEqual(lines('a b\0c\n'), [[1, 'a', 'b']]);
});

test('a value is a word or the rest of the line without white space at its ends; quotes mean nothing', () => {
  assert.deepEqual(wordsOf('  a  "b c" '), ['a', '"b', 'c"']);
  assert.equal(textOf(' \t"a  b"\t '), '"a  b"');
});

test('each error of Mosquitto is told with file and line, and a sentence that says what is right', () => {
  const cases: [text: string, fault: string | RegExp][] = [
    ['\n\nmax_qso 1\n', 'mosquitto.conf:3: "max_qso" is not an option of mosquitto.conf; did you mean max_qos?'],
    [' # x\n', 'mosquitto.conf:1: "#" is not an option of mosquitto.conf; a comment begins in the first column'],
    ['sys_interval five\n', 'mosquitto.conf:1: sys_interval is "five"; it must be a whole number from 0 to 65535'],
    ['sys_interval\n', 'mosquitto.conf:1: sys_interval has no value; it must be a whole number from 0 to 65535'],
    ['max_inflight_messages 65536\n', /^mosquitto\.conf:1: .* a whole number up to 65535$/],
    [
      'retain_available ture\n',
      'mosquitto.conf:1: retain_available is "ture"; it must be true or false (did you mean true?)',
    ],
    ['log_type eror\n', /did you mean error\?\)$/],
    ['log_dest sysloog\n', /log_dest is "sysloog"; .*did you mean syslog\?\)$/],
    ['log_dest file\n', 'mosquitto.conf:1: log_dest file has no path'],
    [
      'log_dest file a\nlog_dest file b\n',
      /^mosquitto\.conf:2: log_dest file is written twice; the first one is at .*:1$/,
    ],
    ['pid_file a\npid_file b\n', /^mosquitto\.conf:2: pid_file is written twice; the first one is at .*:1$/],
    ['bind_address ::1\nbind_address ::1\n', /^mosquitto\.conf:2: bind_address is written twice/],
    ['persistent_client_expiration 2\n', /a number with s, h, d, w, m or y behind it$/],
    ['persistent_client_expiration 0d\n', /a number with s, h, d, w, m or y behind it$/],
    ['memory_limit x\n', /it must be a number of bytes$/],
    ['listener\n', 'mosquitto.conf:1: listener has no port; it must be a whole number from 1 to 65535'],
    ['listener 70000\n', 'mosquitto.conf:1: listener has the port "70000"; it must be a whole number from 1 to 65535'],
    ['listener 0\n', 'mosquitto.conf:1: listener 0 needs the path of a Unix socket'],
    [
      'listener 0 /s\nprotocol websockets\n',
      /^mosquitto\.conf:2: protocol websockets: a Unix socket carries plain MQTT/,
    ],
    ['mount_point a/\n', 'mosquitto.conf:1: mount_point belongs to a listener: write it behind a line "listener PORT"'],
    ['topic #\n', 'mosquitto.conf:1: topic belongs to a bridge: write it behind a line "connection NAME"'],
    ['plugin_opt_a b\n', 'mosquitto.conf:1: plugin_opt_a belongs to a plugin: write it behind a line "plugin PATH"'],
    ['connection\n', 'mosquitto.conf:1: connection has no name'],
    ['connection a\naddress b\ntopic #\n', /^mosquitto\.conf:1: connection a: bridges are not supported yet; /],
    [
      'allow_anonymous true\nper_listener_settings true\n',
      /^mosquitto\.conf:2: per_listener_settings has to stand before/,
    ],
    [
      'per_listener_settings true\nallow_anonymous true\n',
      /^mosquitto\.conf:2: allow_anonymous belongs to a listener with/,
    ],
    [
      'listener 1\naccept_protocol_versions 6\n',
      /^mosquitto\.conf:2: accept_protocol_versions: "6" is none of 3, 4, 5$/,
    ],
    ['listener 1\nprotocol http_api\n', /^mosquitto\.conf:2: protocol http_api: not supported yet/],
    ['acl_file\n', 'mosquitto.conf:1: acl_file has no value; it must be text in UTF-8'],
    ['listener 1\ntls_engine a\n', /^mosquitto\.conf:2: tls_engine: not supported yet; let a proxy/],
    ['plugin /x/mosquitto_dynamic_security.so\n', /Portico runs no plugins in C/],
    [
      'sys_interval 1\nplugin /x/mosquitto_acl_file.so\nplugin_opt_password_file a\n',
      'mosquitto.conf:2: plugin mosquitto_acl_file.so needs a line "plugin_opt_acl_file FILE" behind it',
    ],
    ['include_dir\n', 'mosquitto.conf:1: include_dir has no value; it must be a folder'],
    ['include_dir @/none\n', 'mosquitto.conf:1: include_dir: none cannot be read: there is none of that name'],
    ['password_file a\u0001b\n', /it must be text in UTF-8$/],
    ['max_packet_size 100\n', /^mosquitto\.conf:1: mqtt\.max_packet_size is 100; it must be a whole number from 128/],
  ];
  for (const [text, fault] of cases) {
    const [first, ...others] = faults(text);
    if (typeof fault === 'string') assert.equal(first, fault);
    else assert.match(first, fault);
    assert.deepEqual(others, [], text);
  }
});

test('a long word or a long run of spaces takes no time worth speaking of, and a sentence shows its beginning', () => {
  const [fault] = faults(`${'x'.repeat(1_000_000)} 1\n`);
  assert.equal(fault, `mosquitto.conf:1: "${'x'.repeat(80)}…" is not an option of mosquitto.conf`);
  const spaces = ' '.repeat(1_000_000);
  assert.equal(textOf(`${spaces}a${spaces}b${spaces}`), `a${spaces}b`);
});

test('all faults are told at once, in the order in which the lines are read', () => {
  const found = faults('bad\ninclude_dir @/d\nworse\n', {
    'd/b.conf': '\nB\n',
    'd/a.conf': 'A\ninclude_dir x\n',
    'd/c.txt': 'C\n',
  });
  assert.deepEqual(
    found.map((line) => line.slice(0, line.indexOf(' '))),
    ['mosquitto.conf:1:', 'd/a.conf:1:', 'd/a.conf:2:', 'd/b.conf:2:', 'mosquitto.conf:3:'],
  );
});

test('include_dir: files in the order of their bytes, where it stands; the last line of an option holds', () => {
  const others = {
    'd/B.conf': 'sys_interval 1\n',
    'd/a.conf': 'sys_interval 2\nmax_keepalive 7\n',
    'd/.conf': 'nonsense\n',
  };
  const loaded = load('max_keepalive 5\ninclude_dir @/d\n', others);
  assert.equal(loaded.config.sys.interval, 2);
  assert.match(sourceOf(loaded, 'sys.interval'), /d\/a\.conf:1$/);
  assert.equal(load('include_dir @/d\nsys_interval 3\n', others).config.sys.interval, 3);
});

test('a listener ends with its file: an option behind it in the main file belongs to the one there', () => {
  const loaded = load('listener 1 127.0.0.1\ninclude_dir @/d\nprotocol websockets\n', {
    'd/a.conf': 'listener 2 127.0.0.1\n',
  });
  assert.deepEqual(
    loaded.config.listeners.map((listener) => [listener.type, portOf(listener)]),
    [
      ['websocket', 1],
      ['mqtt', 2],
    ],
  );
});

test('what no line says is named as the default of Mosquitto, and what one says as its line', () => {
  const loaded = load('\nmax_inflight_messages 0x10 # hexadecimal\n');
  assert.equal(loaded.config.mqtt.max_inflight, 16);
  assert.equal(loaded.config.mqtt.receive_maximum, 16);
  assert.match(sourceOf(loaded, 'mqtt.receive_maximum'), /mosquitto\.conf:2$/);
  assert.equal(sourceOf(loaded, 'limits.queued_messages'), 'default of Mosquitto');
  assert.equal(load('max_keepalive 010\n').config.mqtt.keepalive_max, 8);
});
