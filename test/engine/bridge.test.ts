/** The bridge bit 0x80 of the protocol version, as Mosquitto's bridges send it with MQTT 3.1 and 3.1.1. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';

/** Connects with or without the bridge bit. */
async function connect(engine: Engine, protocolVersion: 3 | 4, bridge: boolean): Promise<RawClient> {
  const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
  const client = engine.open(protocolVersion);
  const packet = generate({ cmd: 'connect', protocolId, protocolVersion, clientId: 'b', clean: true, keepalive: 0 });
  if (bridge) packet[4 + protocolId.length] |= 0x80;
  client.sendBytes(packet);
  assert.equal((await client.expect('connack')).returnCode, 0);
  await client.subscribe('t/#', 0);
  return client;
}

for (const version of [3, 4] as const) {
  for (const bridge of [true, false]) {
    const name = `version ${version} ${bridge ? 'with' : 'without'} the bridge bit`;
    test(`${name}: ${bridge ? 'no echo, RETAIN as published' : 'echo, RETAIN 0 on live messages'}`, async () => {
      const engine = await Engine.create();
      const client = await connect(engine, version, bridge);
      client.publish('t/own', 'x');
      const echo = (await client.drain()).map((packet) => (packet.cmd === 'publish' ? packet.topic : packet.cmd));
      assert.deepEqual(echo, bridge ? [] : ['t/own']);
      engine.broker.publish({ topic: 't/other', payload: 'x', retain: true });
      const { topic, retain } = await client.expect('publish');
      assert.deepEqual([topic, retain], ['t/other', bridge]);
      await engine.stop();
    });
  }
}
