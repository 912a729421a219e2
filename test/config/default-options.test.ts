/** What a broker without a configuration takes on, beside what the schema says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from '../../src/config/schema.js';
import { retainedLimits, sessionOptions } from '../../src/server/broker-options.js';
import { DEFAULT_OPTIONS, DEFAULT_RETAINED } from '../../src/session/default-options.js';

test('a broker without a configuration has the defaults of the schema, but for bounds that Aedes does not have', () => {
  const config = configSchema.parse({});
  const unbounded = {
    maxPacketSize: 268_435_460,
    keepaliveMax: 0,
    maxClientIdLength: 65_535,
    memory: 2 ** 30,
    lockoutFailures: 0,
    lockoutAddressFailures: 0,
  };
  assert.deepEqual(DEFAULT_OPTIONS, { ...sessionOptions(config), ...unbounded });
  assert.deepEqual(DEFAULT_RETAINED, retainedLimits(config));
});
