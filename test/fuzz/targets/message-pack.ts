/** The values of an Aedes database: any bytes are one value, or refused. */
import { MessagePackError, unpack } from '../../../src/cli/import/message-pack.js';
import type { Target } from '../target.js';

function run(bytes: Buffer): string {
  try {
    const value = unpack(bytes);
    return value instanceof Map ? `map of ${[...value.keys()].length > 0}` : typeof value;
  } catch (error) {
    if (error instanceof MessagePackError) return error.message;
    throw error;
  }
}

export const messagePack: Target = {
  name: 'message-pack',
  scope: ['/src/cli/import/message-pack'],
  longest: 200,
  words: [Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), Buffer.from([0xc6]), Buffer.from([0xcf]), 'topic', 'payload'],
  seeds: () => [
    Buffer.from('84a3636d64a77075626c697368a5746f706963a161a77061796c6f6164c40178a3716f7301', 'hex'),
    Buffer.from('93cb3ff8000000000000d1ff00dc0001c3', 'hex'),
  ],
  run,
};
