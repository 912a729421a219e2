/**
 * Compiles what is in C into dist, with a C compiler and Node's headers: sockets that take and give CoAP's datagrams in
 * batches, on Linux, and the protection of DTLS's records in one call. Without them Node's own sockets and node:crypto do the
 * same, more slowly. A program of its own, too: `npm run build` runs it behind the compiler of TypeScript.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const FILES = ['src/coap/udp/batches', 'src/coap/dtls/aead'];
// Where a function is missing, loading fails, and not the first call.
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-fPIC', '-shared', '-Wl,-z,now'];

/** Where Node's headers are: beside the program, as its archives and packages have them. */
const headers = join(dirname(dirname(process.execPath)), 'include', 'node');

/** @returns {string | null} why it was not compiled */
export function buildNative() {
  const targets = FILES.map((file) => join(root, 'dist', `${file}.node`));
  // One of another source would not fit to what is compiled beside it.
  for (const target of targets) rmSync(target, { force: true });
  if (process.platform !== 'linux') return 'this is not Linux';
  if (!existsSync(join(headers, 'node_api.h'))) return `there is no node_api.h in ${headers}`;
  const refused = [];
  for (const [i, file] of FILES.entries()) {
    const args = [...FLAGS, `-I${headers}`, join(root, `${file}.c`), '-o', targets[i]];
    const { status, error, stderr } = spawnSync(process.env.CC ?? 'cc', args, { encoding: 'utf8' });
    if (error !== undefined) return `there is no C compiler (${error.message})`;
    if (status !== 0 || !existsSync(targets[i])) refused.push(`${file}.c was refused:\n${stderr.trim()}`);
  }
  return refused.length === 0 ? null : refused.join('\n');
}

/** Says what is slower than it could be, and why. */
export function tellNative(reason) {
  if (reason !== null) console.error(`portico: CoAP will be slower than it could be: ${reason}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) tellNative(buildNative());
