/**
 * A disk whose flushes take long or fail, under a process that runs already: strace delays its calls of fdatasync, or answers
 * them in the place of the system, until it goes.
 */
import { once } from 'node:events';
import { spawnChild } from './portico.js';

const ATTACHED = / attached/;

export class FlushFault {
  readonly #end: () => Promise<void>;

  private constructor(end: () => Promise<void>) {
    this.#end = end;
  }

  /**
   * Resolves when it holds for all threads of the process.
   * @param fault as strace's `inject` has it: `error=EIO`, `delay_enter=MICROSECONDS`
   */
  static async begin(pid: number, fault: string): Promise<FlushFault> {
    const args = ['-f', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', `inject=fdatasync:${fault}`, '-p', `${pid}`];
    const child = spawnChild('strace', args);
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (ATTACHED.test(said)) resolve();
      });
      child.once('error', reject);
      child.once('close', () => reject(new Error(`strace ended: ${said}`)));
    });
    return new FlushFault(async () => {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
    });
  }

  /** The disk is well again, for calls that are under way, too. */
  end(): Promise<void> {
    return this.#end();
  }
}
