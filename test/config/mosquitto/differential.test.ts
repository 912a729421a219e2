/** Debian's mosquitto and Portico on the same small files: whether they are accepted, and with which exit code not. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { test } from 'node:test';
import { readAcl } from '../../../src/access/acl/load.js';
import { PasswordFile } from '../../../src/access/password-file.js';
import { loadConfig } from '../../../src/config/load.js';
import { PorticoError } from '../../../src/errors.js';
import { freePorts } from '../../support/portico.js';
import { confWith } from './conf.js';

/** Why the two differ; Debian has Mosquitto 2.0. */
const NOT_YET = 'not supported yet';
const MADE_STRICT = 'Mosquitto 2.1 refuses it; 2.0 did not look';
const LAST_HOLDS = 'Mosquitto 2.1 takes the last one; 2.0 refuses a second one';
const NEW = 'an option of Mosquitto 2.1';

/** How Mosquitto 2.0 ends without a file of users or rules that is named; anything else that is wrong in a configuration is 3. */
const NO_SUCH_FILE = 13;

interface Case {
  /** `PORT` is a free port. */
  readonly text: string;
  readonly others?: Readonly<Record<string, string>>;
  /** Why Portico does otherwise. */
  readonly differs?: string;
}

const L = 'listener PORT 127.0.0.1\n';
const CASES: readonly Case[] = [
  { text: L },
  { text: `${L}allow_anonymous true\n` },
  { text: `${L}allow_anonymous yes\n` },
  { text: `${L}allow_anonymous true # for now\n` },
  { text: `${L}allow_anonymous\n` },
  { text: `${L}allow_anonymous 1\n` },
  { text: `# a\n\n${L}   \n  max_qos 1\n` },
  { text: `${L} # indented\n` },
  { text: `${L}max_qos 3\n` },
  { text: `${L}max_qos\t1\n` },
  { text: `${L.trimEnd()}\r\nmax_qos 1\r\n\r\n` },
  { text: `${L}max_qos 1` },
  { text: `${L}maximum_qos 1\n` },
  { text: `${L}frobnicate 1\n` },
  { text: `${L}Max_qos 1\n` },
  { text: `${L}sys_interval -1\n` },
  { text: `${L}sys_interval 65536\n` },
  { text: `${L}sys_interval 5\nsys_interval 6\n` },
  { text: `${L}persistence_file a\npersistence_file b\n` },
  { text: `${L}persistence_location @/\n` },
  { text: `${L}pid_file\n` },
  { text: `${L}log_type everything\n` },
  { text: `${L}log_type error\nlog_type notice\n` },
  { text: `${L}log_dest nowhere\n` },
  { text: `${L}log_dest stderr\n` },
  { text: `${L}log_facility 9\n` },
  { text: `${L}protocol http\n` },
  { text: `${L}protocol mqtt\n` },
  { text: 'listener\n' },
  { text: 'listener 65536\n' },
  { text: 'listener -1\n' },
  { text: 'listener 0\n' },
  { text: 'port 0\n' },
  { text: 'port PORT\nbind_address 127.0.0.1\nallow_anonymous true\n' },
  { text: 'mount_point a/\n' },
  { text: `${L}max_packet_size 10\n` },
  { text: `${L}max_keepalive 70000\n` },
  { text: `${L}max_inflight_messages 70000\n` },
  { text: `${L}max_inflight_messages 0\n` },
  { text: `${L}persistent_client_expiration 2w\n` },
  { text: `${L}persistent_client_expiration 2\n` },
  { text: `per_listener_settings true\n${L}allow_anonymous true\n` },
  { text: `per_listener_settings true\nallow_anonymous true\n${L}`, differs: MADE_STRICT },
  { text: `allow_anonymous true\nper_listener_settings true\n${L}` },
  { text: `${L}include_dir @/d\n`, others: { 'd/a.conf': 'max_queued_messages 5\n', 'd/b.txt': 'nonsense\n' } },
  { text: `${L}include_dir @/d\n`, others: { 'd/a.conf': 'nonsense\n' } },
  { text: `${L}include_dir @/d\n`, others: { 'd/a.conf': 'include_dir @/d\n' }, differs: MADE_STRICT },
  { text: `${L}include_dir @/none\n` },
  { text: `${L}address 127.0.0.1\n` },
  { text: `${L}plugin_opt_a b\n` },
  { text: `${L}socket_domain ipv5\n` },
  { text: `${L}socket_domain ipv4\n` },
  { text: `${L}retain_available false\n` },
  { text: `${L}autosave_interval 10\n` },
  { text: `${L}max_topic_alias 70000\n` },
  { text: `${L}acl_file @/a\n`, others: { a: 'topic read a\n' } },
  { text: `${L}acl_file @/a\n`, others: { a: '' } },
  { text: `${L}acl_file a\n`, others: { a: 'user ann\ntopic a\npattern write %c\n' } },
  { text: `${L}acl_file @/none\n` },
  { text: `${L}acl_file none\n` },
  { text: `${L}acl_file\n` },
  { text: `${L}acl_file @/a\n`, others: { a: 'topik a\n' } },
  { text: `${L}acl_file @/a\n`, others: { a: 'topic reed a b\n' } },
  { text: `${L}acl_file @/a\nacl_file @/a\n`, others: { a: '' }, differs: LAST_HOLDS },
  { text: `per_listener_settings true\n${L}acl_file @/a\n`, others: { a: '' } },
  { text: `per_listener_settings true\nacl_file @/a\n${L}`, others: { a: '' }, differs: MADE_STRICT },
  { text: `${L}password_file @/p\n`, others: { p: '' } },
  { text: `${L}password_file @/none\n` },
  { text: `${L}connection a\naddress 127.0.0.1:1\ntopic #\n`, differs: NOT_YET },
  { text: `${L}queue_qos0_messages true\n` },
  { text: `${L}allow_zero_length_clientid false\n` },
  { text: `${L}clientid_prefixes a b\n` },
  { text: `${L}clientid_prefixes\n` },
  { text: `${L}message_size_limit 100\n` },
  { text: `${L}message_size_limit 268435456\n` },
  { text: `${L}sys_interval five\n`, differs: MADE_STRICT },
  { text: `${L}max_topic_alias_broker 5\n`, differs: NEW },
  { text: `${L}global_max_connections 5\n`, differs: NEW },
];

/** Whether mosquitto comes to run; else its exit code. */
function mosquittoOn(file: string): Promise<true | number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('mosquitto', ['-v', '-c', file], { cwd: dirname(file), stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    let accepted = false;
    const read = (chunk: Buffer): void => {
      log += chunk.toString();
      if (!/ running$/m.test(log)) return;
      accepted = true;
      child.kill('SIGKILL');
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('close', (code) => resolve(accepted || code));
  });
}

/** Whether Portico takes the file; else the exit code with which it would end. */
async function porticoOn(file: string): Promise<true | number> {
  try {
    const { access } = loadConfig({ file, env: {} }).config;
    // A relative path starts at the working directory, which the two have in common.
    const at = (path: string): string => resolve(dirname(file), path);
    if (access.password_file !== undefined) await PasswordFile.load(at(access.password_file));
    if (access.acl_file !== undefined) await readAcl({ acl_file: at(access.acl_file) });
    return true;
  } catch (error) {
    assert.ok(error instanceof PorticoError, error as Error);
    return error.kind.exitCode ?? 1;
  }
}

for (const { text, others = {}, differs } of CASES) {
  const name =
    JSON.stringify(text) +
    Object.values(others)
      .map((one) => JSON.stringify(one))
      .join();
  test(`mosquitto and Portico ${differs === undefined ? 'agree' : `differ (${differs})`} on ${name}`, async () => {
    const { mqtt: port } = await freePorts();
    const file = confWith(text.replaceAll('PORT', String(port)), others);
    const ours = await porticoOn(file);
    const theirs = await mosquittoOn(file);
    if (differs === undefined) assert.equal(ours, theirs === NO_SUCH_FILE ? 3 : theirs);
    else assert.notEqual(ours === true, theirs === true, 'the difference is gone: take the reason out');
  });
}
