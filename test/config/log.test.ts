import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JournalLog } from '../../src/monitor/journal-log.js';
import { createLogger } from '../../src/monitor/log.js';

/** A logger and the lines that it has written. */
function recording(level: 'error' | 'warn' | 'info' | 'debug', format: 'auto' | 'pretty' | 'json') {
  const lines: string[] = [];
  const logger = createLogger({ level, format }, { write: (line: string) => void lines.push(line) });
  return { logger, lines };
}

test('json lines have a level in words, a time and the sentence', () => {
  const { logger, lines } = recording('info', 'json');
  logger.info({ client: 'c' }, 'hello');
  const line = JSON.parse(lines[0]);
  assert.deepEqual(Object.keys(line), ['level', 'time', 'client', 'msg']);
  assert.equal(line.level, 'info');
  assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(line.msg, 'hello');
});

test('what is less important than the level is not written', () => {
  const { logger, lines } = recording('warn', 'json');
  logger.debug('1');
  logger.info('2');
  logger.warn('3');
  logger.error('4');
  assert.equal(lines.length, 2);
});

test('passwords never reach the log', () => {
  for (const format of ['json', 'pretty'] as const) {
    const { logger, lines } = recording('debug', format);
    const secrets = {
      password: 'hunter2',
      psk: 'hunter2',
      token: 'hunter2',
      secret: 'hunter2',
      authorization: 'hunter2',
    };
    logger.info({ ...secrets, packet: secrets }, 'connected');
    assert.match(lines.join(''), /connected/);
    assert.doesNotMatch(lines.join(''), /hunter2/);
  }
});

test('pretty lines are written at once, with the sentence and the stack of an error', () => {
  const { logger, lines } = recording('info', 'pretty');
  logger.info({ client: 'c' }, 'hello');
  assert.equal(lines.length, 1);
  assert.match(lines[0], /INFO.*: hello\n$/);
  logger.error({ err: new Error('boom') }, 'it failed');
  assert.match(lines[1], /it failed[\s\S]*boom[\s\S]*at /);
});

test('what clients have chosen writes no line of its own, and nothing that a terminal obeys', () => {
  const chosen = 'a\n[] WARN: login failed: address 198.51.100.1 transport mqtt\r\u001b[2J\u009b31m\u2028\u202e';
  for (const format of ['json', 'pretty'] as const) {
    const { logger, lines } = recording('info', format);
    const journal = new JournalLog(logger);
    const party = { id: chosen, remote: '192.0.2.1:1', username: chosen, transport: 'mqtt', version: 5 };
    journal.connected(party, false, false, 60);
    journal.denied(party, 'publish', chosen, 'no rule allows it');
    journal.disconnected(party, chosen);
    journal.refused(party, chosen);
    journal.loginFailed(party, chosen, 'password');
    assert.equal(lines.length, 5);
    for (const line of lines) {
      assert.equal(line.split(/[\n\r]/).length, 2, 'one line, and its end');
      assert.ok(!line.includes('\u001b'));
      if (format === 'pretty') assert.doesNotMatch(line.trimEnd(), /[\p{Cc}\u2028\u202e]/u);
    }
  }
});

test('a timed sync that fails is no matter of acknowledgements: the log says what a power cut costs, and when it is over', () => {
  const { logger, lines } = recording('info', 'json');
  const journal = new JournalLog(logger);
  journal.syncFailed(new Error('the store', { cause: new Error('Input/output error') }));
  journal.syncFailed(new Error('again'));
  journal.storeFailed(new Error('No space left'));
  journal.syncRecovered(2345);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).msg),
    [
      'a timed sync failed: until one succeeds, a power cut loses what was acknowledged since the last one: Input/output error',
      'the store failed, acknowledgements wait: No space left',
      'timed syncs work again after 2.3 s',
    ],
  );
});

test('a fault of the broker is told as what it is, with its stack, and what it has held up', () => {
  const { logger, lines } = recording('info', 'json');
  const journal = new JournalLog(logger);
  const fault = new TypeError('of our own');
  journal.internalFault(fault, true);
  journal.internalFault(new Error('within the same second'), true);
  journal.storeRecovered({ faulty: true, milliseconds: 2345, refused: 3 });
  journal.storeRecovered({ faulty: false, milliseconds: 2345, refused: 3 });
  const [line, ...others] = lines.map((text) => JSON.parse(text));
  const words = 'internal fault of the broker, nothing is written and acknowledgements wait: of our own';
  assert.deepEqual([line.level, line.msg, line.err.stack], ['error', words, fault.stack]);
  assert.deepEqual(
    others.map(({ msg }) => msg),
    [
      'the internal fault is over: changes are written again after 2.3 s; 3 packets were refused meanwhile',
      'the store works again after 2.3 s; 3 packets were refused meanwhile',
    ],
  );
});

test('auto means json where there is no terminal', () => {
  const { logger, lines } = recording('info', 'auto');
  logger.info('hello');
  assert.equal(JSON.parse(lines[0]).msg, 'hello');
});
