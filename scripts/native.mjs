/**
 * Compiles what sends and receives CoAP's datagrams in batches (src/coap/udp/batches.c) into dist, on Linux with a C
 * compiler and Node's headers. Without them, Node's own sockets do it: slower, with the same effect. A program of its
 * own, too: `npm run build` runs it behind the compiler of TypeScript.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'coap', 'udp', 'batches.c');
const target = join(root, 'dist', 'src', 'coap', 'udp', 'batches.node');

/** Where Node's headers are: beside the program, as its archives and packages have them. */
const headers = join(dirname(dirname(process.execPath)), 'include', 'node');

/** @returns {string | null} why it was not compiled */
export function buildNative() {
  // One of another source would not fit to what is compiled beside it.
  rmSync(target, { force: true });
  if (process.platform !== 'linux') return 'only Linux has the calls for it';
  if (!existsSync(join(headers, 'node_api.h'))) return `there is no node_api.h in ${headers}`;
  const args = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-fPIC', '-shared', `-I${headers}`, source, '-o', target];
  const { status, error, stderr } = spawnSync(process.env.CC ?? 'cc', args, { encoding: 'utf8' });
  if (error !== undefined) return `there is no C compiler (${error.message})`;
  return status === 0 && existsSync(target) ? null : stderr.trim();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const reason = buildNative();
  if (reason !== null) console.error(`portico: CoAP takes and gives datagrams one by one: ${reason}`);
}
