"""A DTLS client with raw public keys on GnuTLS: `gnutls_pin.py PORT PUBLIC.pem PRIVATE.pem PINNED`.

PINNED is the one SubjectPublicKeyInfo of the server that is taken, in base64. Says "hello" and waits for an answer.
Prints, as JSON, what the handshake came to (0, or an error of GnuTLS), the cipher suite, and what was answered.
"""
import base64
import ctypes
import json
import socket
import sys

CLIENT, DATAGRAM, ENABLE_RAWPK = 1 << 1, 1 << 2, 1 << 18
CRD_CERTIFICATE, FMT_PEM, SHUT_RDWR = 1, 1, 0
CERTIFICATE_ERROR = -43
PRIORITY = (
    b"NONE:+VERS-DTLS1.2:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD:+GROUP-SECP256R1:+COMP-NULL"
    b":+SIGN-ECDSA-SHA256:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK"
)


class Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_uint)]


gnutls = ctypes.CDLL("libgnutls.so.30")
gnutls.gnutls_certificate_get_peers.restype = ctypes.POINTER(Datum)
gnutls.gnutls_ciphersuite_get.restype = ctypes.c_char_p
pointer = ctypes.c_void_p


def check(result):
    if result < 0:
        raise SystemExit(f"GnuTLS: {result}")


def datum_of(path):
    text = open(path, "rb").read()
    kept = ctypes.create_string_buffer(text, len(text))
    return kept, Datum(ctypes.addressof(kept), len(text))


port, public_file, private_file, pinned = sys.argv[1:]


@ctypes.CFUNCTYPE(ctypes.c_int, pointer)
def verify(session):
    size = ctypes.c_uint()
    peers = gnutls.gnutls_certificate_get_peers(pointer(session), ctypes.byref(size))
    shown = ctypes.string_at(peers[0].data, peers[0].size)
    return 0 if shown == base64.b64decode(pinned) else CERTIFICATE_ERROR


credentials, session = pointer(), pointer()
check(gnutls.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
(kept_public, public), (kept_private, private) = datum_of(public_file), datum_of(private_file)
check(
    gnutls.gnutls_certificate_set_rawpk_key_mem(
        credentials, ctypes.byref(public), ctypes.byref(private), FMT_PEM, None, 0, None, 0, 0
    )
)
gnutls.gnutls_certificate_set_verify_function(credentials, verify)
check(gnutls.gnutls_init(ctypes.byref(session), CLIENT | DATAGRAM | ENABLE_RAWPK))
check(gnutls.gnutls_priority_set_direct(session, PRIORITY, None))
check(gnutls.gnutls_credentials_set(session, CRD_CERTIFICATE, credentials))
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.connect(("127.0.0.1", int(port)))
gnutls.gnutls_transport_set_int2(session, line.fileno(), line.fileno())

outcome = gnutls.gnutls_handshake(session)
if outcome < 0:
    gnutls.gnutls_alert_send_appropriate(session, outcome)
    print(json.dumps({"handshake": outcome}))
else:
    suite = gnutls.gnutls_ciphersuite_get(session).decode()
    gnutls.gnutls_record_send(session, b"hello", ctypes.c_size_t(5))
    buffer = ctypes.create_string_buffer(100)
    gnutls.gnutls_record_recv.restype = ctypes.c_ssize_t
    length = gnutls.gnutls_record_recv(session, buffer, ctypes.c_size_t(100))
    gnutls.gnutls_bye(session, SHUT_RDWR)
    print(json.dumps({"handshake": 0, "suite": suite, "answer": buffer.raw[: max(0, length)].decode()}))
