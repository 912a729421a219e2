/** One packet with very many filters does not keep the event loop from others. */

/** Filters of one packet that are looked at before others have their turn. */
export const FILTERS_PER_TURN = 1000;

/** Whether others have their turn behind this filter of a packet. */
export function endsTurn(index: number): boolean {
  return index % FILTERS_PER_TURN === FILTERS_PER_TURN - 1;
}
