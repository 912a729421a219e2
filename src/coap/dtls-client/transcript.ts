/** The messages of a handshake, for their hashes, and as they are for the one signature that the client may make. */
import { wholeMessage } from '../dtls/fragments.js';
import { Transcript } from '../dtls/transcript.js';

export class ClientTranscript extends Transcript {
  #messages: Buffer[] | null = [];

  constructor() {
    super();
    // No server signs its messages.
    this.forgetSignature();
  }

  override add(type: number, messageSequence: number, body: Buffer): void {
    super.add(type, messageSequence, body);
    this.#messages?.push(wholeMessage(type, messageSequence, body));
  }

  /** All messages so far: what CertificateVerify signs (RFC 5246 7.4.8). They are not kept any longer. */
  takeMessages(): Buffer {
    const messages = Buffer.concat(this.#messages ?? []);
    this.#messages = null;
    return messages;
  }
}
