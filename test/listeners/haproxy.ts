/** HAProxy of Debian in front of a listener. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../interop/programs.js';
import { freePorts, temporaryFolder } from '../support/portico.js';

export interface HaproxyOptions {
  /** `tcp` for MQTT, `http` for WebSocket. */
  readonly mode: 'tcp' | 'http';
  /** Where it sends connections. */
  readonly to: string;
  /** What it sends in front of them, such as `send-proxy`. */
  readonly sends: string;
  /** Words behind its own address, such as those of TLS. */
  readonly bind?: string;
  /** Further lines of the front. */
  readonly lines?: readonly string[];
}

/** Starts it; returns the port of 127.0.0.1 that it listens on. */
export async function startHaproxy({ mode, to, sends, bind = '', lines = [] }: HaproxyOptions): Promise<number> {
  const { mqtt: port } = await freePorts();
  const file = join(temporaryFolder(), 'haproxy.cfg');
  const text = [
    'global',
    '  log stdout format raw daemon',
    'defaults',
    `  mode ${mode}`,
    '  timeout connect 5s',
    '  timeout client 60s',
    '  timeout server 60s',
    'frontend front',
    `  bind 127.0.0.1:${port} ${bind}`,
    ...lines.map((line) => `  ${line}`),
    '  default_backend broker',
    'backend broker',
    `  server portico ${to} ${sends}`,
    '',
  ];
  writeFileSync(file, text.join('\n'));
  // Its master says when the worker listens.
  const program = await Program.start('/bin/sh', ['-c', `exec /usr/sbin/haproxy -W -db -f ${file} 2>&1`]);
  await program.lines.take((line) => line.includes('Loading success'), 'the start of haproxy');
  return port;
}
