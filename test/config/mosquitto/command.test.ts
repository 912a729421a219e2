/** The program with a mosquitto.conf: its arguments and exit codes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { porticoMain } from '../../support/portico.js';
import { confWith, folderWith } from './conf.js';

const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PORTICO_')));

function run(...args: string[]) {
  return spawnSync(process.execPath, [porticoMain, ...args], { env: ENV, encoding: 'utf8', timeout: 20_000 });
}

test('--test-config: 0 and a sentence for a right file, 3 and FILE:LINE for a wrong one, as for mosquitto', () => {
  const right = run('-c', confWith('listener 1883 127.0.0.1\nallow_anonymous true\n'), '--test-config');
  assert.equal(right.status, 0, right.stderr);
  assert.equal(right.stdout, 'the configuration is right\n');
  const file = confWith('listener 1883\nmax_qso 1\nmax_inflight_bytes 1000\n');
  const mosquitto = spawnSync('mosquitto', ['-c', file], { encoding: 'utf8', timeout: 20_000 });
  assert.equal(mosquitto.status, 3);
  for (const args of [['--test-config'], ['check'], []]) {
    const { status, stdout, stderr } = run(...args, '-c', file);
    assert.equal(status, 3);
    assert.equal(stdout, '');
    const [first, second] = stderr.split('\n');
    assert.equal(first, `portico: ${file}:2: "max_qso" is not an option of mosquitto.conf; did you mean max_qos?`);
    assert.ok(second.startsWith(`portico: ${file}:3: max_inflight_bytes: not supported yet; `));
  }
});

test('--mosquitto names a mosquitto.conf of any name; -p, -v and check work on it, -d and two files are refused', () => {
  const file = join(folderWith({ settings: 'sys_interval 7\n' }), 'settings');
  const { status, stdout, stderr } = run('check', '--mosquitto', file, '-p', '1999', '-v');
  assert.equal(status, 0, stderr);
  assert.ok(stdout.includes(`interval: 7 # ${file}:1\n`), stdout);
  assert.match(stdout, /port: 1999 # command line -p\n/);
  assert.match(stdout, /level: debug # command line -v\n/);
  assert.match(stdout, /max_inflight: 20 # default of Mosquitto\n/);
  assert.equal(run('-c', file, '--mosquitto', file).status, 3);
  assert.match(run('--mosquitto', file, '-d').stderr, /never forks/);
});

test('portico migrate prints a configuration that portico check takes, and the faults of a file that it cannot', () => {
  const file = confWith('listener 1883 127.0.0.1\nallow_anonymous true\npid_file a\n');
  const { status, stdout } = run('migrate', file);
  assert.equal(status, 0);
  assert.match(stdout, /^# .*:3: pid_file is accepted without effect: /m);
  const yaml = join(dirname(file), 'portico.yaml');
  writeFileSync(yaml, stdout);
  assert.equal(run('check', '-c', yaml).status, 0);
  const wrong = run('migrate', confWith('listener\n'));
  assert.equal(wrong.status, 3);
  assert.equal(wrong.stdout, '');
  assert.match(wrong.stderr, /^portico: .*:1: listener has no port/);
});
