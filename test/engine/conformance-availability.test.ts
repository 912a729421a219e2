/** Normative statements of what a broker may leave out, and says in CONNACK: MQTT 5.0 3.2.2.3, 3.1.2.11.6. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SessionOptions } from '../../src/session/environment.js';
import { Engine } from '../support/engine.js';
import { answers, connectBytes, ending, opening, passing, publishBytes, taken } from '../support/statements.js';
import { framed, props, str } from '../wire/table/row.js';

const RETAIN = 1;

async function withEngine(session: Partial<SessionOptions>, use: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await Engine.create({ session });
  try {
    await use(engine);
  } finally {
    await engine.stop();
  }
}

/** A CONNECT of MQTT 5.0 with a will. */
const willing = (flags: string): Buffer => connectBytes(5, flags, str('c'), props(''), str('will'), str('gone'));

describe('Maximum QoS and Retain Available', () => {
  for (const maxQos of [0, 1] as const) {
    test(`a broker of QoS ${maxQos} says so, and takes subscriptions of any QoS [MQTT-3.2.2-9, MQTT-3.2.2-10]`, () =>
      withEngine({ maxQos }, async (engine) => {
        const client = await engine.connect(passing(5, 'c'));
        assert.equal(client.connack.properties?.maximumQoS, maxQos);
        const subscribe = framed(0x82, '0001 00', str('a'), '00', str('b'), '01', str('c'), '02');
        const [suback] = await answers(engine, client, subscribe);
        assert.equal(suback.slice(-6), maxQos === 0 ? '000000' : '000101');
      }));

    test(`a PUBLISH above QoS ${maxQos} ends with 0x9B where that is the most, one at it is taken [MQTT-3.2.2-11]`, () =>
      withEngine({ maxQos }, async (engine) => {
        const client = await engine.connect(passing(5, 'c'));
        taken(client);
        await answers(engine, client, publishBytes(5, maxQos << 1, 't', 1, 'x'));
        client.sendBytes(publishBytes(5, (maxQos + 1) << 1, 't', 1, 'x'));
        assert.equal(await ending(client), 'DISCONNECT 9b');
      }));

    test(`a will above QoS ${maxQos} is refused with 0x9B where that is the most [MQTT-3.2.2-12]`, () =>
      withEngine({ maxQos }, async (engine) => {
        const flags = (qos: number): string => (6 | (qos << 3)).toString(16).padStart(2, '0');
        const { reasonCode } = await opening(engine, 5, willing(flags(maxQos))).expect('connack');
        assert.equal(reasonCode, 0);
        assert.equal(await ending(opening(engine, 5, willing(flags(maxQos + 1)))), 'CONNACK 9b');
      }));
  }

  test('where nothing is left out, CONNACK leaves Maximum QoS and Retain Available out [MQTT-3.2.2-9]', () =>
    withEngine({}, async (engine) => {
      const { properties } = (await engine.connect(passing(5, 'c'))).connack;
      assert.equal(properties?.maximumQoS, undefined);
      assert.equal(properties?.retainAvailable, undefined);
    }));

  test('a broker without retained messages says so and refuses a retained will with 0x9A [MQTT-3.2.2-13]', () =>
    withEngine({ retainAvailable: false }, async (engine) => {
      const client = await engine.connect(passing(5, 'other'));
      assert.equal(client.connack.properties?.retainAvailable, false);
      const { reasonCode } = await opening(engine, 5, willing('06')).expect('connack');
      assert.equal(reasonCode, 0);
      assert.equal(await ending(opening(engine, 5, willing('26'))), 'CONNACK 9a');
    }));

  test('and ends the connection of a retained PUBLISH with 0x9A [MQTT-3.2.2-14]', () =>
    withEngine({ retainAvailable: false }, async (engine) => {
      const client = await engine.connect(passing(5, 'c'));
      taken(client);
      client.sendBytes(publishBytes(5, RETAIN, 't', 0, 'x'));
      assert.equal(await ending(client), 'DISCONNECT 9a');
    }));
});

test('Response Information is told to who asks for it, and to nobody else [MQTT-3.1.2-28]', () =>
  withEngine({ responseInformation: 'answers/%c' }, async (engine) => {
    for (const [properties, expected] of [
      [{ requestResponseInformation: true }, 'answers/c'],
      [{ requestResponseInformation: false }, undefined],
      [{}, undefined],
    ] as const) {
      const { connack } = await engine.connect({ ...passing(5, 'c'), properties });
      assert.equal(connack.properties?.responseInformation, expected);
    }
  }));
