/** What of the operating system and of the event loop the process holds: it has to come back when clients have gone. */
import { readdirSync } from 'node:fs';

/** Types of `process.getActiveResourcesInfo()` that are told one by one; the rest is `other`. */
export const RESOURCE_TYPES = [
  'TCPSocketWrap',
  'TCPServerWrap',
  'UDPWrap',
  'PipeWrap',
  'Timeout',
  'Immediate',
] as const;

export type ResourceType = (typeof RESOURCE_TYPES)[number] | 'other';

/** The resources at one moment; looked at only if somebody asks, as it takes longer the more connections there are. */
export class Resources {
  #counts: Map<string, number> | null = null;
  #all = 0;

  /** What keeps the event loop alive, of one type. */
  active(type: ResourceType): number {
    const counts = this.#counts ?? this.#count();
    if (type !== 'other') return counts.get(type) ?? 0;
    return this.#all - RESOURCE_TYPES.reduce((sum, known) => sum + (counts.get(known) ?? 0), 0);
  }

  /** Open file descriptors; NaN where there is no /proc. */
  openFiles(): number {
    try {
      return readdirSync('/proc/self/fd').length - 1; // without the one that reads the folder
    } catch {
      return Number.NaN;
    }
  }

  #count(): Map<string, number> {
    const counts = new Map<string, number>();
    const info = process.getActiveResourcesInfo();
    for (const type of info) counts.set(type, (counts.get(type) ?? 0) + 1);
    this.#all = info.length;
    this.#counts = counts;
    return counts;
  }
}
