/*
 * observeload: observers of one CoAP resource and one publisher that changes it (RFC 7641), for one core (one thread,
 * epoll, plain UDP). It knows no server.
 *
 *   cc -O2 -Wall -Wextra -o observeload observeload.c
 *   observeload -p 5683 -r ps/bench/x -O 200 -l 64 -u 1 -d 3
 *
 * The publisher makes the resource, -O observers register, each from a socket of its own, and from then on the publisher
 * sends the next state when the last one is acknowledged. A state is its number, in decimal digits, and padding. Every
 * Confirmable notification is acknowledged at once. A server may leave out states, but not the last one: after the
 * interval every observer must get it within -t seconds. A state older than the one before it, a response with another
 * code, a registration without Observe, and a request without a response fail the run. A state that comes once more, as a
 * retransmission or to see whether the observer is still there, is no further notification.
 *
 *   -h host  loopback only (127.0.0.1)     -p port  (5683)       -r path  of the resource (ps/bench/x)
 *   -m put|post  the publisher's method, but for the first state, which is always put (put)
 *   -O n  observers (200)                  -N  Non-confirmable registrations instead of Confirmable ones
 *   -l n  payload bytes, 16 to 1024 (64)   -g ms  pause between two states (0)
 *   -u s  warm-up, not measured (0)        -d s  measured interval, at most 3600 (5)
 *   -n n  ends earlier, after so many states have come to all observers
 *   -i pid  reports the processor time of that process and its core too
 *   -t s  after which a request or the last state is missed (10)
 *   -H  stays after the report, and acknowledges, until it is ended
 *
 * One JSON object on standard output: `perSecond` are notifications, `sentPerSecond` states. Latency is from the request
 * with a state to its notification. Exit 0 only if every request was answered and every observer has the last state.
 */
#define _GNU_SOURCE
#include "coap.h"
#include "udp.h"

enum { EVENTS = 256, REGISTERING = 64, PUBLISHER_SOCKETS = 16, MESSAGE_IDS = 65536, DIGITS = 12, STATES = 4096 };

static struct {
  const char *host, *path;
  int port, type, method, payload, observers, server;
  long states;
  double warmup, seconds, timeout, pause;
  bool hold;
} opt = {.host = "127.0.0.1", .path = "ps/bench/x", .port = 5683, .type = CON, .method = PUT, .payload = 64, .observers = 200,
         .states = 1000000000, .seconds = 5, .timeout = 10};

struct observer {
  int fd;
  bool registered, noted;
  uint16_t id, noted_id; /* of the last notification */
  uint64_t asked_at;
  long state;
};

/* The publisher has several sockets in turn: a message ID may not come back within EXCHANGE_LIFETIME (RFC 7252 4.4). */
static struct {
  int fd[PUBLISHER_SOCKETS];
  uint16_t next_id[PUBLISHER_SOCKETS];
  bool busy;
  long sent, acknowledged; /* the number of the state */
  uint64_t sent_at[STATES];
} publisher;

static struct observer *observers;
static int poller, asked, registered;
static long notifications, confirmable, repeated, bad;
static uint64_t registering;
static struct interval measured;

/* ---- the publisher -------------------------------------------------------------------------------------------- */

static void publish(void) {
  static uint8_t bytes[4 + TOKEN_SIZE + MAX_DATAGRAM];
  long number = ++publisher.sent;
  int previous = 0, turn = (int)(number % PUBLISHER_SOCKETS);
  if (number >= (long)PUBLISHER_SOCKETS * MESSAGE_IDS) fail(EXIT_USAGE, "more states than message IDs: use -g");
  uint8_t *payload = put_path(begin_message(bytes, CON, number == 1 ? PUT : opt.method), &previous, opt.path);
  uint8_t *end = put_payload(payload, 'x', opt.payload);
  for (long rest = number, i = DIGITS; i > 0; rest /= 10) payload[i--] = (uint8_t)('0' + rest % 10); /* after the marker */
  address_message(bytes, publisher.next_id[turn]++, (uint64_t)number);
  publisher.sent_at[number % STATES] = now_ns();
  publisher.busy = true;
  send_datagram(publisher.fd[turn], bytes, (int)(end - bytes));
}

static void on_published(const struct message *m) {
  if (!publisher.busy || m->token != (uint64_t)publisher.sent) fail(EXIT_PEER, "a response to no request");
  if (m->code != CREATED && m->code != CHANGED) fail(EXIT_PEER, "a new state: response code %d.%02d", m->code >> 5, m->code & 31);
  publisher.busy = false;
  publisher.acknowledged = publisher.sent;
}

/* ---- the observers -------------------------------------------------------------------------------------------- */

static void ask(int index) {
  uint8_t bytes[512];
  struct observer *observer = &observers[index];
  int previous = 0;
  uint8_t *at = put_uint(begin_message(bytes, opt.type, GET), &previous, OBSERVE, 0);
  at = put_path(at, &previous, opt.path);
  address_message(bytes, observer->id++, (uint64_t)index);
  observer->asked_at = now_ns();
  send_datagram(observer->fd, bytes, (int)(at - bytes));
}

static long state_of(const struct message *m) {
  char digits[DIGITS + 1] = {0};
  if (m->payload_length != opt.payload) fail(EXIT_PEER, "payload of %d bytes instead of %d", m->payload_length, opt.payload);
  memcpy(digits, m->payload, DIGITS);
  return strtol(digits, NULL, 10);
}

static void on_state(int index, const struct message *m) {
  struct observer *observer = &observers[index];
  if (m->token != (uint64_t)index) fail(EXIT_PEER, "a notification with a strange token");
  if (m->code != CONTENT) fail(EXIT_PEER, "notification with code %d.%02d", m->code >> 5, m->code & 31);
  if (m->observe < 0) fail(EXIT_PEER, "the server does not let %d observe: no Observe in its response", index);
  long state = state_of(m);
  if (!observer->registered) {
    observer->registered = true;
    registered++;
    observer->state = state;
    return;
  }
  bool again = observer->noted && m->id == observer->noted_id;
  observer->noted = true;
  observer->noted_id = m->id;
  if (again || state == observer->state) {
    repeated++;
    return;
  }
  if (state < observer->state) fail(EXIT_PEER, "state %ld after state %ld", state, observer->state);
  observer->state = state;
  notifications++;
  confirmable += m->type == CON;
  if (measured.phase == MEASURING && publisher.sent - state < STATES)
    histogram_add(&measured.latency, now_ns() - publisher.sent_at[state % STATES]);
}

static bool all_have(long state) {
  for (int i = 0; i < opt.observers; i++)
    if (observers[i].state < state) return false;
  return true;
}

/* ---- datagrams ------------------------------------------------------------------------------------------------ */

static void on_datagram(int index, int fd, const uint8_t *bytes, int size) {
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
    send_datagram(fd, ack, sizeof ack);
  }
  if (index < opt.observers) on_state(index, &m);
  else on_published(&m);
}

static void wait_for_datagrams(int milliseconds) {
  static uint8_t datagram[MAX_DATAGRAM];
  struct epoll_event events[EVENTS];
  int n = epoll_wait(poller, events, EVENTS, milliseconds);
  for (int i = 0; i < n; i++) {
    int index = (int)events[i].data.u32;
    int fd = index < opt.observers ? observers[index].fd : publisher.fd[index - opt.observers];
    int size = receive_datagram(fd, datagram, sizeof datagram); /* what is left is reported again */
    if (size >= 0) on_datagram(index, fd, datagram, size);
  }
}

/* ---- the run -------------------------------------------------------------------------------------------------- */

static void open_sockets(void) {
  observers = calloc((size_t)opt.observers, sizeof *observers);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!observers || poller < 0) fail_system("open");
  srandom((unsigned)now_ns());
  for (int i = 0; i < PUBLISHER_SOCKETS; i++) {
    publisher.fd[i] = connected_socket(opt.host, opt.port);
    publisher.next_id[i] = (uint16_t)random();
    watch(poller, publisher.fd[i], opt.observers + i);
  }
  for (int i = 0; i < opt.observers; i++) {
    observers[i] = (struct observer){.fd = connected_socket(opt.host, opt.port), .id = (uint16_t)random(), .state = -1};
    watch(poller, observers[i].fd, i);
  }
}

static void check_patience(uint64_t since, const char *what) {
  if (now_ns() > since + from_seconds(opt.timeout)) fail(EXIT_LOSS, "%s in %g seconds", what, opt.timeout);
}

static void wait_for_publisher(void) {
  while (publisher.busy) {
    wait_for_datagrams(20);
    check_patience(publisher.sent_at[publisher.sent % STATES], "a new state is not acknowledged");
  }
}

static void register_all(void) {
  uint64_t begin = now_ns();
  publish();
  wait_for_publisher();
  while (registered < opt.observers) {
    while (asked < opt.observers && asked - registered < REGISTERING) ask(asked++);
    wait_for_datagrams(20);
    for (int i = asked > 4 * REGISTERING ? asked - 4 * REGISTERING : 0; i < asked; i++)
      if (!observers[i].registered) check_patience(observers[i].asked_at, "a registration is not answered");
  }
  registering = now_ns() - begin;
}

static void advance_phase(uint64_t begin, bool exhausted) {
  uint64_t now = now_ns();
  if (measured.phase == WARMING && now >= begin + from_seconds(opt.warmup))
    interval_begin(&measured, publisher.acknowledged, notifications, opt.server);
  if (measured.phase == MEASURING && (exhausted || now >= measured.start + from_seconds(opt.seconds)))
    interval_end(&measured, publisher.acknowledged, notifications, opt.server);
}

/* Changes the resource until the interval is over; then everybody must get to know its last state. */
static void run(void) {
  uint64_t begin = now_ns(), next_publish = begin, next_look = begin;
  long last = publisher.sent + opt.states;
  bool exhausted = false;
  advance_phase(begin, false);
  while (measured.phase != DRAINING) {
    uint64_t now = now_ns();
    if (!publisher.busy && publisher.sent < last && now >= next_publish) {
      publish();
      next_publish = now + from_seconds(opt.pause / 1000);
    }
    wait_for_datagrams(opt.pause > 0 ? 1 : 20);
    if (publisher.busy) check_patience(publisher.sent_at[publisher.sent % STATES], "a new state is not acknowledged");
    if (publisher.acknowledged == last && now_ns() >= next_look) {
      exhausted = all_have(last);
      next_look = now_ns() + NS_PER_SECOND / 200;
      check_patience(publisher.sent_at[last % STATES], "the last state has not come to all observers");
    }
    advance_phase(begin, exhausted);
  }
  uint64_t ended = now_ns();
  wait_for_publisher();
  while (!all_have(publisher.acknowledged)) {
    wait_for_datagrams(20);
    check_patience(ended, "the last state has not come to all observers");
  }
}

static void report(void) {
  printf("{\"observers\":%d,\"payload\":%d,\"states\":%ld,\"notifications\":%ld,\"confirmable\":%ld,\"repeated\":%ld,"
         "\"bad\":%ld,\"registeringSeconds\":%.3f,",
         opt.observers, opt.payload, publisher.acknowledged, notifications, confirmable, repeated, bad,
         to_seconds(registering));
  print_interval(&measured, opt.server);
  printf("}\n");
  fflush(stdout);
  if (bad > 0) fail(EXIT_LOSS, "%ld malformed messages", bad);
}

static int method_option(const char *text) {
  if (!strcmp(text, "put")) return PUT;
  if (!strcmp(text, "post")) return POST;
  fail(EXIT_USAGE, "-m takes put or post");
}

static void parse_options(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "h:p:r:m:Nl:O:g:u:d:n:i:t:H")) != -1;) switch (o) {
      case 'h': opt.host = optarg; break;
      case 'r': opt.path = optarg; break;
      case 'm': opt.method = method_option(optarg); break;
      case 'N': opt.type = NON; break;
      case 'H': opt.hold = true; break;
      case 'p': opt.port = (int)number_option('p', optarg, 1, 65535); break;
      case 'l': opt.payload = (int)number_option('l', optarg, 16, 1024); break;
      case 'O': opt.observers = (int)number_option('O', optarg, 1, 20000); break;
      case 'g': opt.pause = number_option('g', optarg, 0, 60000); break;
      case 'u': opt.warmup = number_option('u', optarg, 0, 60); break;
      case 'd': opt.seconds = number_option('d', optarg, 0.01, 3600); break;
      case 'n': opt.states = (long)number_option('n', optarg, 1, 1e9); break;
      case 'i': opt.server = (int)number_option('i', optarg, 1, 1e9); break;
      case 't': opt.timeout = number_option('t', optarg, 0.1, 600); break;
      default: fail(EXIT_USAGE, "the head of observeload.c explains the options");
    }
  if (strlen(opt.path) > 255) fail(EXIT_USAGE, "-r takes at most 255 bytes");
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  raise_descriptor_limit();
  open_sockets();
  register_all();
  run();
  report();
  while (opt.hold) wait_for_datagrams(1000);
  return 0;
}
