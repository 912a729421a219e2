/** `mqtt.max_topic_levels` and `mqtt.max_topic_length`, for topic names and topic filters. */
import { levelCount } from '../bus/topics.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';

/** Whether a topic is longer than the broker takes; that is counted and logged then. */
export function isTooLong(party: Party, topic: string, environment: Environment): boolean {
  if (Buffer.byteLength(topic) <= environment.options.maxTopicLength) return false;
  topicTooLong(party, environment);
  return true;
}

/** Counts and logs that a client has named a topic longer than the broker takes. */
export function topicTooLong(party: Party, { counters, journal }: Environment): void {
  counters.topicsTooLong++;
  journal.limit(party, 'mqtt.max_topic_length', 'a longer topic was refused');
}

/** Whether a topic has more levels than the broker takes; that is counted and logged then. */
export function isTooDeep(party: Party, topic: string, { options, counters, journal }: Environment): boolean {
  const levels = levelCount(topic);
  if (levels <= options.maxTopicLevels) return false;
  counters.deepTopics++;
  journal.limit(party, 'mqtt.max_topic_levels', `a topic of ${levels} levels is refused`);
  return true;
}

/** Whether a topic is longer or has more levels than the broker takes. That is counted and logged then. */
export function exceedsLimits(party: Party, topic: string, environment: Environment): boolean {
  return isTooLong(party, topic, environment) || isTooDeep(party, topic, environment);
}
