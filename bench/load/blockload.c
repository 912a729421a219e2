/*
 * blockload: block-wise transfers over CoAP (RFC 7959), for one core (one thread, epoll, plain UDP). It knows no server.
 *
 *   cc -O2 -Wall -Wextra -o blockload blockload.c
 *   blockload -p 5683 -r ps/bench/block -K 8 -l 16384 -u 1 -d 3
 *
 * The loop is closed: -K endpoints, each with one request outstanding, put a body in blocks of 1,024 bytes to a resource
 * of its own, and get it back. Each body differs from the one before, and every byte of an answer is checked. Nothing is
 * retransmitted: a request without a response after -t seconds, or with another response than it should have, ends the
 * run. `perSecond` are requests, one for each block; latency is from request to response.
 *
 *   -h host  loopback only (127.0.0.1)     -p port  (5683)       -r path  the number of the endpoint comes behind it
 *   -K n  endpoints (8)                    -l n  bytes of a body, 1025 to 1048576 (16384)
 *   -u s  warm-up, not measured (0)        -d s  measured interval, at most 3600 (5)
 *   -t s  after which a request is lost (2)
 *   -i pid  reports the processor time of that process and its core too
 *
 * One JSON object on standard output. Exit 0 only if every request had its response.
 */
#define _GNU_SOURCE
#include "coap.h"
#include "udp.h"

enum { EVENTS = 64, BLOCK = 1024, EXPONENT = 6, MORE = 8, MESSAGE_IDS = 65536, LETTERS = 26 };

static struct {
  const char *host, *path;
  int port, body, endpoints, server;
  double warmup, seconds, timeout;
} opt = {.host = "127.0.0.1", .path = "ps/bench/block", .port = 5683, .body = 16384, .endpoints = 8, .seconds = 5,
         .timeout = 2};

struct endpoint {
  int fd, method, block;
  bool busy;
  uint16_t next_id;
  long ids_used, body; /* the number of the body */
  uint64_t token, sent_at;
  char path[280];
};

static struct endpoint *endpoints;
static int poller, outstanding, last_block;
static long sent, done, bodies, bad;
static struct interval measured;

static int letter_of(const struct endpoint *e) { return 'a' + (int)((e->body + e->block) % LETTERS); }
static int length_of(int block) { return block < last_block ? BLOCK : opt.body - last_block * BLOCK; }

/* A message ID may not come back to one endpoint within EXCHANGE_LIFETIME (RFC 7252 4.4), so another socket goes on. */
static void renew(int index) {
  struct endpoint *e = &endpoints[index];
  if (e->fd >= 0) close(e->fd);
  e->fd = connected_socket(opt.host, opt.port);
  e->next_id = (uint16_t)random();
  e->ids_used = 0;
  watch(poller, e->fd, index);
}

static void send_block(int index) {
  static uint8_t bytes[2 * BLOCK];
  static uint64_t generation;
  struct endpoint *e = &endpoints[index];
  int previous = 0;
  bool more = e->block < last_block;
  if (e->ids_used == MESSAGE_IDS) fail(EXIT_USAGE, "a body has more blocks than there are message IDs");
  uint8_t *at = put_path(begin_message(bytes, CON, e->method), &previous, e->path);
  if (e->method == PUT) {
    at = put_uint(at, &previous, BLOCK1, (uint32_t)(e->block << 4 | (more ? MORE : 0) | EXPONENT));
    at = put_payload(at, letter_of(e), length_of(e->block));
  } else at = put_uint(at, &previous, BLOCK2, (uint32_t)(e->block << 4 | EXPONENT));
  e->token = ++generation;
  e->ids_used++;
  e->busy = true;
  e->sent_at = now_ns();
  address_message(bytes, e->next_id++, e->token);
  send_datagram(e->fd, bytes, (int)(at - bytes));
  sent++;
  outstanding++;
}

static void check_put(const struct endpoint *e, const struct message *m) {
  bool more = e->block < last_block;
  bool expected = more ? m->code == CONTINUE : m->code == CREATED || m->code == CHANGED;
  if (!expected || (m->block1 >= 0 && m->block1 >> 4 != e->block))
    fail(EXIT_PEER, "PUT of block %d: %d.%02d, Block1 %ld", e->block, m->code >> 5, m->code & 31, m->block1);
}

static void check_get(const struct endpoint *e, const struct message *m) {
  long expected = e->block << 4 | (e->block < last_block ? MORE : 0) | EXPONENT;
  if (m->code != CONTENT || m->block2 != expected || m->payload_length != length_of(e->block))
    fail(EXIT_PEER, "GET of block %d: %d.%02d, Block2 %ld, %d bytes", e->block, m->code >> 5, m->code & 31, m->block2,
         m->payload_length);
  for (int i = 0; i < m->payload_length; i++)
    if (m->payload[i] != letter_of(e)) fail(EXIT_PEER, "GET of block %d: another content", e->block);
}

static void next_request(int index) {
  struct endpoint *e = &endpoints[index];
  if (e->block < last_block) e->block++;
  else {
    e->block = 0;
    bodies++;
    if (e->method == PUT) e->method = GET;
    else {
      e->method = PUT;
      e->body++;
      if (e->ids_used > MESSAGE_IDS - 2 * (last_block + 1)) renew(index);
    }
  }
  if (measured.phase != DRAINING) send_block(index);
}

static void on_datagram(int index, const uint8_t *bytes, int size) {
  struct endpoint *e = &endpoints[index];
  struct message m;
  if (parse_message(bytes, size, &m) < 0) {
    bad++;
    return;
  }
  if (m.type == RST) fail(EXIT_PEER, "the server answered with Reset");
  if (m.code == EMPTY) return; /* promises a separate response, RFC 7252 5.2.2 */
  if (m.type == CON) {
    uint8_t ack[ACK_SIZE];
    build_ack(ack, &m);
    send_datagram(e->fd, ack, sizeof ack);
  }
  if (!e->busy || m.token != e->token) return; /* a separate response that came again */
  if (e->method == PUT) check_put(e, &m);
  else check_get(e, &m);
  if (measured.phase == MEASURING) histogram_add(&measured.latency, now_ns() - e->sent_at);
  e->busy = false;
  outstanding--;
  done++;
  next_request(index);
}

static void wait_for_responses(void) {
  static uint8_t datagram[MAX_DATAGRAM];
  struct epoll_event events[EVENTS];
  int n = epoll_wait(poller, events, EVENTS, 20);
  for (int i = 0; i < n; i++) {
    int index = (int)events[i].data.u32;
    int size = receive_datagram(endpoints[index].fd, datagram, sizeof datagram);
    if (size >= 0) on_datagram(index, datagram, size);
  }
}

static void check_patience(void) {
  for (int i = 0; i < opt.endpoints; i++)
    if (endpoints[i].busy && now_ns() > endpoints[i].sent_at + from_seconds(opt.timeout))
      fail(EXIT_LOSS, "a request is not answered in %g seconds", opt.timeout);
}

static void open_endpoints(void) {
  endpoints = calloc((size_t)opt.endpoints, sizeof *endpoints);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!endpoints || poller < 0) fail_system("open");
  srandom((unsigned)now_ns());
  last_block = (opt.body - 1) / BLOCK;
  for (int i = 0; i < opt.endpoints; i++) {
    endpoints[i] = (struct endpoint){.fd = -1, .method = PUT};
    snprintf(endpoints[i].path, sizeof endpoints[i].path, "%s%d", opt.path, i);
    renew(i);
  }
}

static void advance_phase(uint64_t begin) {
  uint64_t now = now_ns();
  if (measured.phase == WARMING && now >= begin + from_seconds(opt.warmup))
    interval_begin(&measured, sent, done, opt.server);
  if (measured.phase == MEASURING && now >= measured.start + from_seconds(opt.seconds))
    interval_end(&measured, sent, done, opt.server);
}

static void run(void) {
  uint64_t begin = now_ns(), next_check = begin;
  advance_phase(begin);
  for (int i = 0; i < opt.endpoints; i++) send_block(i);
  while (measured.phase != DRAINING || outstanding > 0) {
    wait_for_responses();
    advance_phase(begin);
    if (now_ns() < next_check) continue;
    check_patience();
    next_check = now_ns() + NS_PER_SECOND / 20;
  }
}

static int report(void) {
  printf("{\"endpoints\":%d,\"body\":%d,\"sent\":%ld,\"done\":%ld,\"bodies\":%ld,\"bad\":%ld,", opt.endpoints, opt.body, sent,
         done, bodies, bad);
  print_interval(&measured, opt.server);
  printf("}\n");
  if (done == sent && bad == 0) return 0;
  fprintf(stderr, "%ld of %ld requests answered, %ld malformed responses\n", done, sent, bad);
  return EXIT_LOSS;
}

static void parse_options(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "h:p:r:K:l:u:d:t:i:")) != -1;) switch (o) {
      case 'h': opt.host = optarg; break;
      case 'r': opt.path = optarg; break;
      case 'p': opt.port = (int)number_option('p', optarg, 1, 65535); break;
      case 'K': opt.endpoints = (int)number_option('K', optarg, 1, 10000); break;
      case 'l': opt.body = (int)number_option('l', optarg, BLOCK + 1, 1 << 20); break;
      case 'u': opt.warmup = number_option('u', optarg, 0, 60); break;
      case 'd': opt.seconds = number_option('d', optarg, 0.01, 3600); break;
      case 't': opt.timeout = number_option('t', optarg, 0.1, 60); break;
      case 'i': opt.server = (int)number_option('i', optarg, 1, 1e9); break;
      default: fail(EXIT_USAGE, "the head of blockload.c explains the options");
    }
  if (strlen(opt.path) > 255) fail(EXIT_USAGE, "-r takes at most 255 bytes");
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  raise_descriptor_limit();
  open_endpoints();
  run();
  return report();
}
