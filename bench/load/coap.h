/*
 * coap.h: as much of CoAP's message format (RFC 7252 3) as a load generator needs: a request with Uri-Path options and
 * a payload, and a reader that finds code, token and payload of a response.
 */
#ifndef PORTICO_BENCH_COAP_H
#define PORTICO_BENCH_COAP_H

#include "measure.h"

enum { CON, NON, ACK, RST };                /* message types, RFC 7252 3 */
enum { EMPTY = 0, GET = 1, POST = 2, PUT = 3 };
enum { URI_PATH = 11, TOKEN_SIZE = 8, PAYLOAD_MARKER = 0xff, MAX_DATAGRAM = 65536 };

struct message {
  int type, code, token_length;
  uint16_t id;
  uint64_t token;
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

static uint8_t *put_option(uint8_t *at, int delta, const char *value, int length) {
  uint8_t *head = at++;
  int delta_nibble = put_extended(&at, delta);
  int length_nibble = put_extended(&at, length);
  *head = (uint8_t)(delta_nibble << 4 | length_nibble);
  memcpy(at, value, (size_t)length);
  return at + length;
}

/* One Uri-Path option for each segment of `path`. */
static uint8_t *put_path(uint8_t *at, const char *path) {
  int previous = 0;
  while (*path) {
    size_t length = strcspn(path, "/");
    if (length > 0) {
      at = put_option(at, URI_PATH - previous, path, (int)length);
      previous = URI_PATH;
    }
    path += length + (path[length] == '/');
  }
  return at;
}

/* Identifier and token are left at zero; address_message() writes them into each copy. */
static int build_request(uint8_t *bytes, int type, int code, const char *path, int payload_length) {
  memset(bytes, 0, 4 + TOKEN_SIZE);
  bytes[0] = (uint8_t)(1 << 6 | type << 4 | TOKEN_SIZE);
  bytes[1] = (uint8_t)code;
  uint8_t *at = put_path(bytes + 4 + TOKEN_SIZE, path);
  if (payload_length > 0) {
    *at++ = PAYLOAD_MARKER;
    memset(at, 'x', (size_t)payload_length);
    at += payload_length;
  }
  return (int)(at - bytes);
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

/* 0, or -1 for a message format error. */
static int parse_message(const uint8_t *bytes, int size, struct message *m) {
  if (size < 4 || bytes[0] >> 6 != 1) return -1;
  *m = (struct message){.type = bytes[0] >> 4 & 3, .code = bytes[1], .token_length = bytes[0] & 15,
                        .id = (uint16_t)(bytes[2] << 8 | bytes[3])};
  int at = 4 + m->token_length;
  if (m->token_length > 8 || size < at) return -1;
  for (int i = 4; i < at; i++) m->token = m->token << 8 | bytes[i];
  while (at < size) {
    int head = bytes[at++];
    if (head == PAYLOAD_MARKER) {
      m->payload_length = size - at;
      return m->payload_length > 0 ? 0 : -1;
    }
    if (read_extended(bytes, size, &at, head >> 4) < 0) return -1;
    int length = read_extended(bytes, size, &at, head & 15);
    if (length < 0 || at + length > size) return -1;
    at += length;
  }
  return 0;
}

#endif
