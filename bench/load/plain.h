/*
 * plain.h: the line of an endpoint to the server without protection: its socket. dtls.h has the same functions with a
 * session of DTLS between.
 */
#ifndef PORTICO_BENCH_PLAIN_H
#define PORTICO_BENCH_PLAIN_H

#include "udp.h"

struct line {
  int fd;
};

static void line_setup(void) {}

static void line_open(struct line *line, int number, const char *host, int port) {
  (void)number;
  line->fd = connected_socket(host, port);
}

/* True once the line carries messages. */
static bool line_progress(struct line *line) { return line->fd >= 0; }
static void line_timeout(struct line *line) { (void)line; }
static void line_send(struct line *line, const uint8_t *bytes, int size) { send_datagram(line->fd, bytes, size); }
static int line_receive(struct line *line, uint8_t *bytes, int size) { return receive_datagram(line->fd, bytes, size); }
static void line_close(struct line *line) { close(line->fd); }

#endif
