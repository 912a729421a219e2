/**
 * How much the bus has done: nodes and members looked at, and deliveries. Whoever feeds it compares two readings, so
 * that no client's packets keep the event loop from the others.
 */
export class Work {
  /** Since start; a unit is well below a microsecond, a delivery somewhat more. */
  done = 0;
}
