/** PUBLISH packets that are encoded once and copied to many receivers. */
import type { Frame, Publication } from '../bus/publication.js';
import { Output, wordsOf } from '../wire/output.js';
import { publishSize, writeLive, writePublish } from '../wire/publish-writer.js';

/** Which receivers may share a frame: MQTT 5.0 or not, QoS above 0 or not, RETAIN or not. */
export function frameKind(version5: boolean, qos: number, retain: boolean): number {
  return (version5 ? 1 : 0) | (qos > 0 ? 2 : 0) | (retain ? 4 : 0);
}

/** The frame of a publication for one kind of receiver, made at the first call. */
export function frameOf(publication: Publication, kind: number): Frame {
  return publication.frame(kind) ?? makeFrame(publication, kind);
}

function makeFrame(publication: Publication, kind: number): Frame {
  const version5 = (kind & 1) !== 0;
  const qos = (kind & 2) !== 0 ? 1 : 0;
  const out = new Output();
  const flags = (qos << 1) | ((kind & 4) >>> 2);
  const live = version5 && publication.propertiesStart >= 0;
  // What came live may have a Message Expiry Interval, which the size below leaves out.
  out.buffer = Buffer.allocUnsafe(publishSize(publication, version5, qos, live ? 0 : -1, null) + 4);
  if (live) writeLive(out, publication, flags, 0, null);
  else writePublish(out, publication, version5, flags, 0, -1, null);
  const bytes = new Uint8Array(out.buffer.buffer, out.buffer.byteOffset, out.length);
  let head = 2;
  while ((bytes[head - 1] & 0x80) !== 0) head++;
  const frame = { bytes, words: wordsOf(bytes), packetIdAt: qos > 0 ? head + 2 + publication.topicBytes.length : 0 };
  publication.keepFrame(kind, frame);
  return frame;
}
