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

/**
 * Hands messages to the members that their groups have now; without any, they are gone with their session.
 * @returns whether all groups have members
 */
export function passOn(environment: Environment, left: Iterable<SharedMessage>): boolean {
  const { router, clock } = environment;
  const now = clock.now();
  let all = true;
  for (const { share, message } of left) {
    if (message.expiresAt > 0 && message.expiresAt <= now) continue;
    const publication = new Publication().of(message, router.routeOf(message.topic));
    const group = router.shared.get(share);
    if (group === undefined) all = false;
    else group.deliver(publication);
  }
  return all;
}

/**
 * Passes on what stands in the store under the number of an ended session, and deletes it. What nobody can pass on, as
 * another record could not be read, is set aside.
 */
export async function inherit(environment: Environment, number: number): Promise<void> {
  const { store, commit, sessions } = environment;
  const value = await store.get(flowKey(number));
  const reader = sessions.reader();
  const flow = value === undefined ? null : reader.read(flowKey(number), value, decodeFlow);
  await reader.finish();
  let bytes = 0;
  for await (const [key, segment] of store.entries(sessionRange(Family.Queue, number))) {
    const why = passOnSegment(environment, key, segment, flow);
    if (why === null) commit.add({ type: 'del', key });
    else await setAside(environment, { key, value: segment, why });
    bytes += segment.length;
    if (bytes < BATCH_BYTES) continue;
    bytes = 0;
    // The queue may be longer than memory.
    await commit.settled();
  }
  if (value !== undefined) commit.add({ type: 'del', key: flowKey(number) });
}

/** @returns why some of a segment cannot be passed on; null if nothing keeps it from that */
function passOnSegment(environment: Environment, key: Buffer, segment: Buffer, flow: FlowRecord | null): string | null {
  // A QoS 2 message whose delivery has begun may go to nobody else, so all of them stay.
  if (flow === null) return 'the flow state of its session, which has ended, could not be read';
  if (!areSegmentRecords(segment, parseQueueKey(key).count)) return 'a queue segment does not parse';
  const all = passOn(environment, sharedOf(key, segment, flow));
  return all || !environment.sessions.hasLostSubscriptions
    ? null
    : 'a subscription could not be read, which may have been for it';
}

async function setAside(
  { store, commit, journal }: Environment,
  record: { readonly key: Buffer; readonly value: Buffer; readonly why: string },
): Promise<void> {
  if (store.setAside === undefined) {
    journal.storeFailed(new DamagedSegment(`what an ended session leaves is lost: ${record.why}`));
    commit.add({ type: 'del', key: record.key });
    return;
  }
  // What others get of it must not be lost when it leaves the store.
  await commit.settled();
  await store.setAside([record]);
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
