/** `portico passwd` as a process, and its files between Portico and Mosquitto. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PasswordFile } from '../../src/access/password-file.js';
import { freePorts, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { tryPublish } from './mosquitto.js';
import { type Finished, Program, run, sourceFile } from './programs.js';

let count = 0;
const folder = temporaryFolder();

function newFile(): string {
  return join(folder, `passwords-${++count}`);
}

/** `portico passwd` with this standard input. */
function passwd(args: readonly string[], input: string | Buffer = ''): Promise<Finished> {
  return run(process.execPath, [porticoMain, 'passwd', ...args], input);
}

async function succeed(args: readonly string[], input: string | Buffer = ''): Promise<void> {
  const { code, stdout, stderr } = await passwd(args, input);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.length, 0);
}

async function knows(file: string, user: string, password: string | Buffer): Promise<boolean> {
  return (await PasswordFile.load(file)).verify(user, password);
}

describe('portico passwd', { timeout: 120_000 }, () => {
  test('takes the password from standard input: bytes as they are, without the line end, once or twice', async () => {
    const file = newFile();
    for (const [input, password] of [
      ['correct horse', 'correct horse'],
      ['correct horse\n', 'correct horse'],
      ['correct horse\r\n', 'correct horse'],
      ['correct horse\ncorrect horse\n', 'correct horse'],
      [' x \n', ' x '],
      [Buffer.from([0x73, 0xff, 0x0a]), Buffer.from([0x73, 0xff])],
    ] as const) {
      await succeed(['-c', file, 'alice'], input);
      assert.equal(await knows(file, 'alice', password), true);
    }
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('refuses what it cannot take with exit code 3, and repeats no password', async () => {
    const file = newFile();
    await succeed(['-c', '-b', file, 'alice', 'x']);
    const before = readFileSync(file, 'utf8');
    for (const [args, input, sentence] of [
      [[file, 'alice'], '', /the password is empty/],
      [[file, 'alice'], 'hunter2\nhunter3\n', /more than one line/],
      [[file, 'alice'], 'hunter2\nhunter2\nhunter2\n', /more than one line/],
      [[file, 'alice'], 'hunter2'.repeat(20_000), /longer than a password/],
      [[file, 'alice', 'hunter2'], '', /takes two words/],
      [['-b', file, 'alice', 'hunter2', 'hunter2'], '', /-b takes three words/],
      [['-b', '--hunter2', file, 'alice'], '', /unknown option/],
      [['-U', `${file}-none`], '', /there is none of that name/],
      [['-U', folder], '', /it is a folder|it is no file/],
    ] as const) {
      const { code, stdout, stderr } = await passwd(args, input);
      assert.equal(code, 3, stderr);
      assert.equal(stdout.length, 0);
      assert.match(stderr, sentence);
      assert.doesNotMatch(stderr, /hunter|\n {4}at /);
    }
    assert.equal(readFileSync(file, 'utf8'), before);
  });

  test('asks twice on a terminal, and the password does not show', async () => {
    const file = newFile();
    const onTerminal = async (...answers: string[]): Promise<{ shown: string; code: number }> => {
      const script = sourceFile('test/interop/python/terminal.py');
      const program = [process.execPath, porticoMain, 'passwd', '-c', file, 'alice'];
      const { stdout } = await run('/usr/bin/python3', ['-B', script, JSON.stringify(answers), ...program]);
      const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
      assert.doesNotMatch(shown, /hunter/);
      return { shown, code };
    };
    const good = await onTerminal('hunter2\r', 'huntex\u007fr2\r');
    assert.equal(good.code, 0, good.shown);
    assert.match(good.shown, /^Password of alice: \r\nThe same again: \r\n/);
    assert.equal(await knows(file, 'alice', 'hunter2'), true);
    const different = await onTerminal('hunter2\r', 'hunter3\r');
    assert.deepEqual([different.code, /the two passwords differ/.test(different.shown)], [3, true]);
    const left = await onTerminal('\u0003');
    assert.deepEqual([left.code, /no password was given/.test(left.shown)], [3, true]);
    assert.equal(await knows(file, 'alice', 'hunter2'), true);
  });

  test('a file that mosquitto_passwd has made is changed by it, and the other way round with --mosquitto', async () => {
    const file = newFile();
    const mosquitto = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await run('mosquitto_passwd', args);
      assert.equal(code, 0, stderr);
    };
    await mosquitto('-c', '-b', file, 'alice', 'one');
    await mosquitto('-H', 'sha512', '-b', file, 'bob', 'two');
    await succeed(['-b', file, 'carol', 'three']);
    await succeed(['--mosquitto', '-b', file, 'dave', 'four']);
    assert.match(
      readFileSync(file, 'utf8'),
      /^alice:\$7\$101\$.*\nbob:\$6\$.*\ncarol:\$scrypt\$.*\ndave:\$7\$10000\$.*\n$/,
    );
    await mosquitto('-b', file, 'erin', 'five');
    await mosquitto('-D', file, 'alice');
    for (const [user, password] of Object.entries({ bob: 'two', carol: 'three', dave: 'four', erin: 'five' })) {
      assert.equal(await knows(file, user, password), true, user);
    }
    assert.equal(await knows(file, 'alice', 'one'), false);
  });

  test('the broker lets users of portico passwd in, and a file with an absurd cost stops its start with its line', async () => {
    const file = newFile();
    await succeed(['-c', '-b', file, 'alice', 'correct horse']);
    const portico = await Portico.start({ access: { password_file: file } });
    for (const [password, outcome] of [
      ['correct horse', 0],
      ['correct horsf', 1],
    ] as const) {
      const args = ['-q', '1', '-t', 'x', '-m', 'x', '-u', 'alice', '-P', password];
      const { code } = await tryPublish(portico.ports.mqtt, 'mqttv5', args);
      assert.equal(code === 0 ? 0 : 1, outcome);
    }
    await portico.stop();
    writeFileSync(file, `# users\n${readFileSync(file, 'utf8').replace('ln=14', 'ln=30')}`);
    await assert.rejects(portico.restart(), (error: Error) => {
      assert.ok(error.message.includes(`${file}:2: the hash takes too much to check`), error.message);
      return true;
    });
  });

  test('Mosquitto lets the users of portico passwd --mosquitto in', async () => {
    const own = join(folder, 'mosquitto');
    mkdirSync(own);
    const file = join(own, 'passwords');
    writeFileSync(file, 'bob:in the clear\n');
    await succeed(['--mosquitto', '-U', file]);
    await succeed(['--mosquitto', '-b', file, 'alice', 'пароль: x']);
    const { mqtt: port } = await freePorts();
    const conf = join(own, 'mosquitto.conf');
    writeFileSync(conf, `listener ${port} 127.0.0.1\nallow_anonymous false\npassword_file ${file}\nuser root\n`);
    // It may drop its rights before it reads the file.
    chmodSync(own, 0o755);
    chmodSync(file, 0o644);
    const mosquitto = await Program.start('/usr/sbin/mosquitto', ['-c', conf]);
    const attempt = async (user: string, password: string): Promise<string> => {
      const args = ['-q', '1', '-t', 'x', '-m', 'x', '-u', user, '-P', password];
      for (;;) {
        const { code, stderr } = await tryPublish(port, 'mqttv5', args);
        // Until it listens.
        if (!/Connection refused/.test(stderr)) return code === 0 ? 'in' : stderr;
      }
    };
    assert.equal(await attempt('alice', 'пароль: x'), 'in');
    assert.equal(await attempt('bob', 'in the clear'), 'in');
    assert.match(await attempt('alice', 'wrong'), /not authori[sz]ed/i);
    await mosquitto.end();
  });
});
