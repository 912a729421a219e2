/** Numbers of a session's messages in a row: `[start, end)`. */
export class SequenceRange {
  start = 0;
  end = 0;

  set(start: number, end: number): void {
    this.start = start;
    this.end = end;
  }

  holds(sequence: number): boolean {
    return sequence >= this.start && sequence < this.end;
  }

  /** How many of its numbers are at least `from`. */
  countFrom(from: number): number {
    return this.countIn(from, this.end);
  }

  /** How many of its numbers are in `[from, end)`. */
  countIn(from: number, end: number): number {
    return Math.max(0, Math.min(end, this.end) - Math.max(from, this.start));
  }
}
