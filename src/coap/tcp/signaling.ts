/** Signaling messages of CoAP over TCP (RFC 8323 5). */
import { type Message, MessageWriter } from '../message.js';
import { frameOf } from './frame.js';

/** Codes of class 7, RFC 8323 5.2. */
export const Signal = { Csm: 0xe1, Ping: 0xe2, Pong: 0xe3, Release: 0xe4, Abort: 0xe5 } as const;

export const SIGNALING_CLASS = 7;

/** Options of signaling messages; each code has numbers of its own (RFC 8323 5.2). */
const BLOCK_WISE_TRANSFER = 4;
const BAD_CSM_OPTION = 2;
/** Critical options that are known. All others with an odd number are not. */
const KNOWN_CRITICAL: readonly number[] = [];

/** The critical option of a signaling message that nobody knows here, or -1: it must not be ignored (RFC 8323 5.2). */
export function unknownCriticalOption(message: Message): number {
  for (let i = 0; i < message.optionCount; i++) {
    const number = message.optionNumbers[i];
    if ((number & 1) === 1 && !KNOWN_CRITICAL.includes(number)) return number;
  }
  return -1;
}

function signal(code: number, write: (writer: MessageWriter) => void = () => {}): Buffer {
  const writer = new MessageWriter(256);
  writer.begin(0, code, 0, 0, 0, 0);
  write(writer);
  return frameOf(writer.buffer, 0, writer.length);
}

/**
 * The Capabilities and Settings Message of this endpoint: blocks as over UDP. Without Max-Message-Size it stays at 1152
 * bytes, so that no peer takes this for blocks larger than 1024 bytes (RFC 8323 5.3.1, 6).
 */
export function csm(): Buffer {
  return signal(Signal.Csm, (writer) => writer.uint(BLOCK_WISE_TRANSFER, 0));
}

/** Asks whether the other side is there (RFC 8323 5.4). */
export function ping(): Buffer {
  return signal(Signal.Ping);
}

/** Answers a Ping, with its token (RFC 8323 5.4). */
export function pong(ping: Message): Buffer {
  const writer = new MessageWriter(16);
  writer.begin(0, Signal.Pong, 0, ping.tokenLength, ping.tokenHigh, ping.tokenLow);
  return frameOf(writer.buffer, 0, writer.length);
}

/** Says that the connection will be closed in order (RFC 8323 5.5). */
export function release(): Buffer {
  return signal(Signal.Release);
}

/** Says why the connection is closed at once (RFC 8323 5.6). @param option the critical option that is not known, or -1 */
export function abort(reason: string, option = -1): Buffer {
  return signal(Signal.Abort, (writer) => {
    if (option >= 0) writer.uint(BAD_CSM_OPTION, option);
    const words = Buffer.from(reason);
    writer.payload(words, 0, words.length);
  });
}
