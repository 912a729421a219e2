/**
 * Lists of revoked certificates: the file, and what is in it. For TLS OpenSSL reads the lists, and the broker the time until
 * which they hold; for DTLS the broker reads them itself.
 */
import assert from 'node:assert/strict';
import { sign, verify, type X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { readRevocationLists } from '../../../src/access/revocation.js';
import { CertificatePaths, FOR_SERVERS } from '../../../src/coap/dtls/certificate-paths.js';
import { Refusal } from '../../../src/coap/dtls/refusal.js';
import type { RevocationList } from '../../../src/coap/dtls/revocation-list.js';
import { PorticoError } from '../../../src/errors.js';
import { readRevocations } from '../../../src/server/coap-security.js';
import { CA, FROM, Made } from '../../coap/dtls/certificates.js';
import { scratchFile } from '../scratch.js';
import { Feed, input, type Target } from '../target.js';

const NOON = FROM + 86_400_000;
const DEVICE = CA.issue({ names: ['device'], usages: [1] });
const OTHER = CA.issue({ names: ['other'], usages: [1] });
const CERTIFICATES: readonly X509Certificate[] = [DEVICE.x509, OTHER.x509];
const FILE = scratchFile('crl.pem');
const BEGIN = '-----BEGIN X509 CRL-----';
/** Characters of the longest sentence about a file, without its name. */
const MOST_WORDS = 300;
/** ecdsa-with-SHA256, as an AlgorithmIdentifier. */
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** What the input is. */
const Kind = { Signed: 0, List: 1, Text: 2 } as const;

interface Value {
  readonly tag: number;
  readonly whole: Buffer;
  readonly content: Buffer;
}

/** The values of DER one behind the other; a plain reader that shares no code with the broker's. */
function valuesOf(bytes: Buffer): Value[] {
  const found: Value[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes.readUInt8(at + 1);
    const extra = first < 128 ? 0 : first - 128;
    const length = extra === 0 ? first : bytes.readUIntBE(at + 2, extra);
    const start = at + 2 + extra;
    assert.ok(first !== 128 && start + length <= bytes.length, 'a value inside of its list');
    found.push({
      tag: bytes[at],
      whole: bytes.subarray(at, start + length),
      content: bytes.subarray(start, start + length),
    });
    at = start + length;
  }
  return found;
}

interface Plain {
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly issuer: Buffer;
  readonly times: readonly number[];
  readonly serials: readonly bigint[];
}

/** A list as RFC 5280 5.1 has it. */
function plainOf(der: Buffer): Plain {
  const [list] = valuesOf(der);
  const [toBeSigned, , signature] = valuesOf(list.content);
  const fields = valuesOf(toBeSigned.content);
  if (fields[0].tag === 2) fields.shift();
  const [, issuer, ...rest] = fields;
  const times = rest.filter(({ tag }) => tag === 0x17 || tag === 0x18);
  const revoked = rest.find(({ tag }) => tag === 0x30);
  const serials = revoked === undefined ? [] : valuesOf(revoked.content).map((entry) => serialOf(entry));
  return {
    signed: toBeSigned.whole,
    signature: signature.content.subarray(1),
    issuer: issuer.whole,
    times: times.map(timeOf),
    serials,
  };
}

function serialOf(entry: Value): bigint {
  return BigInt(`0x0${valuesOf(entry.content)[0].content.toString('hex')}`);
}

/** A time that there is, or NaN. */
function timeOf({ tag, content }: Value): number {
  const text = content.toString('latin1');
  const whole = tag === 0x18 ? text : `${Number(text.slice(0, 2)) >= 50 ? 19 : 20}${text}`;
  return Date.parse(whole.replace(/^(\d{4})(..)(..)(..)(..)(..)Z$/s, '$1-$2-$3T$4:$5:$6Z'));
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `${BEGIN}\n${lines.join('\n')}\n-----END X509 CRL-----\n`;
}

/** What is to be signed, as a list of the CA. */
function signed(toBeSigned: Buffer): Buffer {
  const signature = sign('sha256', toBeSigned, CA.keys.privateKey);
  const bits = input(3, signature.length + 1, 0, signature);
  const content = Buffer.concat([toBeSigned, ECDSA_SHA256, bits]);
  return input(0x30, 0x82, content.length >> 8, content.length & 0xff, content);
}

function toBeSignedOf(list: Buffer): Buffer {
  return valuesOf(valuesOf(list)[0].content)[0].whole;
}

/** Why a file is refused; the lists that are used otherwise. */
async function read<T>(lists: Promise<T>): Promise<T | string> {
  try {
    return await lists;
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_SECURITY_FILE', error as Error);
    assert.ok(error.message.startsWith(`crl_file: ${FILE}: `), error.message);
    const sentence = error.message.slice(`crl_file: ${FILE}: `.length);
    assert.ok(sentence.length <= MOST_WORDS && !/[\r\n]/.test(sentence), sentence);
    return sentence.replaceAll(/\d+/g, 'N').slice(0, 80);
  }
}

async function run(bytes: Buffer): Promise<string> {
  const feed = new Feed(bytes);
  const kind = feed.byte() % 3;
  const copies = feed.byte();
  const rest = feed.rest();
  const text =
    kind === Kind.Text ? rest : Buffer.from(pemOf(kind === Kind.Signed ? signed(rest) : rest).repeat(1 + (copies & 1)));
  writeFileSync(FILE, text, { mode: 0o600 });
  const named = { option: 'crl_file', file: FILE };
  const forTls = await read(readRevocationLists(named));
  const forDtls = await read(readRevocations(named));
  if (typeof forTls === 'string') {
    assert.equal(forDtls, forTls, 'what OpenSSL does not take, nobody takes');
    return forTls;
  }
  const { pem, until } = forTls;
  assert.equal(pem.length, text.toString('latin1').split(BEGIN).length - 1, 'no list is passed over');
  if (typeof forDtls === 'string') return forDtls;
  assert.deepEqual([forDtls.pem, forDtls.until], [pem, until]);
  const plain = pem.map((list) => plainOf(Buffer.from(list.replaceAll(/-----.*?-----/g, ''), 'base64')));
  const ends = plain.map(({ times }) => times[1] ?? Number.POSITIVE_INFINITY);
  assert.equal(until, Math.min(...ends), 'the time until which the lists hold');
  for (const [i, list] of forDtls.revoked.entries()) checkList(list, plain[i]);
  return CERTIFICATES.map((certificate) => verdictOf(certificate, forDtls.revoked, plain)).join();
}

function checkList(list: RevocationList, { issuer, times, serials }: Plain): void {
  assert.deepEqual([list.issuer, list.until], [issuer, times[1] ?? Number.POSITIVE_INFINITY]);
  assert.deepEqual(list.from, times[0], 'the time from which a list holds');
  for (const serial of serials) assert.ok(list.has(serial.toString(16)), `${serial} is on the list`);
  for (const { serialNumber } of CERTIFICATES) {
    assert.equal(list.has(serialNumber), serials.includes(BigInt(`0x${serialNumber}`)), `${serialNumber} is found`);
  }
}

/** Whoever is let in is on no list of the CA, and one is in force (RFC 5280 6.3.3). */
function verdictOf(certificate: X509Certificate, revoked: readonly RevocationList[], plain: readonly Plain[]): string {
  const paths = new CertificatePaths({ ca: [CA.x509], revoked, now: () => NOON }, FOR_SERVERS);
  const found = paths.verify([certificate.raw], () => 'taken');
  const [name] = paths.authorities;
  const good = plain.filter(
    ({ issuer, signed: bytes, signature }) => issuer.equals(name) && isSigned(bytes, signature),
  );
  const serial = BigInt(`0x${certificate.serialNumber}`);
  const isRevoked = good.some(({ serials }) => serials.includes(serial));
  const isInForce = good.some(({ times: [from, until = Number.POSITIVE_INFINITY] }) => from <= NOON && NOON <= until);
  assert.equal(found instanceof Refusal, isRevoked || !isInForce, 'who is let in');
  return found instanceof Refusal ? found.words.replaceAll(/".*"/g, '') : found;
}

function isSigned(bytes: Buffer, signature: Buffer): boolean {
  try {
    return verify('sha256', bytes, CA.keys.publicKey, signature);
  } catch {
    return false;
  }
}

const LISTS: readonly Buffer[] = [
  CA.list([]),
  CA.list([DEVICE]),
  CA.list([OTHER, DEVICE], { until: null }),
  CA.list([DEVICE], { until: FROM + 1000 }),
  CA.list([], { from: NOON + 1000 }),
  CA.list([DEVICE], { critical: '551d1b' }),
  CA.list([DEVICE], { entryCritical: '551d1d' }),
  new Made({ names: ['another CA'], ca: true }).list([DEVICE]),
];

export const revocationLists: Target = {
  name: 'revocation-lists',
  scope: [
    '/src/access/revocation',
    '/src/coap/dtls/revocation-list',
    '/src/coap/dtls/der',
    '/src/coap/dtls/certificate-paths',
  ],
  longest: 1500,
  words: [
    BEGIN,
    '-----END X509 CRL-----\n',
    ...CERTIFICATES.map(({ serialNumber }) => Buffer.from(`0203${serialNumber.padStart(6, '0')}`, 'hex')),
    Buffer.from('170d3236303130313030303030305a', 'hex'),
    Buffer.from('180f32303530303130313030303030305a', 'hex'),
    Buffer.from('180f32303530313330313939303030305a', 'hex'),
    Buffer.from('0101ff', 'hex'),
    Buffer.from('300c0603551d150405300302010a', 'hex'),
    Buffer.from('a00e300c300a0603551d1404030201', 'hex'),
    Buffer.from('3082', 'hex'),
    Buffer.from('0282', 'hex'),
  ],
  seeds: () => [
    ...LISTS.flatMap((list) => [input(Kind.Signed, 0, toBeSignedOf(list)), input(Kind.List, 0, list)]),
    input(Kind.Signed, 1, toBeSignedOf(LISTS[0])),
    input(Kind.Text, 0, pemOf(LISTS[0]), pemOf(LISTS[1])),
    input(Kind.Text, 0, pemOf(LISTS[0]), pemOf(LISTS[1]).slice(0, -30)),
    input(Kind.Text, 0, 'Certificate Revocation List (CRL):\n', pemOf(LISTS[2]).replaceAll('\n', '\r\n')),
  ],
  run,
};
