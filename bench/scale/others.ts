/** How much of the machine's processors went to processes that are no part of the benchmark. */
import { readFileSync } from 'node:fs';

/** Clock ticks of a second in /proc (USER_HZ). */
export const TICKS = 100;

/** Ticks of user and system time of all processors. */
function busy(): number {
  const [, user, nice, system] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/).map(Number);
  return user! + nice! + system!;
}

/** Ticks of a process; with `reaped`, of its children that have ended too (proc(5), stat 14 to 17). */
export function used(pid: number | 'self', reaped: boolean): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [own, ownSystem, children, childrenSystem] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15);
  const ended = reaped ? Number(children) + Number(childrenSystem) : 0;
  return Number(own) + Number(ownSystem) + ended;
}

export class Others {
  readonly #began = performance.now();
  readonly #before = busy() - used('self', true);

  /**
   * Share of one core that others took since the beginning.
   * @param pid a child that is alive and was not at the beginning; 0 for none
   */
  share(pid: number): number {
    const theirs = busy() - used('self', true) - (pid === 0 ? 0 : used(pid, false)) - this.#before;
    const seconds = (performance.now() - this.#began) / 1000;
    return Math.max(0, theirs / TICKS / seconds);
  }
}
