/** Code points of DTLS 1.2 (RFC 6347, RFC 5246) and of the extensions that are known here. */

export const VERSION_1_0 = 0xfeff;
export const VERSION_1_2 = 0xfefd;

export const ContentType = {
  ChangeCipherSpec: 20,
  Alert: 21,
  Handshake: 22,
  ApplicationData: 23,
  /** RFC 9146 4: a protected record with a Connection ID. */
  Cid: 25,
} as const;

export const HandshakeType = {
  ClientHello: 1,
  ServerHello: 2,
  HelloVerifyRequest: 3,
  Certificate: 11,
  ServerKeyExchange: 12,
  CertificateRequest: 13,
  ServerHelloDone: 14,
  CertificateVerify: 15,
  ClientKeyExchange: 16,
  Finished: 20,
} as const;

export const AlertLevel = { Warning: 1, Fatal: 2 } as const;

/** RFC 5246 7.2. */
export const Alert = {
  CloseNotify: 0,
  UnexpectedMessage: 10,
  BadRecordMac: 20,
  RecordOverflow: 22,
  HandshakeFailure: 40,
  BadCertificate: 42,
  UnsupportedCertificate: 43,
  CertificateRevoked: 44,
  CertificateExpired: 45,
  CertificateUnknown: 46,
  IllegalParameter: 47,
  UnknownCa: 48,
  AccessDenied: 49,
  DecodeError: 50,
  DecryptError: 51,
  ProtocolVersion: 70,
  InsufficientSecurity: 71,
  InternalError: 80,
  UserCanceled: 90,
  NoRenegotiation: 100,
  UnsupportedExtension: 110,
  /** RFC 4279 2. */
  UnknownPskIdentity: 115,
} as const;

export const Extension = {
  /** RFC 6066 3. */
  ServerName: 0,
  /** RFC 8422 5.1. */
  SupportedGroups: 10,
  EcPointFormats: 11,
  /** RFC 5246 7.4.1.4.1. */
  SignatureAlgorithms: 13,
  /** RFC 7250 4.1. */
  ClientCertificateType: 19,
  ServerCertificateType: 20,
  /** RFC 7627. */
  ExtendedMasterSecret: 23,
  /** RFC 9146. */
  ConnectionId: 54,
  /** RFC 5746. */
  RenegotiationInfo: 0xff01,
} as const;

/** What a Certificate message holds (RFC 7250 3). X.509 is what everybody means who does not say. */
export const CertificateType = { X509: 0, RawPublicKey: 2 } as const;
export type CertificateType = (typeof CertificateType)[keyof typeof CertificateType];

/** TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 3.3): asks as an empty renegotiation_info does. */
export const RENEGOTIATION_SCSV = 0x00ff;

/** A hash and a kind of signature (RFC 5246 7.4.1.4.1). */
export const SignatureScheme = { RsaSha256: 0x0401, EcdsaSha256: 0x0403 } as const;
/** The point format that everybody knows (RFC 8422 5.1.2). */
export const UNCOMPRESSED_POINTS = 0;

/** Bytes in front of a record's fragment, without a Connection ID. */
export const RECORD_HEADER = 13;
/** Bytes in front of a handshake fragment. */
export const HANDSHAKE_HEADER = 12;
/** Largest plaintext of a record in bytes (RFC 5246 6.2.1). */
export const LARGEST_PLAINTEXT = 1 << 14;
export const RANDOM_BYTES = 32;
export const VERIFY_DATA_BYTES = 12;
/** Sequence numbers are below this; one never wraps (RFC 6347 4.1). */
export const SEQUENCE_NUMBERS = 2 ** 48;
