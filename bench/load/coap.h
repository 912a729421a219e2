/*
 * coap.h: as much of CoAP's message format (RFC 7252 3) as a load generator needs: requests with Observe, Uri-Path, Block
 * options and a payload, and a reader that finds code, token, these options and payload of a response.
 */
#ifndef PORTICO_BENCH_COAP_H
#define PORTICO_BENCH_COAP_H

#include "measure.h"

enum { CON, NON, ACK, RST };                /* message types, RFC 7252 3 */
enum { EMPTY = 0, GET = 1, POST = 2, PUT = 3 };
enum { CREATED = 0x41, CHANGED = 0x44, CONTENT = 0x45, CONTINUE = 0x5f };
enum { OBSERVE = 6, URI_PATH = 11, BLOCK2 = 23, BLOCK1 = 27 };
enum { TOKEN_SIZE = 8, PAYLOAD_MARKER = 0xff, MAX_DATAGRAM = 65536 };

struct message {
  int type, code, token_length;
  uint16_t id;
  uint64_t token;
  long observe, block1, block2; /* -1 where there is no such option */
  const uint8_t *payload;
  int payload_length;
};

/* The extended form of an option delta or length, RFC 7252 3.1: returns the nibble and writes what follows it. */
static int put_extended(uint8_t **at, int value) {
  if (value < 13) return value;
  if (value < 269) {
    *(*at)++ = (uint8_t)(value - 13);
    return 13;
  }
  *(*at)++ = (uint8_t)((value - 269) >> 8);
  *(*at)++ = (uint8_t)(value - 269);
  return 14;
}

/* An option whose number is not below that of the one before, `*previous`. */
static uint8_t *put_option(uint8_t *at, int *previous, int number, const void *value, int length) {
  uint8_t *head = at++;
  int delta_nibble = put_extended(&at, number - *previous);
  int length_nibble = put_extended(&at, length);
  *head = (uint8_t)(delta_nibble << 4 | length_nibble);
  memcpy(at, value, (size_t)length);
  *previous = number;
  return at + length;
}

/* An option of format uint: no leading zero bytes, RFC 7252 3.2. */
static inline uint8_t *put_uint(uint8_t *at, int *previous, int number, uint32_t value) {
  uint8_t bytes[4];
  int length = 0;
  for (int shift = 24; shift >= 0; shift -= 8)
    if (length > 0 || value >> shift) bytes[length++] = (uint8_t)(value >> shift);
  return put_option(at, previous, number, bytes, length);
}

/* One Uri-Path option for each segment of `path`. */
static uint8_t *put_path(uint8_t *at, int *previous, const char *path) {
  while (*path) {
    size_t length = strcspn(path, "/");
    if (length > 0) at = put_option(at, previous, URI_PATH, path, (int)length);
    path += length + (path[length] == '/');
  }
  return at;
}

/* Header and token of a message; returns where its options begin. address_message() writes identifier and token. */
static uint8_t *begin_message(uint8_t *bytes, int type, int code) {
  memset(bytes, 0, 4 + TOKEN_SIZE);
  bytes[0] = (uint8_t)(1 << 6 | type << 4 | TOKEN_SIZE);
  bytes[1] = (uint8_t)code;
  return bytes + 4 + TOKEN_SIZE;
}

/* The marker and room for a payload that is not empty, filled with one letter; returns the end of the message. */
static uint8_t *put_payload(uint8_t *at, int letter, int length) {
  if (length == 0) return at;
  *at++ = PAYLOAD_MARKER;
  memset(at, letter, (size_t)length);
  return at + length;
}

/* A request without other options than its path; returns its size. */
static inline int build_request(uint8_t *bytes, int type, int code, const char *path, int payload_length) {
  int previous = 0;
  uint8_t *at = put_path(begin_message(bytes, type, code), &previous, path);
  return (int)(put_payload(at, 'x', payload_length) - bytes);
}

static void address_message(uint8_t *bytes, uint16_t id, uint64_t token) {
  bytes[2] = (uint8_t)(id >> 8);
  bytes[3] = (uint8_t)id;
  for (int i = 0; i < TOKEN_SIZE; i++) bytes[4 + i] = (uint8_t)(token >> 8 * (TOKEN_SIZE - 1 - i));
}

/* Reads what put_extended() writes; -1 if it is reserved or cut short. */
static int read_extended(const uint8_t *bytes, int size, int *at, int nibble) {
  if (nibble < 13) return nibble;
  int width = nibble - 12;
  if (width > 2 || *at + width > size) return -1;
  int value = width == 1 ? bytes[*at] + 13 : (bytes[*at] << 8 | bytes[*at + 1]) + 269;
  *at += width;
  return value;
}

/* The empty message that acknowledges `m`, RFC 7252 4.2. */
enum { ACK_SIZE = 4 };
static void build_ack(uint8_t *bytes, const struct message *m) {
  bytes[0] = 1 << 6 | ACK << 4;
  bytes[1] = EMPTY;
  bytes[2] = (uint8_t)(m->id >> 8);
  bytes[3] = (uint8_t)m->id;
}

static void note_option(struct message *m, int number, const uint8_t *value, int length) {
  long *place = number == OBSERVE ? &m->observe : number == BLOCK1 ? &m->block1 : number == BLOCK2 ? &m->block2 : NULL;
  if (!place) return;
  *place = 0;
  for (int i = 0; i < length; i++) *place = *place << 8 | value[i];
}

/* 0, or -1 for a message format error. The payload stays where it is, in `bytes`. */
static int parse_message(const uint8_t *bytes, int size, struct message *m) {
  if (size < 4 || bytes[0] >> 6 != 1) return -1;
  *m = (struct message){.type = bytes[0] >> 4 & 3, .code = bytes[1], .token_length = bytes[0] & 15,
                        .id = (uint16_t)(bytes[2] << 8 | bytes[3]), .observe = -1, .block1 = -1, .block2 = -1};
  int at = 4 + m->token_length, number = 0;
  if (m->token_length > 8 || size < at) return -1;
  for (int i = 4; i < at; i++) m->token = m->token << 8 | bytes[i];
  while (at < size) {
    int head = bytes[at++];
    if (head == PAYLOAD_MARKER) {
      m->payload = bytes + at;
      m->payload_length = size - at;
      return m->payload_length > 0 ? 0 : -1;
    }
    int delta = read_extended(bytes, size, &at, head >> 4);
    int length = read_extended(bytes, size, &at, head & 15);
    if (delta < 0 || length < 0 || at + length > size) return -1;
    number += delta;
    if (length <= 4) note_option(m, number, bytes + at, length);
    at += length;
  }
  return 0;
}

#endif
