/** The answer to a request, also if it comes by itself after an empty acknowledgement (RFC 7252 5.2.2). */
import { ACK, CON, coapMessage, type Datagrams, messageIdOf, tokenOf, typeOf } from '../interop/raw.js';

/** What comes up to the answer with this token, which is the last; acknowledges what comes Confirmable. */
export async function upToAnswer(datagrams: Datagrams, token: Uint8Array): Promise<Buffer[]> {
  const came: Buffer[] = [];
  for (;;) {
    const datagram = await datagrams.received.next('an answer');
    came.push(datagram);
    if (datagram[1] === 0) continue;
    if (typeOf(datagram) === CON) await datagrams.send(coapMessage(ACK, 0, messageIdOf(datagram)));
    if (tokenOf(datagram) === Buffer.from(token).toString('hex')) return came;
  }
}

/** The answer with this token. */
export async function answerTo(datagrams: Datagrams, token: Uint8Array): Promise<Buffer> {
  return (await upToAnswer(datagrams, token)).at(-1) as Buffer;
}
