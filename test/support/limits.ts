/** The limits that a broker says it has reached, by the names of their options. */
import type { Engine } from './engine.js';

/** From here on, the option of each line that the log would get. */
export function limitsOf(engine: Engine): string[] {
  const reached: string[] = [];
  engine.broker.environment.journal.limit = (_party, option) => reached.push(option);
  return reached;
}
