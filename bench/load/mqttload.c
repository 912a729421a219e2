/*
 * mqttload: a closed-loop MQTT 3.1.1 and 5.0 load generator for one core (one thread, epoll). It knows no broker.
 *
 *   cc -O2 -Wall -Wextra -o mqttload mqttload.c
 *   mqttload -p 1883 -P 10 -S 10 -m pair -q 1 -u 1 -d 3
 *
 * The loop is closed: publishers stop while too many deliveries are owed, so no broker has a reason to drop QoS 0 and
 * the figure is what was delivered. Every payload begins with the time at which it was written; latency is from there
 * to the subscriber's read, queueing in the closed loop included.
 *
 *   -h host  loopback only (127.0.0.1)    -p port  (1883)
 *   -m pair|fanout|fanin  publisher i to subscriber i | everyone to every subscriber | everyone to one wildcard
 *   -P n  publishers    -S n  subscribers  -q 0|1|2  QoS of publications and subscriptions
 *   -t n  topics that each publisher takes in turn, below the subscription bench/i/+ (1); with -m pair only
 *   -l n  payload bytes, 8 to 2000000 (64) -5  MQTT 5.0 instead of 3.1.1
 *   -x    MQTT 5.0 with properties: Payload Format Indicator, Message Expiry Interval, Content Type and a User Property on
 *         each message, and a Subscription Identifier
 *   -k    subscribers have persistent sessions (Clean Session 0; in 5.0 with an hour of Session Expiry Interval)
 *   -W n  messages not yet delivered to all their receivers, over all publishers, on average of the receivers (1000)
 *   -w n  unacknowledged messages per publisher at QoS 1 and 2 (100)
 *   -u s  warm-up, not measured (0)        -d s  measured interval, at most 120 (5)
 *   -n n  ends earlier, after so many messages in all     -T s  time limit of the whole run (60)
 *   -i pid  reports the processor time of that process and its core too
 *
 * One JSON object on standard output. Exit 0 only if every delivery owed has arrived, exactly once.
 */
#define _GNU_SOURCE
#include "mqtt.h"

#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MAX_CONNECTIONS = 20000, CONNECTS_AT_ONCE = 200, EVENTS = 1024, READ_SIZE = 65536, MAX_PAYLOAD = 2000000, OUTPUT_FULL = 262144, TOPIC_DIGITS = 6 };
enum pattern { PAIR, FANOUT, FANIN };

static struct {
  const char *host;
  int port, publishers, subscribers, qos, payload, version, inflight, broker, topics;
  enum pattern pattern;
  bool persistent, properties;
  long window, messages;
  double warmup, seconds, limit;
} opt = {.host = "127.0.0.1", .port = 1883, .publishers = 1, .subscribers = 1, .payload = 64, .version = 4,
         .inflight = 100, .topics = 1, .window = 1000, .messages = 1000000000, .seconds = 5, .limit = 60};

struct connection {
  enum { CONNECTING, WAIT_CONNACK, WAIT_SUBACK, READY } state;
  int fd, index;
  bool subscriber, wants_write;
  struct buffer in, out, publish; /* `publish` is this publisher's packet; identifier and time go into each copy */
  uint16_t packet_id;
  int unacknowledged;
  long messages; /* published, or delivered */
};

static struct connection *connections; /* subscribers first, then publishers */
static int connection_count, ready_count, poller, receivers /* of each message */;
static long sent, acknowledged, received, duplicates;
static struct interval measured;

/* ---- packets that we send ------------------------------------------------------------------------------------- */

static void topic_of(char *topic, size_t size, int index) {
  if (opt.pattern == FANOUT) snprintf(topic, size, "bench/all");
  else if (opt.topics > 1) snprintf(topic, size, "bench/%d/%0*d", index, TOPIC_DIGITS, 0);
  else snprintf(topic, size, "bench/%d/t", index);
}

/* What a message of -x carries, with the length in front; the expiry is an hour. */
static const uint8_t message_properties[] = "\x2a\x01\x01\x02\x00\x00\x0e\x10\x03\x00\x10" "application/json"
                                            "\x26\x00\x06" "source" "\x00\x05" "bench";
enum { MESSAGE_PROPERTIES = sizeof message_properties - 1 };
/* Subscription Identifier 7. */
static const uint8_t subscribe_properties[] = {2, 0x0b, 7};

static size_t properties_size(size_t with) { return opt.properties ? with : opt.version == 5; }

static void put_properties(struct buffer *b, const uint8_t *properties, size_t size) {
  if (opt.properties) put_bytes(b, properties, size);
  else if (opt.version == 5) put_byte(b, 0);
}

static void put_subscribe(struct connection *c) {
  char filter[32];
  if (opt.pattern == FANIN) snprintf(filter, sizeof filter, "bench/#");
  else if (opt.topics > 1) snprintf(filter, sizeof filter, "bench/%d/+", c->index);
  else topic_of(filter, sizeof filter, c->index);
  put_byte(&c->out, SUBSCRIBE);
  put_length(&c->out, 2 + properties_size(sizeof subscribe_properties) + 2 + strlen(filter) + 1);
  put_u16(&c->out, 1);
  put_properties(&c->out, subscribe_properties, sizeof subscribe_properties);
  put_string(&c->out, filter);
  put_byte(&c->out, opt.qos);
}

static void prepare_publish(struct connection *c) {
  char topic[32];
  topic_of(topic, sizeof topic, c->index);
  put_byte(&c->publish, PUBLISH | opt.qos << 1);
  size_t properties = properties_size(MESSAGE_PROPERTIES);
  put_length(&c->publish, 2 + strlen(topic) + (opt.qos ? 2 : 0) + properties + (size_t)opt.payload);
  put_string(&c->publish, topic);
  if (opt.qos) put_u16(&c->publish, 0);
  put_properties(&c->publish, message_properties, MESSAGE_PROPERTIES);
  memset(reserve(&c->publish, (size_t)opt.payload), 'x', (size_t)opt.payload);
}

/* The digits at the end of a publisher's topic, which say the one whose turn it is. */
static void put_topic_digits(struct connection *c, uint8_t *end) {
  long number = c->messages % opt.topics;
  for (int i = 1; i <= TOPIC_DIGITS; i++, number /= 10) end[-i] = (uint8_t)('0' + number % 10);
}

static void put_publish(struct connection *c) {
  size_t size = c->publish.end;
  uint8_t *packet = reserve(&c->out, size);
  uint8_t *payload = packet + size - opt.payload;
  memcpy(packet, c->publish.bytes, size);
  if (opt.qos) {
    c->packet_id = c->packet_id == 65535 ? 1 : c->packet_id + 1;
    uint8_t *id = payload - 2 - properties_size(MESSAGE_PROPERTIES);
    id[0] = (uint8_t)(c->packet_id >> 8);
    id[1] = (uint8_t)c->packet_id;
    c->unacknowledged++;
  }
  if (opt.topics > 1) put_topic_digits(c, payload - (opt.qos ? 2 : 0) - properties_size(MESSAGE_PROPERTIES));
  uint64_t time = now_ns();
  memcpy(payload, &time, sizeof time);
  c->messages++;
  sent++;
}

/* ---- packets that we receive ---------------------------------------------------------------------------------- */

static void become_ready(struct connection *c) {
  c->state = READY;
  ready_count++;
}

static void on_connack(struct connection *c, const uint8_t *body) {
  if (body[1] != 0) fail(EXIT_PEER, "CONNACK with code 0x%02x", body[1]);
  if (c->subscriber) {
    put_subscribe(c);
    c->state = WAIT_SUBACK;
  } else become_ready(c);
}

static void on_publish(struct connection *c, int first_byte, const uint8_t *body, size_t length) {
  int qos = first_byte >> 1 & 3;
  const uint8_t *at = body + 2 + (body[0] << 8 | body[1]);
  if (at + 2 > body + length) fail(EXIT_PEER, "PUBLISH with a topic longer than itself");
  if (first_byte & 8) duplicates++;
  if (qos) {
    int packet_id = at[0] << 8 | at[1];
    at += 2;
    put_short_packet(&c->out, qos == 1 ? PUBACK : PUBREC, packet_id);
  }
  if (opt.version == 5) {
    if (*at > 127) fail(EXIT_PEER, "PUBLISH with more than 127 bytes of properties");
    at += 1 + *at;
  }
  if (at + opt.payload != body + length) fail(EXIT_PEER, "PUBLISH with a payload of the wrong length");
  c->messages++;
  received++;
  if (measured.phase == MEASURING) {
    uint64_t time;
    memcpy(&time, at, sizeof time);
    histogram_add(&measured.latency, now_ns() - time);
  }
}

/* PUBACK and PUBCOMP end a publication; PUBREC and PUBREL have an answer. MQTT 5.0 may append a reason code. */
static void on_acknowledgement(struct connection *c, int first_byte, const uint8_t *body, size_t length) {
  int packet_id = body[0] << 8 | body[1];
  if (length > 2 && body[2] >= 0x80) fail(EXIT_PEER, "packet 0x%02x with reason code 0x%02x", first_byte, body[2]);
  if (first_byte == PUBREC) put_short_packet(&c->out, PUBREL, packet_id);
  else if (first_byte == PUBREL) put_short_packet(&c->out, PUBCOMP, packet_id);
  else {
    c->unacknowledged--;
    acknowledged++;
  }
}

static void on_packet(struct connection *c, const uint8_t *packet, size_t header, size_t length) {
  const uint8_t *body = packet + header;
  if (length < 2 && packet[0] != DISCONNECT) fail(EXIT_PEER, "packet 0x%02x is too short", packet[0]);
  switch (packet[0] & 0xf0) {
    case PUBLISH:
      on_publish(c, packet[0], body, length);
      break;
    case PUBACK:
    case PUBREC:
    case PUBREL & 0xf0:
    case PUBCOMP:
      on_acknowledgement(c, packet[0], body, length);
      break;
    case CONNACK:
      on_connack(c, body);
      break;
    case SUBACK:
      if (body[length - 1] != opt.qos) fail(EXIT_PEER, "SUBACK with code 0x%02x", body[length - 1]);
      become_ready(c);
      break;
    default:
      fail(EXIT_PEER, "client %d got packet 0x%02x, code 0x%02x", c->index, packet[0], length ? body[0] : 0);
  }
}

/* ---- sockets -------------------------------------------------------------------------------------------------- */

static void watch(struct connection *c, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (c->wants_write ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &event) < 0) fail_system("epoll_ctl");
}

static void flush_output(struct connection *c) {
  while (c->out.start < c->out.end) {
    ssize_t n = send(c->fd, c->out.bytes + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) fail(EXIT_PEER, "client %d: send: %s", c->index, strerror(errno));
    c->out.start += (size_t)n;
  }
  bool wants_write = c->out.start < c->out.end;
  if (wants_write != c->wants_write) {
    c->wants_write = wants_write;
    watch(c, EPOLL_CTL_MOD);
  }
}

static void read_packets(struct connection *c) {
  for (;;) {
    uint8_t *place = reserve(&c->in, READ_SIZE);
    ssize_t n = recv(c->fd, place, READ_SIZE, 0);
    c->in.end -= READ_SIZE - (size_t)(n > 0 ? n : 0);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) fail(EXIT_PEER, "client %d: %s", c->index, n == 0 ? "closed by the broker" : strerror(errno));
    size_t size, header, length;
    while ((size = packet_size(c->in.bytes + c->in.start, c->in.end - c->in.start, &header, &length)) > 0) {
      on_packet(c, c->in.bytes + c->in.start, header, length);
      c->in.start += size;
    }
    if (n < READ_SIZE) break; /* what came meanwhile is the next event */
  }
  flush_output(c);
}

static void open_connection(struct connection *c, const struct sockaddr_in *broker) {
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail_system("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(c->fd, (const struct sockaddr *)broker, sizeof *broker) < 0 && errno != EINPROGRESS)
    fail_system("connect");
  char id[48];
  snprintf(id, sizeof id, "load-%s-%d", c->subscriber ? "sub" : "pub", c->index);
  put_connect(&c->out, opt.version, opt.persistent && c->subscriber, id);
  c->wants_write = true;
  watch(c, EPOLL_CTL_ADD);
}

static void wait_for_events(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int n = epoll_wait(poller, events, EVENTS, timeout_ms);
  for (int i = 0; i < n; i++) {
    struct connection *c = events[i].data.ptr;
    if (c->state == CONNECTING && events[i].events & (EPOLLERR | EPOLLHUP)) fail(EXIT_PEER, "connection refused");
    if (events[i].events & EPOLLOUT) {
      if (c->state == CONNECTING) c->state = WAIT_CONNACK;
      flush_output(c);
    }
    if (events[i].events & EPOLLIN) read_packets(c);
  }
}

/* ---- the run -------------------------------------------------------------------------------------------------- */

static void create_connections(void) {
  connection_count = opt.subscribers + opt.publishers;
  connections = calloc((size_t)connection_count, sizeof *connections);
  if (!connections) fail_system("calloc");
  for (int i = 0; i < connection_count; i++) {
    struct connection *c = &connections[i];
    c->subscriber = i < opt.subscribers;
    c->index = c->subscriber ? i : i - opt.subscribers;
    if (!c->subscriber) prepare_publish(c);
  }
}

static void connect_everyone(uint64_t deadline) {
  struct sockaddr_in broker = loopback_address(opt.host, opt.port);
  for (int opened = 0; ready_count < connection_count;) {
    while (opened < connection_count && opened - ready_count < CONNECTS_AT_ONCE)
      open_connection(&connections[opened++], &broker);
    wait_for_events(100);
    if (now_ns() > deadline) fail(EXIT_TIME_LIMIT, "%d of %d clients ready", ready_count, connection_count);
  }
}

static bool window_is_full(void) { return sent - received / receivers >= opt.window; }

static bool may_publish(const struct connection *c) {
  return (opt.qos == 0 || c->unacknowledged < opt.inflight) && c->out.end - c->out.start < OUTPUT_FULL;
}

/* Round robin, one message each, until the window is full or nobody may publish. */
static void publish_what_fits(void) {
  static int turn;
  struct connection *publishers = connections + opt.subscribers;
  for (int refused = 0; refused < opt.publishers && sent < opt.messages && !window_is_full();) {
    struct connection *c = &publishers[turn];
    turn = turn + 1 == opt.publishers ? 0 : turn + 1;
    refused = may_publish(c) ? 0 : refused + 1;
    if (refused == 0) put_publish(c);
  }
  for (int i = 0; i < opt.publishers; i++)
    if (publishers[i].out.start < publishers[i].out.end && !publishers[i].wants_write) flush_output(&publishers[i]);
}

static bool everything_arrived(void) {
  return received >= sent * receivers && (opt.qos == 0 || acknowledged == sent);
}

/* The measured interval ends by time, or when the messages have run out. */
static void advance_phase(uint64_t begin) {
  uint64_t now = now_ns();
  bool exhausted = sent >= opt.messages && everything_arrived();
  if (measured.phase == WARMING && exhausted) fail(EXIT_USAGE, "-n messages ran out in the warm-up of -u seconds");
  if (measured.phase == WARMING && now >= begin + from_seconds(opt.warmup))
    interval_begin(&measured, sent, received, opt.broker);
  if (measured.phase == MEASURING && (exhausted || now >= measured.start + from_seconds(opt.seconds)))
    interval_end(&measured, sent, received, opt.broker);
}

static void run(void) {
  uint64_t deadline = now_ns() + from_seconds(opt.limit);
  connect_everyone(deadline);
  usleep(200000); /* lets the broker finish what connecting left behind */
  uint64_t begin = now_ns();
  advance_phase(begin);
  while (measured.phase != DRAINING || !everything_arrived()) {
    if (measured.phase != DRAINING) publish_what_fits();
    wait_for_events(100);
    advance_phase(begin);
    if (now_ns() > deadline)
      fail(EXIT_TIME_LIMIT, "time limit: sent %ld, acknowledged %ld, received %ld of %ld", sent, acknowledged, received,
           sent * receivers);
  }
}

static void say_goodbye(void) {
  static const uint8_t disconnect[] = {DISCONNECT, 0};
  for (int i = 0; i < connection_count; i++) (void)!send(connections[i].fd, disconnect, 2, MSG_NOSIGNAL);
}

/* Subscribers with another number of deliveries than they should have: totals alone would let one make up for another. */
static int wrong_subscribers(void) {
  int wrong = 0;
  for (int i = 0; i < opt.subscribers; i++)
    wrong += connections[i].messages != (opt.pattern == PAIR ? connections[opt.subscribers + i].messages : sent);
  return wrong;
}

static int report(void) {
  int wrong = wrong_subscribers();
  long expected = sent * receivers;
  printf("{\"qos\":%d,\"publishers\":%d,\"subscribers\":%d,\"payload\":%d,\"sent\":%ld,\"acknowledged\":%ld,"
         "\"received\":%ld,\"expected\":%ld,\"duplicates\":%ld,",
         opt.qos, opt.publishers, opt.subscribers, opt.payload, sent, acknowledged, received, expected, duplicates);
  print_interval(&measured, opt.broker);
  printf("}\n");
  if (received == expected && duplicates == 0 && wrong == 0) return 0;
  fprintf(stderr, "received %ld of %ld, %ld marked as duplicates; %d subscribers with a wrong number\n", received,
          expected, duplicates, wrong);
  return EXIT_LOSS;
}

static enum pattern pattern_option(const char *text) {
  if (!strcmp(text, "pair")) return PAIR;
  if (!strcmp(text, "fanout")) return FANOUT;
  if (!strcmp(text, "fanin")) return FANIN;
  fail(EXIT_USAGE, "-m takes pair, fanout or fanin");
}

static void parse_options(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "h:p:P:S:m:q:l:t:k5xW:w:u:d:n:T:i:")) != -1;) switch (o) {
      case 'h': opt.host = optarg; break;
      case 'm': opt.pattern = pattern_option(optarg); break;
      case 'k': opt.persistent = true; break;
      case '5': opt.version = 5; break;
      case 'x': opt.version = 5, opt.properties = true; break;
      case 'p': opt.port = (int)number_option('p', optarg, 1, 65535); break;
      case 'P': opt.publishers = (int)number_option('P', optarg, 1, MAX_CONNECTIONS / 2); break;
      case 'S': opt.subscribers = (int)number_option('S', optarg, 1, MAX_CONNECTIONS / 2); break;
      case 'q': opt.qos = (int)number_option('q', optarg, 0, 2); break;
      case 't': opt.topics = (int)number_option('t', optarg, 1, 999999); break;
      case 'l': opt.payload = (int)number_option('l', optarg, 8, MAX_PAYLOAD); break;
      case 'W': opt.window = (long)number_option('W', optarg, 1, 1e6); break;
      case 'w': opt.inflight = (int)number_option('w', optarg, 1, 65535); break;
      case 'u': opt.warmup = number_option('u', optarg, 0, 60); break;
      case 'd': opt.seconds = number_option('d', optarg, 0.01, 120); break;
      case 'n': opt.messages = (long)number_option('n', optarg, 1, 1e9); break;
      case 'T': opt.limit = number_option('T', optarg, 1, 300); break;
      case 'i': opt.broker = (int)number_option('i', optarg, 1, 1e9); break;
      default: fail(EXIT_USAGE, "the head of mqttload.c explains the options");
    }
  if (opt.pattern == PAIR && opt.subscribers != opt.publishers) fail(EXIT_USAGE, "-m pair takes as many -S as -P");
  if (opt.topics > 1 && opt.pattern != PAIR) fail(EXIT_USAGE, "-t takes -m pair");
  if (opt.pattern == FANIN && opt.subscribers != 1) fail(EXIT_USAGE, "-m fanin takes -S 1");
  receivers = opt.pattern == FANOUT ? opt.subscribers : 1;
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  raise_descriptor_limit();
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) fail_system("epoll_create1");
  create_connections();
  run();
  say_goodbye();
  return report();
}
