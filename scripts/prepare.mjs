/**
 * What `npm start`, `npm test` and `npm run bench` share: each makes ready what it needs, and says in one sentence how
 * to mend what it cannot. Imports nothing but Node and what does so, since it installs the rest.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative, tellNative } from './native.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Folders of administration, which are not on everybody's PATH but hold mosquitto. */
const ADMIN_PATHS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
export const searchPath = [...(process.env.PATH ?? '').split(delimiter), ...ADMIN_PATHS].join(delimiter);

/** Ends the process with a sentence; what is said before the sentence is the output of what failed. */
export function fail(sentence, output = '') {
  if (output.trim() !== '') process.stderr.write(`${output.trimEnd()}\n`);
  process.stderr.write(`portico: ${sentence}\n`);
  process.exit(1);
}

/** Runs a program to its end without input and returns its outcome. */
function run(command, args, options = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    ...options,
  });
  const output = [stdout, stderr, error?.message, signal === null ? '' : `ended by ${signal}`]
    .filter(Boolean)
    .join('\n');
  return { ok: status === 0, output };
}

/** Refuses a Node that is too old for the code, before the code says so in its own words. */
export function requireNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const least = engines.node.replace('>=', '').split('.').map(Number);
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > least[0] || (major === least[0] && minor >= least[1])) return;
  fail(
    `this is Node.js ${process.versions.node}; install Node.js ${least.join('.')} or newer: https://nodejs.org/en/download`,
  );
}

function modified(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

/** Installs the npm packages if they are missing or older than the lock file. */
export function installPackages() {
  // npm writes this file last, so that an installation that was cut short is done again.
  if (modified(join(root, 'node_modules', '.package-lock.json')) >= modified(join(root, 'package-lock.json'))) return;
  console.error('portico: installing npm packages (npm ci)');
  const args = ['ci', '--include=dev', '--loglevel=error'];
  const cli = process.env.npm_execpath ?? '';
  const { ok, output } = basename(cli).startsWith('npm') ? run(process.execPath, [cli, ...args]) : run('npm', args);
  if (!ok) fail('the npm packages could not be installed; mend what is said above, then: npm ci', output);
}

function onPath(program) {
  return searchPath.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian packages that the tests use, and how to tell that one is there. */
const SYSTEM_PACKAGES = new Map([
  ['mosquitto', () => onPath('mosquitto') && onPath('mosquitto_passwd')],
  ['mosquitto-clients', () => onPath('mosquitto_pub') && onPath('mosquitto_sub')],
  ['python3-paho-mqtt', () => run('/usr/bin/python3', ['-c', 'import paho.mqtt.client']).ok],
  ['libcoap3-bin', () => onPath('coap-client-notls')],
  ['openssl', () => onPath('openssl')],
  ['haproxy', () => onPath('haproxy')],
  ['gcc', () => onPath('cc')],
  ['libc6-dev', () => existsSync('/usr/include/stdio.h')],
  ['util-linux', () => onPath('taskset')],
  ['strace', () => onPath('strace')],
]);

function missingPackages() {
  return [...SYSTEM_PACKAGES].filter(([, isThere]) => !isThere()).map(([name]) => name);
}

/** Installs the Debian packages that are missing as root, or names the command that does. */
export function installSystemPackages() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  const names = missing.join(' ');
  const sudo = `sudo apt-get update && sudo apt-get install -y ${names}`;
  if (!onPath('apt-get')) {
    fail(
      `the tests need the Debian packages ${names}, and this system has no apt-get; install what they contain. On Debian: ${sudo}`,
    );
  }
  if (process.getuid?.() !== 0) fail(`the tests need programs that are not installed; install them with: ${sudo}`);
  console.error(`portico: installing Debian packages (apt-get install -y ${names})`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...missing]]) {
    const { ok, output } = run('apt-get', args, { env });
    if (!ok)
      fail(
        `apt-get ${args[0]} failed; mend what is said above, then: apt-get update && apt-get install -y ${names}`,
        output,
      );
  }
  const still = missingPackages();
  if (still.length > 0)
    fail(`${still.join(' ')} installed, but cannot be used; try: apt-get install --reinstall -y ${still.join(' ')}`);
  if (missing.includes('mosquitto') && existsSync('/run/systemd/system')) {
    console.error(
      'portico: Debian has started its mosquitto on port 1883; stop it with: systemctl disable --now mosquitto',
    );
  }
}

/** What the compiler reads; `start` needs only what the broker is made of. */
const SOURCES = {
  start: ['src', 'tsconfig.json', 'package-lock.json'],
  all: ['src', 'test', 'bench', 'tsconfig.json', 'package-lock.json'],
};

/** One value for names, sizes and times of all sources: it changes with every edit, addition and removal. */
function signature(sources) {
  const hash = createHash('sha256');
  const add = (path) => {
    const { mtimeMs, size } = statSync(join(root, path));
    hash.update(`${path}\0${size}\0${mtimeMs}\n`);
  };
  for (const source of sources) {
    if (!statSync(join(root, source)).isDirectory()) {
      add(source);
      continue;
    }
    const entries = readdirSync(join(root, source), { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
    for (const file of files.sort()) add(file.slice(root.length + 1));
  }
  return hash.digest('hex');
}

/**
 * Compiles if a source has changed since the last build that succeeded.
 * @param {keyof typeof SOURCES} scope whose changes count
 */
export function buildIfStale(scope) {
  const dist = join(root, 'dist');
  const stamp = join(dist, '.stamp.json');
  const now = signature(SOURCES[scope]);
  try {
    if (JSON.parse(readFileSync(stamp, 'utf8'))[scope] === now) return;
  } catch {
    // No build yet, or one that was cut short.
  }
  console.error('portico: building');
  // Taken before the compiler reads, so that an edit while it works makes the build stale.
  const signatures = { start: signature(SOURCES.start), all: signature(SOURCES.all) };
  rmSync(dist, { recursive: true, force: true });
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { ok, output } = run(process.execPath, [compiler, '-p', 'tsconfig.json']);
  if (!ok) fail('the build failed; mend what the compiler says above', output);
  tellNative(buildNative());
  writeFileSync(stamp, JSON.stringify(signatures));
}
