/** UTF-8 Encoded Strings: MQTT 1.5.4. */
import { isUtf8 } from 'node:buffer';
import { ReasonCode } from './reason-codes.js';
import { malformed } from './wire-error.js';

/**
 * Whether `buffer[start, end)` is well-formed UTF-8 without U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. Surrogates and overlong
 * forms are ill-formed UTF-8 by themselves.
 */
export function isValidUtf8(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i];
    if (byte === 0) return false;
    if (byte > 127) return isUtf8(buffer.subarray(i, end)) && !buffer.subarray(i, end).includes(0);
  }
  return true;
}

/**
 * 0, or the reason code why `buffer[start, end)` is no topic name: empty 0x82 [MQTT-4.7.3-1] (MQTT 5.0 3.3.2.1), with a
 * wildcard [MQTT-3.3.2-2] or ill-formed 0x81 [MQTT-3.3.2-1]. 0x90 is for names that are well-formed, and not accepted.
 */
export function checkTopicName(buffer: Buffer, start: number, end: number): number {
  if (start === end) return ReasonCode.ProtocolError;
  if (!isValidUtf8(buffer, start, end)) return ReasonCode.MalformedPacket;
  for (let i = start; i < end; i++) {
    if (buffer[i] === 0x23 || buffer[i] === 0x2b) return ReasonCode.MalformedPacket;
  }
  return 0;
}

/** Decodes a string. Throws `WireError` 0x81 if it is ill-formed. */
export function decodeString(buffer: Buffer, start: number, end: number): string {
  if (!isValidUtf8(buffer, start, end)) malformed('a string that is not valid UTF-8 [MQTT-1.5.4-1]');
  return buffer.utf8Slice(start, end);
}
