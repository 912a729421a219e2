/** `store`. */
import { z } from 'zod';
import { documentation, KIB, MIB, whole } from './documentation.js';

export const store = z
  .strictObject({
    type: z.enum(['level', 'memory']).default('level').register(documentation, {
      doc: '`level` keeps sessions, queues and retained messages in `data_dir`; `memory` forgets them when the broker ends.',
      since: '0.1.0',
    }),
    sync: z
      .enum(['always', 'interval', 'never'])
      .default('always')
      .register(documentation, {
        doc:
          'When an acknowledgement may leave. `always`: once the disk has it, so a power cut loses nothing acknowledged. ' +
          '`interval`: once the operating system has it; a power cut loses what was acknowledged since the last flush began, about `store.sync_interval`. ' +
          '`never`: the same, and the operating system chooses when to write. A crash of the broker alone loses nothing ' +
          'acknowledged with any of them.',
        since: '0.1.0',
      }),
    sync_interval: whole(1, 3_600_000).default(1000).register(documentation, {
      doc: 'Time between two flushes to the disk, with `store.sync: interval`.',
      unit: 'milliseconds',
      since: '0.1.0',
    }),
    unwritten_bytes: whole(64 * KIB, Number.MAX_SAFE_INTEGER)
      .default(64 * MIB)
      .register(documentation, {
        doc:
          'Bytes of all clients that wait to be written. Whoever publishes what would be more is not read further until ' +
          'there is room, at an eighth of it for one client; a retained QoS 0 message is delivered, but not kept, and ' +
          'counted. While the disk fails, MQTT 5.0 clients are refused at once with 0x97 instead.',
        unit: 'bytes',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'What survives a restart, and how surely.', since: '0.1.0' });
