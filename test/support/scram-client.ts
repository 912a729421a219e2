/** A SCRAM-SHA-256 client (RFC 5802 3), written apart from the broker's side. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

export class ScramClient {
  readonly #password: string;
  readonly gs2Header: string;
  readonly #bare: string;
  #serverSignature: Buffer | null = null;

  constructor(username: string, password: string, nonce = 'fyko+d2lbbFgONRv9qkxdawL', gs2Header = 'n,,') {
    this.#password = password;
    this.gs2Header = gs2Header;
    this.#bare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  }

  /** client-first-message. */
  first(): Buffer {
    return Buffer.from(this.gs2Header + this.#bare);
  }

  /** client-final-message for a server-first-message. */
  final(serverFirst: Buffer): Buffer {
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst.toString()) ?? [];
    if (nonce === undefined) throw new Error(`no server-first-message: ${serverFirst}`);
    const salted = pbkdf2Sync(this.#password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const withoutProof = `c=${Buffer.from(this.gs2Header).toString('base64')},r=${nonce}`;
    const authMessage = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Whether a server-final-message proves that the server knows the password too. */
  verifies(serverFinal: Buffer | null | undefined): boolean {
    return serverFinal?.toString() === `v=${this.#serverSignature?.toString('base64')}`;
  }
}
