/** A listener of `listeners` that is a Unix socket. */
import { z } from 'zod';
import { documentation } from './documentation.js';

/** Bytes of the longest path of a Unix socket on Linux. */
const LONGEST = 107;

/** Options of a listener on a Unix socket, besides those of every listener of MQTT. */
export const unixSocket = {
  type: z.literal('unix').register(documentation, {
    doc: 'MQTT over a Unix socket, for programs of this machine. The permissions of its file say who may connect.',
    since: '0.1.0',
  }),
  path: z
    .string()
    .min(1)
    .refine((path) => Buffer.byteLength(path) <= LONGEST && !path.includes('\0'))
    .register(documentation, {
      doc:
        'The file of the socket. One that a broker left behind is removed; one that a program listens on stops the start. ' +
        'A relative path starts at the working directory.',
      type: `a path of at most ${LONGEST} bytes`,
      example: '/run/portico/mqtt.sock',
      since: '0.1.0',
    }),
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/)
    .optional()
    .register(documentation, {
      doc: 'Permissions of the file; who may write may connect. Unset: "0660".',
      type: 'three octal digits in quotes, such as "0660"',
      example: '"0660"',
      since: '0.1.0',
    }),
  group: z.string().min(1).optional().register(documentation, {
    doc: 'Name or number of the group that owns the file; the broker’s user has to be one of it. Unset: that of the process.',
    example: 'mqtt',
    since: '0.1.0',
  }),
};
