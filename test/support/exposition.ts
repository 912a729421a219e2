/** A strict reader of what Prometheus scrapes: the text format 0.0.4, and OpenMetrics 1.0 as far as it differs. */
import assert from 'node:assert/strict';

export interface Family {
  readonly kind: string;
  readonly help: string;
  /** By labels as they are written, such as `cause="expired"`; empty for none. */
  readonly values: ReadonlyMap<string, number>;
}

const HELP = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/;
const TYPE = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge)$/;
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.+)\})? (\S+)$/;
const LABELS = /^[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*")*$/;
const EOF = '# EOF';

/**
 * Reads a scrape. Each metric must have HELP, TYPE and its samples, in this order and in one piece; names and labels
 * must not come twice, and values must be finite.
 * @param type the Content-Type of the answer
 */
export function readExposition(text: string, type: string): Map<string, Family> {
  const openMetrics = type.startsWith('application/openmetrics-text; version=1.0.0');
  assert.ok(openMetrics || type.startsWith('text/plain; version=0.0.4'), type);
  assert.ok(text.endsWith('\n'));
  let lines = text.slice(0, -1).split('\n');
  if (openMetrics) assert.equal(lines.pop(), EOF);
  else lines = lines.filter((line) => line !== '');
  const families = new Map<string, Family>();
  while (lines.length > 0) {
    const [, name, help] = HELP.exec(lines.shift() ?? '') ?? assert.fail(`no HELP before ${lines[0]}`);
    const [, typed, kind] = TYPE.exec(lines.shift() ?? '') ?? assert.fail(`no TYPE for ${name}`);
    assert.equal(typed, name);
    assert.ok(!families.has(name), `${name} comes twice`);
    const values = new Map<string, number>();
    const sampleName = openMetrics && kind === 'counter' ? `${name}_total` : name;
    while (lines.length > 0 && !lines[0].startsWith('#')) {
      const line = lines.shift() ?? '';
      const [, sample, labels = '', value] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
      assert.equal(sample, sampleName);
      if (labels !== '') assert.match(labels, LABELS);
      assert.ok(!values.has(labels), `${name}{${labels}} comes twice`);
      // There is no number: as Go, and so Prometheus, reads it.
      assert.ok(value === 'Nan' || (Number.isFinite(Number(value)) && value !== ''), line);
      values.set(labels, Number(value));
    }
    assert.ok(values.size > 0, `${name} has no value`);
    families.set(name, { kind, help, values });
  }
  return families;
}
