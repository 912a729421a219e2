/*
 * mqtt.h: as much of MQTT's encoding as a load generator needs: packet types, a byte buffer, the writers of the basic
 * data types and of CONNECT, and the framing of packets.
 */
#ifndef PORTICO_BENCH_MQTT_H
#define PORTICO_BENCH_MQTT_H

#include "measure.h"

/* Fixed header bytes, MQTT 2.2.1: packet type and the flags that the type demands. */
enum {
  CONNECT = 0x10, CONNACK = 0x20, PUBLISH = 0x30, PUBACK = 0x40, PUBREC = 0x50, PUBREL = 0x62, PUBCOMP = 0x70,
  SUBSCRIBE = 0x82, SUBACK = 0x90, DISCONNECT = 0xe0
};

/* Bytes from `start` to `end` are in use. */
struct buffer {
  uint8_t *bytes;
  size_t start, end, capacity;
};

/* Room for `size` bytes at the end; the caller fills it. Moves the buffer, so no pointer into it survives the call. */
static uint8_t *reserve(struct buffer *b, size_t size) {
  if (b->start == b->end) b->start = b->end = 0;
  if (b->end + size > b->capacity) {
    if (b->start > 0) memmove(b->bytes, b->bytes + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
    while (b->end + size > b->capacity) b->capacity = b->capacity ? b->capacity * 2 : 4096;
    b->bytes = realloc(b->bytes, b->capacity);
    if (!b->bytes) fail_system("realloc");
  }
  uint8_t *place = b->bytes + b->end;
  b->end += size;
  return place;
}

static void put_bytes(struct buffer *b, const void *bytes, size_t size) { memcpy(reserve(b, size), bytes, size); }
static void put_byte(struct buffer *b, int value) { *reserve(b, 1) = (uint8_t)value; }

static void put_u16(struct buffer *b, int value) {
  put_byte(b, value >> 8);
  put_byte(b, value);
}

static void put_string(struct buffer *b, const char *text) {
  put_u16(b, (int)strlen(text));
  put_bytes(b, text, strlen(text));
}

/* Variable byte integer, MQTT 1.5.5. */
static void put_length(struct buffer *b, size_t length) {
  do {
    int digit = length & 127;
    length >>= 7;
    put_byte(b, digit | (length ? 128 : 0));
  } while (length);
}

/* A packet whose variable header is a packet identifier alone. */
static void put_short_packet(struct buffer *b, int first_byte, int packet_id) {
  uint8_t packet[4] = {(uint8_t)first_byte, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id};
  put_bytes(b, packet, sizeof packet);
}

/* `version` is 4 (3.1.1) or 5; a persistent session has Clean Session 0, in 5.0 with an hour of Session Expiry Interval. */
static void put_connect(struct buffer *b, int version, int persistent, const char *client_id) {
  static const uint8_t session_expiry[] = {5, 0x11, 0, 0, 0x0e, 0x10}; /* length of the properties, 17, 3600 s */
  size_t properties = version < 5 ? 0 : persistent ? sizeof session_expiry : 1;
  put_byte(b, CONNECT);
  put_length(b, 10 + properties + 2 + strlen(client_id));
  put_string(b, "MQTT");
  put_byte(b, version);
  put_byte(b, persistent ? 0 : 2); /* Clean Session */
  put_u16(b, 600);                 /* Keep Alive: longer than any run, so no PINGREQ */
  if (properties == 1) put_byte(b, 0);
  else put_bytes(b, session_expiry, properties);
  put_string(b, client_id);
}

/* The size of the packet at `bytes`, with its header and remaining length, or 0 if it is not complete. */
static size_t packet_size(const uint8_t *bytes, size_t available, size_t *header, size_t *length) {
  *length = 0;
  for (size_t i = 1; i < available && i < 5; i++) {
    *length |= (size_t)(bytes[i] & 127) << 7 * (i - 1);
    if (bytes[i] & 128) continue;
    *header = i + 1;
    return available >= *header + *length ? *header + *length : 0;
  }
  if (available >= 5) fail(EXIT_PEER, "malformed remaining length");
  return 0;
}

#endif
