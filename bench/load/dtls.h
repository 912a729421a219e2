/*
 * dtls.h: CoAP's secure way to the server: a session of DTLS 1.2 with a pre-shared key on a connected UDP socket for each
 * endpoint, by OpenSSL. The functions are those of plain.h.
 */
#ifndef PORTICO_BENCH_DTLS_H
#define PORTICO_BENCH_DTLS_H

#include "udp.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { LINK_MTU = 1400 };

/* The identity of session n is `identity` with n behind it. */
static struct {
  const char *suite, *identity, *key;
} credentials = {.suite = "PSK-AES128-CCM8", .identity = "bench-", .key = "0123456789abcdef"};

struct line {
  int fd;
  SSL *session;
};

static SSL_CTX *context;

__attribute__((noreturn)) static void fail_tls(const char *call) {
  char words[256] = "closed by the server";
  unsigned long code = ERR_get_error();
  if (code) ERR_error_string_n(code, words, sizeof words);
  fail(EXIT_PEER, "%s: %s", call, words);
}

static unsigned give_key(SSL *session, const char *hint, char *identity, unsigned identity_room, unsigned char *key,
                         unsigned key_room) {
  (void)hint;
  size_t length = strlen(credentials.key);
  int number = (int)(intptr_t)SSL_get_app_data(session);
  int written = snprintf(identity, identity_room, "%s%d", credentials.identity, number);
  if (length > key_room || written >= (int)identity_room) return 0;
  memcpy(key, credentials.key, length);
  return (unsigned)length;
}

static void line_setup(void) {
  char list[128];
  /* A tag of 8 bytes is too short for OpenSSL's default level of security. */
  snprintf(list, sizeof list, "%s:@SECLEVEL=0", credentials.suite);
  context = SSL_CTX_new(DTLS_client_method());
  if (!context || !SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) ||
      !SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION))
    fail_tls("DTLS 1.2");
  if (!SSL_CTX_set_cipher_list(context, list)) fail(EXIT_USAGE, "-C: OpenSSL has no cipher suite %s", credentials.suite);
  SSL_CTX_set_psk_client_callback(context, give_key);
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU);
}

static void line_open(struct line *line, int number, const char *host, int port) {
  struct sockaddr_in server = loopback_address(host, port);
  line->fd = connected_socket(host, port);
  line->session = SSL_new(context);
  BIO *bio = BIO_new_dgram(line->fd, BIO_NOCLOSE);
  if (!line->session || !bio) fail_tls("SSL_new");
  BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &server);
  SSL_set_bio(line->session, bio, bio);
  SSL_set_app_data(line->session, (void *)(intptr_t)number);
  DTLS_set_link_mtu(line->session, LINK_MTU);
  SSL_set_connect_state(line->session);
}

/* Waits if the session only wants to read, and ends the process otherwise. */
static void check_session(struct line *line, int result, const char *call) {
  if (SSL_get_error(line->session, result) != SSL_ERROR_WANT_READ) fail_tls(call);
}

/* True once the handshake is done. */
static bool line_progress(struct line *line) {
  int result = SSL_do_handshake(line->session);
  if (result != 1) check_session(line, result, "handshake");
  return result == 1;
}

/* Repeats the flight of a handshake if its time has come. */
static void line_timeout(struct line *line) {
  if (DTLSv1_handle_timeout(line->session) < 0) fail(EXIT_PEER, "a handshake is not answered");
}

static void line_send(struct line *line, const uint8_t *bytes, int size) {
  if (SSL_write(line->session, bytes, size) != size) fail_tls("SSL_write");
}

static int line_receive(struct line *line, uint8_t *bytes, int size) {
  int got = SSL_read(line->session, bytes, size);
  if (got <= 0) check_session(line, got, "SSL_read");
  return got > 0 ? got : -1;
}

/* Says so to the server: another session may come from the same port soon. */
static void line_close(struct line *line) {
  SSL_shutdown(line->session);
  SSL_free(line->session);
  close(line->fd);
}

#endif
