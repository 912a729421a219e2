/*
 * udp.h: connected UDP sockets that do not block, and the poller that watches them.
 */
#ifndef PORTICO_BENCH_UDP_H
#define PORTICO_BENCH_UDP_H

#include "measure.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int connected_socket(const char *host, int port) {
  struct sockaddr_in server = loopback_address(host, port);
  int size = 1 << 20;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_system("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail_system("connect");
  return fd;
}

static inline void send_datagram(int fd, const uint8_t *bytes, int size) {
  if (send(fd, bytes, (size_t)size, 0) < 0) fail(EXIT_PEER, "send: %s", strerror(errno));
}

/* The size of the next datagram, or -1 if there is none now. */
static inline int receive_datagram(int fd, uint8_t *bytes, int size) {
  ssize_t got = recv(fd, bytes, (size_t)size, 0);
  if (got < 0 && errno != EAGAIN) fail(EXIT_PEER, "recv: %s", strerror(errno));
  return (int)got;
}

/* Reports when `fd` has something to read, as `number`. */
static void watch(int poller, int fd, int number) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail_system("epoll_ctl");
}

#endif
