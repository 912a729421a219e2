/** `/.well-known/core` and the collection of topics, where there are many topics (RFC 6690 4.1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, Face } from '../support/coap-face.js';
import { block, blockValue, number, OPT } from './harness.js';

/** Topics listed at the most. */
const MOST = 100;

/** The whole list, block by block. */
async function links(device: Device, uri: string): Promise<string> {
  const parts: Buffer[] = [];
  for (let index = 0; ; index++) {
    const part = await device.ask('get', uri, { options: [[OPT.block2, blockValue(index, false, 1024)]] });
    assert.equal(part.code, '2.05');
    assert.equal(number(part, OPT.contentFormat), 40);
    parts.push(part.payload);
    if (block(part, OPT.block2)?.more !== true) return Buffer.concat(parts).toString();
  }
}

test('who says who it is with a token gets the same lists: that is no filter', async () => {
  const face = await Face.create({ anonymous: false });
  face.engine.broker.publish({ topic: 'a', payload: 'x', qos: 0, retain: true });
  const device = face.device({ identity: 'dtls' });
  const token = String((await device.ask('post', '/mqtt/connection?c=dev')).payload);
  const elsewhere = face.device();
  for (const said of [`c=dev&t=${token}`, `clientid=dev&token=${token}`]) {
    assert.equal(await links(elsewhere, `/ps?${said}`), '</ps/a>;rt="core.ps.data";obs');
    assert.match(await links(elsewhere, `/.well-known/core?${said}`), /^<\/ps>;.*,<\/ps\/a>;/);
    assert.equal(
      await links(elsewhere, `/.well-known/core?${said}&rt=portico.topics`),
      '</ps>;rt="portico.topics";ct=40',
    );
  }
  assert.equal((await elsewhere.ask('get', '/ps')).code, '4.01');
  await face.stop();
});

test('coap.listed: a query finds what it asks for among more topics than a list has; a list without one is cut, counted and told', async () => {
  const face = await Face.create({ listed: MOST });
  for (let index = 0; index < 1_200; index++) {
    face.engine.broker.publish({ topic: `many/${index}`, payload: 'x', qos: 0, retain: true });
  }
  const device = face.device();
  for (let index = 0; index < 1_200; index += 100) {
    const link = `</ps/many/${index}>;rt="core.ps.data";obs`;
    assert.equal(await links(device, `/.well-known/core?href=/ps/many/${index}`), link);
    assert.equal(await links(device, `/ps?href=/ps/many/${index}`), link);
  }
  // 119 and 1190 to 1199.
  assert.equal((await links(device, '/.well-known/core?href=/ps/many/119*')).split(',').length, 11);
  assert.deepEqual([face.engine.broker.counters.cutCoapLists, face.limits], [0, []]);
  assert.equal((await links(device, '/ps')).split(',').length, MOST);
  assert.deepEqual([face.engine.broker.counters.cutCoapLists, face.limits], [1, ['coap.listed']]);
  assert.equal(await links(device, '/ps?rt=other'), '');
  assert.equal((await links(device, '/.well-known/core?rt=core.ps.data&obs=*')).split(',').length, MOST);
  await face.stop();
});
