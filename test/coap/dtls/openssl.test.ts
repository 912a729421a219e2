/** OpenSSL's own client with each cipher suite, and with a server that sends small fragments: libcoap's clients offer all at once. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import { UdpTransport } from '../../../src/coap/transport.js';

const KEY = Buffer.from('a key of sixteen');

for (const [cipher, name, handshakeDatagram] of [
  ['PSK-AES128-CCM8', 'TLS_PSK_WITH_AES_128_CCM_8', 70],
  ['PSK-AES128-CCM', 'TLS_PSK_WITH_AES_128_CCM', 1232],
  ['PSK-AES128-GCM-SHA256', 'TLS_PSK_WITH_AES_128_GCM_SHA256', 1232],
] as const) {
  test(`openssl s_client: ${name}, datagrams of ${handshakeDatagram} bytes, data both ways, close_notify`, async () => {
    const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
    const dtls = new DtlsTransport(udp, {
      psk: (identity) => (identity === 'device' ? KEY : null),
      identityHint: 'a hint',
      limits: { handshakeDatagram },
    });
    const sessions: DtlsSession[] = [];
    dtls.onDatagram = (bytes, source) => {
      sessions.push(source.session as DtlsSession);
      dtls.send(Buffer.concat([Buffer.from('echo '), bytes]), 0, 5 + bytes.length, source);
    };
    const options = ['-psk', KEY.toString('hex'), '-psk_identity', 'device', '-cipher', `${cipher}:@SECLEVEL=0`];
    const client = spawn('openssl', ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${udp.port}`, ...options]);
    const exited = once(client, 'exit');
    let output = '';
    let said = false;
    for await (const chunk of client.stdout) {
      output += String(chunk);
      if (!said && output.includes('Extended master secret')) {
        said = true;
        client.stdin.write('hello\n');
      }
      // At the end of its input it says close_notify.
      if (output.includes('echo hello\n')) client.stdin.end('Q\n');
    }
    await exited;
    assert.match(output, new RegExp(`Cipher is ${cipher}\n`));
    assert.match(output, /Extended master secret: yes/);
    assert.deepEqual(
      sessions.map((session) => ({ ...session })),
      [{ identity: 'device', cipherSuite: name, proof: 'psk' }],
    );
    while (dtls.tables.associations > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(dtls.counters.associationsClosed, 1);
    await dtls.close();
  });
}
