/**
 * What a broker asked of the operating system, call by call, as strace wrote it down: the order of its lines is an order
 * in which the calls may have happened. A call that took effect between two lines began at the one and ended at the other.
 */
import { readFileSync } from 'node:fs';

const CALLS = [
  'open,openat,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,accept,accept4',
  'fsync,fdatasync,sync_file_range,fallocate,truncate,ftruncate,copy_file_range,sendfile,io_uring_setup',
  'rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir',
].join(',');

/** The program and arguments that run what follows them and write its trace to a file. It stays its parent's child. */
export function tracer(file: string): string[] {
  return ['strace', '-D', '-f', '-q', '--seccomp-bpf', '-s', '16777216', '-o', file, '-e', `trace=${CALLS}`];
}

/** One system call. */
export interface Call {
  readonly name: string;
  /** As strace writes them. */
  readonly args: string;
  /** What it returned; negative if it failed. */
  readonly result: number;
  /** Lines of the trace. */
  readonly begin: number;
  readonly end: number;
}

const LINE = /^(\d+) +(.*)$/s;
const RESUMED = /^<\.\.\. \w+ resumed>(.*)$/s;
const UNFINISHED = ' <unfinished ...>';
const WHOLE = /^(\w+)\((.*)\) += (-?\d+)(?: .*)?$/s;

/** The calls that came to an end, by their ends. */
export function readTrace(file: string): Call[] {
  const calls: Call[] = [];
  const begun = new Map<string, { readonly text: string; readonly line: number }>();
  for (const [at, line] of readFileSync(file, 'latin1').split('\n').entries()) {
    const [, thread, said] = LINE.exec(line) ?? ['', '', ''];
    if (said === '' || said.startsWith('---') || said.startsWith('+++')) continue;
    const rest = RESUMED.exec(said);
    if (rest === null && said.endsWith(UNFINISHED)) {
      begun.set(thread, { text: said.slice(0, -UNFINISHED.length), line: at });
      continue;
    }
    const start = rest === null ? undefined : begun.get(thread);
    const text = (start?.text ?? '') + (rest === null ? said : rest[1]);
    const [, name, args, result] = WHOLE.exec(text) ?? [];
    // A thread that dies in a call has no result: `= ?`.
    if (name === undefined) continue;
    calls.push({ name, args, result: Number(result), begin: start?.line ?? at, end: at });
  }
  return calls;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', v: '\v', f: '\f', '"': '"', '\\': '\\' };

function plain(text: string): string {
  return text.replace(/\\([0-7]{1,3}|.)/gs, (_, escaped: string) => {
    return ESCAPES[escaped] ?? String.fromCharCode(Number.parseInt(escaped, 8));
  });
}

/** The strings among the arguments that `before` precedes, as bytes. */
function strings(args: string, before: string): Buffer[] {
  const found: Buffer[] = [];
  for (let at = args.indexOf(`${before}"`); at >= 0; at = args.indexOf(`${before}"`, at)) {
    const start = at + before.length + 1;
    let end = args.indexOf('"', start);
    while (escaped(args, end)) end = args.indexOf('"', end + 1);
    if (args.startsWith('...', end + 1)) throw new Error('the trace leaves out bytes');
    found.push(Buffer.from(plain(args.slice(start, end)), 'latin1'));
    at = end + 1;
  }
  return found;
}

/** Whether an odd number of backslashes stands before a character. */
function escaped(text: string, at: number): boolean {
  let before = at;
  while (text[before - 1] === '\\') before--;
  return (at - before) % 2 === 1;
}

const known = new WeakMap<Call, Buffer>();

/** The bytes that a call was given, in the order of its buffers. */
export function bytesOf(call: Call): Buffer {
  let bytes = known.get(call);
  if (bytes === undefined) {
    bytes = Buffer.concat(strings(call.args, /v2?$|msg$/.test(call.name) ? 'iov_base=' : ''));
    known.set(call, bytes);
  }
  return bytes;
}

/** The paths that a call was given. */
export function pathsOf({ args }: Call): string[] {
  return strings(args, '').map(String);
}

/** The number that an argument is, such as a file descriptor. */
export function numberOf({ args }: Call, index = 0): number {
  return Number(args.split(',')[index]);
}

/** Bytes on their way to a client. */
export interface Sent {
  /** Line of the trace at which the operating system was given them: a client may have had them from here on. */
  readonly line: number;
  readonly bytes: Buffer;
}

/** What left through each accepted connection, in the order of the connections, and through sockets for datagrams. */
export function sentBytes(calls: readonly Call[]): { connections: Sent[][]; datagrams: Sent[] } {
  const connections: Sent[][] = [];
  const datagrams: Sent[] = [];
  const open = new Map<number, Sent[]>();
  const byBegin = [...calls].sort((a, b) => order(a) - order(b));
  for (const call of byBegin) {
    if (call.result < 0) continue;
    if (call.name === 'accept4' || call.name === 'accept') {
      const connection: Sent[] = [];
      connections.push(connection);
      open.set(call.result, connection);
    } else if (call.name === 'close') open.delete(numberOf(call));
    else if (/^send|^writev?$/.test(call.name)) {
      const connection = open.get(numberOf(call)) ?? (call.name.startsWith('sendm') ? datagrams : null);
      // `sendmmsg` returns a number of messages; the broker's datagrams go out whole.
      const length = call.name === 'sendmmsg' ? Number.POSITIVE_INFINITY : call.result;
      connection?.push({ line: call.begin, bytes: bytesOf(call).subarray(0, length) });
    }
  }
  return { connections, datagrams };
}

/** What a call gives away it gives at its beginning; what it brings is there at its end. */
const order = ({ name, begin, end }: Call): number => (name.startsWith('accept') ? end : begin);
