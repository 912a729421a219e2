/** `mqtt.max_topic_levels`. */
import { levelCount } from '../bus/topics.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';

/** Whether a topic name or filter has too many levels; if it has, that is counted and logged. */
export function isTooDeep(environment: Environment, party: Party, topic: string): boolean {
  const levels = levelCount(topic);
  if (levels <= environment.options.maxTopicLevels) return false;
  environment.counters.deepTopics++;
  environment.journal.limit(party, 'mqtt.max_topic_levels', `a topic of ${levels} levels is refused`);
  return true;
}
