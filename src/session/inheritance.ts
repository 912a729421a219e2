/**
 * What an ended session leaves to its shared subscriptions: the messages that it was chosen for and has not acknowledged
 * go to other members (MQTT 5.0 4.8.2). A QoS 2 message whose delivery has begun does not [MQTT-4.8.2-5].
 *
 * A kept session leaves its queue and flow state in the store, without a session. Segment after segment is taken from
 * there, in one commit with what the other members get of it, so that a crash neither loses nor doubles a message.
 */
import type { Message } from '../bus/message.js';
import { Publication } from '../bus/publication.js';
import { Family, flowKey, parseQueueKey, sessionRange } from '../store/keys.js';
import { decodeFlow, type FlowRecord } from '../store/records.js';
import type { Environment } from './environment.js';
import { nextRecord, RecordView } from './queue-record.js';
import { areSegmentRecords, DamagedSegment } from './segment.js';

/** Bytes of queued messages that are passed on before the store is waited for. */
const BATCH_BYTES = 256 * 1024;

/** A message and the shared subscription that it came by. */
export interface SharedMessage {
  readonly share: string;
  readonly message: Message;
}

/** Hands messages to the members that their groups have now; without any, they are gone with their session. */
export function passOn(environment: Environment, left: Iterable<SharedMessage>): void {
  const { router, clock } = environment;
  const now = clock.now();
  for (const { share, message } of left) {
    if (message.expiresAt > 0 && message.expiresAt <= now) continue;
    const publication = new Publication().of(message, router.routeOf(message.topic));
    router.shared.get(share)?.deliver(publication);
  }
}

/** Passes on what stands in the store under the number of an ended session, and deletes it. */
export async function inherit(environment: Environment, number: number): Promise<void> {
  const { store, commit, journal } = environment;
  const value = await store.get(flowKey(number));
  const reader = environment.sessions.reader();
  const flow = value === undefined ? null : reader.read(flowKey(number), value, decodeFlow);
  await reader.finish();
  let bytes = 0;
  for await (const [key, segment] of store.entries(sessionRange(Family.Queue, number))) {
    if (flow !== null) {
      if (areSegmentRecords(segment, parseQueueKey(key).count)) passOn(environment, sharedOf(key, segment, flow));
      else if (store.setAside === undefined) {
        journal.storeFailed(new DamagedSegment('a queue segment of an ended session does not parse'));
      } else await store.setAside([{ key, value: segment, why: 'a queue segment does not parse' }]);
    }
    commit.add({ type: 'del', key });
    bytes += segment.length;
    if (bytes < BATCH_BYTES) continue;
    bytes = 0;
    // The queue may be longer than memory.
    await commit.settled();
  }
  if (value !== undefined) commit.add({ type: 'del', key: flowKey(number) });
}

/** The shared messages of a stored segment that another client may get. */
function* sharedOf(key: Buffer, value: Buffer, flow: FlowRecord): Iterable<SharedMessage> {
  const { first, count } = parseQueueKey(key);
  const settled = new Set(flow.exceptions.map(({ sequence }) => sequence));
  const view = new RecordView();
  for (let sequence = first, at = 1; sequence < first + count; sequence++, at = nextRecord(value, at)) {
    view.read(value, at);
    if (view.share.length === 0 || sequence < flow.base || settled.has(sequence)) continue;
    if (sequence >= flow.droppedStart && sequence < flow.droppedEnd) continue;
    if (view.qos === 2 && sequence < flow.sent) continue;
    yield { share: view.share.utf8Slice(), message: view.message() };
  }
}
