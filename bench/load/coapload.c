/*
 * coapload: a closed-loop CoAP load generator for one core (one thread, epoll), over plain UDP, or over DTLS 1.2 with
 * pre-shared keys as coapsload. It knows no server.
 *
 *   cc -O2 -Wall -Wextra -o coapload coapload.c
 *   cc -O2 -Wall -Wextra -DWITH_DTLS -o coapsload coapload.c -lssl -lcrypto
 *   coapload -p 5683 -m put -r ps/bench/x -l 64 -u 1 -d 3
 *
 * The loop is closed: -W requests are outstanding in all, spread over -K connected sockets, and a slot sends its next
 * request when its response is in. Nothing is retransmitted: a request without a response after -t seconds is lost,
 * and a lost request fails the run, as does a response with another code than the one that the method calls for or
 * a GET with a payload of another length than -l. Latency is from request to response.
 *
 *   -h host  loopback only (127.0.0.1)     -p port  (5683)       -r path  of the resource (ps/bench/x)
 *   -m get|put   the method                -N  Non-confirmable requests instead of Confirmable ones
 *   -l n  payload bytes, 1 to 1024 (64)    -K n  sockets (16)    -W n  requests outstanding (64)
 *   -u s  warm-up, not measured (0)        -d s  measured interval, at most 3600 (5)
 *   -n n  ends earlier, after so many requests      -i pid  reports the processor time of that process and its core too
 *   -t s  after which a request is lost (2)         -H      stays after the report, with its sockets, until it is ended
 * With DTLS:
 *   -k key    as text                      -I prefix of the identities; the number of the session comes behind it (bench-)
 *   -C suite  OpenSSL's name of it (PSK-AES128-CCM8)
 *
 * A message ID may not come back to one endpoint within EXCHANGE_LIFETIME (RFC 7252 4.4), so a run ends after 65,536
 * requests per socket at the latest: a server that deduplicates would answer the next ones from memory.
 *
 * One JSON object on standard output. Exit 0 only if every request had its response.
 */
#define _GNU_SOURCE
#include "coap.h"
#ifdef WITH_DTLS
#include "dtls.h"
#else
#include "plain.h"
#endif

enum { MESSAGE_IDS = 65536, SLOT_BITS = 16, EVENTS = 64, BURST = 64, HANDSHAKES = 64 };
#define HANDSHAKE_TIMEOUT (10 * NS_PER_SECOND)

static struct {
  const char *host, *path;
  int port, method, type, payload, sockets, window, server;
  long requests;
  double warmup, seconds, timeout;
  bool hold;
} opt = {.host = "127.0.0.1", .path = "ps/bench/x", .port = 5683, .method = GET, .type = CON, .payload = 64,
         .sockets = 16, .window = 64, .requests = 1000000000, .seconds = 5, .timeout = 2};

struct endpoint {
  struct line line;
  bool ready;
  uint16_t next_id;
};

/* One outstanding request. Its token is `generation << SLOT_BITS | slot`, so that a late response is recognised. */
struct slot {
  bool busy;
  uint64_t token, sent_at;
};

static struct endpoint *endpoints;
static struct slot *slots;
static int poller, outstanding;
static uint8_t request[4 + TOKEN_SIZE + MAX_DATAGRAM];
static int request_size;
static long sent, done, lost, late, separate, bad;
static uint64_t opening; /* ns until all lines were open */
static struct interval measured;

/* ---- sockets -------------------------------------------------------------------------------------------------- */

/* Opens the lines, up to HANDSHAKES of them at a time; ends the process if none gets ready for too long. */
static void open_lines(void) {
  struct epoll_event events[EVENTS];
  int begun = 0, ready = 0;
  uint64_t progress = now_ns(), next_check = progress;
  while (ready < opt.sockets) {
    for (; begun < opt.sockets && begun - ready < HANDSHAKES; begun++) {
      line_open(&endpoints[begun].line, begun, opt.host, opt.port);
      watch(poller, endpoints[begun].line.fd, begun);
      ready += endpoints[begun].ready = line_progress(&endpoints[begun].line);
    }
    int n = ready < opt.sockets ? epoll_wait(poller, events, EVENTS, 20) : 0;
    for (int i = 0; i < n; i++) {
      struct endpoint *endpoint = &endpoints[events[i].data.u32];
      if (endpoint->ready || !line_progress(&endpoint->line)) continue;
      endpoint->ready = true;
      ready++;
      progress = now_ns();
    }
    if (now_ns() > progress + HANDSHAKE_TIMEOUT) fail(EXIT_PEER, "%d of %d sessions opened", ready, opt.sockets);
    if (now_ns() < next_check) continue;
    for (int i = 0; i < begun; i++)
      if (!endpoints[i].ready) line_timeout(&endpoints[i].line);
    next_check = now_ns() + NS_PER_SECOND / 20;
  }
}

static void open_endpoints(void) {
  endpoints = calloc((size_t)opt.sockets, sizeof *endpoints);
  slots = calloc((size_t)opt.window, sizeof *slots);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!endpoints || !slots || poller < 0) fail_system("open");
  srandom((unsigned)now_ns());
  for (int i = 0; i < opt.sockets; i++) endpoints[i].next_id = (uint16_t)random();
  uint64_t begin = now_ns();
  line_setup();
  open_lines();
  opening = now_ns() - begin;
}

/* ---- requests and responses ----------------------------------------------------------------------------------- */

static bool may_send(void) { return measured.phase != DRAINING && sent < opt.requests; }

static void send_request(int index) {
  static uint64_t generation;
  struct slot *slot = &slots[index];
  struct endpoint *from = &endpoints[sent % opt.sockets];
  *slot = (struct slot){.busy = true, .token = ++generation << SLOT_BITS | (uint64_t)index, .sent_at = now_ns()};
  address_message(request, from->next_id++, slot->token);
  line_send(&from->line, request, request_size);
  sent++;
  outstanding++;
}

static void release(int index) {
  slots[index].busy = false;
  outstanding--;
  if (may_send()) send_request(index);
}

/* 2.05 for GET; 2.01 or 2.04 for PUT. */
static void check_response(const struct message *m) {
  bool expected = opt.method == GET ? m->code == CONTENT : m->code == CREATED || m->code == CHANGED;
  if (!expected) fail(EXIT_PEER, "response code %d.%02d", m->code >> 5, m->code & 31);
  if (opt.method == GET && m->payload_length != opt.payload)
    fail(EXIT_PEER, "payload of %d bytes instead of %d", m->payload_length, opt.payload);
}

static void on_response(const struct message *m) {
  int index = (int)(m->token & ((1 << SLOT_BITS) - 1));
  if (index >= opt.window || !slots[index].busy || slots[index].token != m->token) {
    late++;
    return;
  }
  check_response(m);
  if (measured.phase == MEASURING) histogram_add(&measured.latency, now_ns() - slots[index].sent_at);
  done++;
  release(index);
}

static void on_datagram(struct line *line, const uint8_t *bytes, int size) {
  struct message m;
  if (parse_message(bytes, size, &m) < 0) bad++;
  else if (m.type == RST) fail(EXIT_PEER, "the server answered with Reset");
  else if (m.code != EMPTY) { /* an empty ACK promises a separate response, RFC 7252 5.2.2 */
    if (m.type == CON) {
      uint8_t ack[ACK_SIZE];
      build_ack(ack, &m);
      line_send(line, ack, sizeof ack);
      separate++;
    }
    on_response(&m);
  }
}

static void wait_for_responses(void) {
  static uint8_t datagram[MAX_DATAGRAM];
  struct epoll_event events[EVENTS];
  int n = epoll_wait(poller, events, EVENTS, 20);
  for (int i = 0; i < n; i++) {
    struct line *line = &endpoints[events[i].data.u32].line;
    for (int burst = 0; burst < BURST; burst++) {
      int size = line_receive(line, datagram, sizeof datagram);
      if (size < 0) break;
      on_datagram(line, datagram, size);
    }
  }
}

static void give_up_on_lost_requests(void) {
  uint64_t now = now_ns();
  for (int i = 0; i < opt.window; i++)
    if (slots[i].busy && now - slots[i].sent_at > from_seconds(opt.timeout)) {
      lost++;
      release(i);
    }
}

/* ---- the run -------------------------------------------------------------------------------------------------- */

static void advance_phase(uint64_t begin) {
  uint64_t now = now_ns();
  bool exhausted = sent >= opt.requests && outstanding == 0;
  if (measured.phase == WARMING && exhausted) fail(EXIT_USAGE, "-n requests ran out in the warm-up of -u seconds");
  if (measured.phase == WARMING && now >= begin + from_seconds(opt.warmup))
    interval_begin(&measured, sent, done, opt.server);
  if (measured.phase == MEASURING && (exhausted || now >= measured.start + from_seconds(opt.seconds)))
    interval_end(&measured, sent, done, opt.server);
}

/* Ends by itself: sending stops with the interval, and what is outstanding then is answered or lost in -t seconds. */
static void run(void) {
  uint64_t begin = now_ns(), next_check = begin;
  advance_phase(begin);
  for (int i = 0; i < opt.window && may_send(); i++) send_request(i);
  while (measured.phase != DRAINING || outstanding > 0) {
    wait_for_responses();
    advance_phase(begin);
    if (now_ns() >= next_check) {
      give_up_on_lost_requests();
      next_check = now_ns() + NS_PER_SECOND / 20;
    }
  }
}

static int report(void) {
  printf("{\"method\":\"%s\",\"type\":\"%s\",\"sockets\":%d,\"window\":%d,\"payload\":%d,\"sent\":%ld,\"done\":%ld,"
         "\"lost\":%ld,\"late\":%ld,\"separate\":%ld,\"bad\":%ld,"
         "\"openingSeconds\":%.3f,",
         opt.method == GET ? "GET" : "PUT", opt.type == CON ? "CON" : "NON", opt.sockets, opt.window, opt.payload,
         sent, done, lost, late, separate, bad, to_seconds(opening));
  print_interval(&measured, opt.server);
  printf("}\n");
  fflush(stdout);
  if (done == sent && bad == 0) return 0;
  fprintf(stderr, "%ld of %ld requests answered, %ld malformed responses\n", done, sent, bad);
  return EXIT_LOSS;
}

static int method_option(const char *text) {
  if (!strcmp(text, "get")) return GET;
  if (!strcmp(text, "put")) return PUT;
  fail(EXIT_USAGE, "-m takes get or put");
}

static void parse_options(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "h:p:r:m:Nl:K:W:u:d:n:i:t:Hk:I:C:")) != -1;) switch (o) {
      case 'h': opt.host = optarg; break;
      case 'r': opt.path = optarg; break;
      case 'm': opt.method = method_option(optarg); break;
      case 'N': opt.type = NON; break;
      case 'p': opt.port = (int)number_option('p', optarg, 1, 65535); break;
      case 'l': opt.payload = (int)number_option('l', optarg, 1, 1024); break;
      case 'K': opt.sockets = (int)number_option('K', optarg, 1, 20000); break;
      case 'W': opt.window = (int)number_option('W', optarg, 1, (1 << SLOT_BITS) - 1); break;
      case 'u': opt.warmup = number_option('u', optarg, 0, 60); break;
      case 'd': opt.seconds = number_option('d', optarg, 0.01, 3600); break;
      case 'n': opt.requests = (long)number_option('n', optarg, 1, 1e9); break;
      case 'i': opt.server = (int)number_option('i', optarg, 1, 1e9); break;
      case 't': opt.timeout = number_option('t', optarg, 0.1, 60); break;
      case 'H': opt.hold = true; break;
#ifdef WITH_DTLS
      case 'k': credentials.key = optarg; break;
      case 'I': credentials.identity = optarg; break;
      case 'C': credentials.suite = optarg; break;
#endif
      default: fail(EXIT_USAGE, "the head of coapload.c explains the options");
    }
  if (strlen(opt.path) > 255) fail(EXIT_USAGE, "-r takes at most 255 bytes");
  long most = (long)opt.sockets * MESSAGE_IDS;
  if (opt.requests > most) opt.requests = most;
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  raise_descriptor_limit();
  open_endpoints();
  request_size = build_request(request, opt.type, opt.method, opt.path, opt.method == GET ? 0 : opt.payload);
  run();
  int code = report();
  while (opt.hold && code == 0) pause();
  for (int i = 0; i < opt.sockets; i++) line_close(&endpoints[i].line);
  return code;
}
