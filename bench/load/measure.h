/*
 * measure.h: what both load generators share: the clock, the latency histogram, the broker's processor time and the
 * rule that load goes to loopback only.
 */
#ifndef PORTICO_BENCH_MEASURE_H
#define PORTICO_BENCH_MEASURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000ull

/* Exit codes; the orchestrator reports standard error beside them. */
enum { EXIT_USAGE = 1, EXIT_SYSTEM = 2, EXIT_PEER = 3, EXIT_TIME_LIMIT = 4, EXIT_LOSS = 5 };

/* Nanoseconds of the monotonic clock. */
static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t from_seconds(double seconds) { return (uint64_t)(seconds * (double)NS_PER_SECOND); }
static double to_seconds(uint64_t ns) { return (double)ns / (double)NS_PER_SECOND; }

/* Ends the process with a sentence on standard error. */
__attribute__((noreturn, format(printf, 2, 3))) static void fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(code);
}

__attribute__((noreturn)) static void fail_system(const char *call) {
  fail(EXIT_SYSTEM, "%s: %s", call, strerror(errno));
}

/* ---- options -------------------------------------------------------------------------------------------------- */

/* A number in [low, high], or the end of the process. */
static double number_option(char flag, const char *text, double low, double high) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= low && value <= high)) fail(EXIT_USAGE, "-%c takes %g to %g", flag, low, high);
  return value;
}

/* 127.0.0.0/8 and nothing else: a load generator that leaves the machine is a weapon. */
static struct sockaddr_in loopback_address(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || ntohl(address.sin_addr.s_addr) >> 24 != 127)
    fail(EXIT_USAGE, "-h takes a loopback address (127.0.0.0/8)");
  return address;
}

/* Allows one file descriptor per connection, as far as the hard limit reaches. */
static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

/* ---- latency -------------------------------------------------------------------------------------------------- */

/* Log-linear: 32 buckets for each power of two of microseconds, so a quantile is right within about 3 per cent. */
enum { BUCKETS_PER_OCTAVE = 32, OCTAVE_BITS = 5, OCTAVES = 40 };

struct histogram {
  uint64_t count;
  uint64_t bucket[OCTAVES * BUCKETS_PER_OCTAVE];
};

static int histogram_index(uint64_t us) {
  if (us < BUCKETS_PER_OCTAVE) return (int)us;
  int shift = 63 - __builtin_clzll(us) - OCTAVE_BITS;
  int index = (shift + 1) * BUCKETS_PER_OCTAVE + (int)(us >> shift) - BUCKETS_PER_OCTAVE;
  return index < OCTAVES * BUCKETS_PER_OCTAVE ? index : OCTAVES * BUCKETS_PER_OCTAVE - 1;
}

static void histogram_add(struct histogram *h, uint64_t ns) {
  h->bucket[histogram_index(ns / 1000)]++;
  h->count++;
}

/* The middle of a bucket, in milliseconds. */
static double bucket_ms(int index) {
  if (index < BUCKETS_PER_OCTAVE) return (index + 0.5) / 1000.0;
  int shift = index / BUCKETS_PER_OCTAVE - 1;
  double low = (double)((uint64_t)(index % BUCKETS_PER_OCTAVE + BUCKETS_PER_OCTAVE) << shift);
  return (low + (double)(1ull << shift) / 2) / 1000.0;
}

static double histogram_quantile(const struct histogram *h, double q) {
  uint64_t rank = (uint64_t)((double)h->count * q), seen = 0;
  if (h->count == 0) return 0;
  if (rank >= h->count) rank = h->count - 1;
  for (int i = 0; i < OCTAVES * BUCKETS_PER_OCTAVE; i++)
    if ((seen += h->bucket[i]) > rank) return bucket_ms(i);
  return 0;
}

static void print_latency(const struct histogram *h) {
  printf("\"latencyMs\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f}", histogram_quantile(h, .5),
         histogram_quantile(h, .9), histogram_quantile(h, .99), histogram_quantile(h, .999));
}

/* ---- processor time ------------------------------------------------------------------------------------------- */

static double own_cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* User and system time of another process (proc(5): fields 14 and 15 of /proc/PID/stat); 0 when there is none. */
static double cpu_seconds_of(int pid) {
  char name[64], text[1024];
  if (pid <= 0) return 0;
  snprintf(name, sizeof name, "/proc/%d/stat", pid);
  FILE *file = fopen(name, "r");
  if (!file) return 0;
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  const char *after_name = strrchr(text, ')'); /* the name itself may hold blanks and parentheses */
  unsigned long user = 0, system = 0;
  if (!after_name ||
      sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
    return 0;
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* The core that a process is pinned to (0: this one), or -1 if it may use several. */
static int core_of(int pid) {
  cpu_set_t allowed;
  if (sched_getaffinity(pid, sizeof allowed, &allowed) < 0 || CPU_COUNT(&allowed) != 1) return -1;
  int core = 0;
  while (!CPU_ISSET(core, &allowed)) core++;
  return core;
}

/* Seconds that a core spent in processes, and idle. The rest is the kernel's, network interrupts above all. */
struct core_time {
  double processes, idle;
};

static struct core_time core_time(int core) {
  struct core_time time = {0, 0};
  char line[256];
  FILE *file = core < 0 ? NULL : fopen("/proc/stat", "r");
  while (file && fgets(line, sizeof line, file)) {
    unsigned long user, nice, system, idle, iowait;
    int number;
    if (sscanf(line, "cpu%d %lu %lu %lu %lu %lu", &number, &user, &nice, &system, &idle, &iowait) != 6) continue;
    if (number != core) continue;
    double tick = (double)sysconf(_SC_CLK_TCK);
    time = (struct core_time){(double)(user + nice + system) / tick, (double)(idle + iowait) / tick};
  }
  if (file) fclose(file);
  return time;
}

/* ---- the measured interval ------------------------------------------------------------------------------------ */

/*
 * A run has three parts: warm-up (not measured), the measured interval, and the drain, in which nothing new is sent
 * and everything owed must still arrive. What a counter says of the interval is its value at the end less that at the
 * beginning.
 */
struct interval {
  enum { WARMING, MEASURING, DRAINING } phase;
  uint64_t start, end;     /* clock, ns */
  long sent, done;         /* first at the beginning, then the difference; so are all that follow */
  double own_cpu, peer_cpu;
  struct core_time own_core, peer_core;
  struct histogram latency;
};

static void interval_begin(struct interval *m, long sent, long done, int peer) {
  m->phase = MEASURING;
  m->sent = sent;
  m->done = done;
  m->own_cpu = own_cpu_seconds();
  m->peer_cpu = cpu_seconds_of(peer);
  m->own_core = core_time(core_of(0));
  m->peer_core = core_time(peer ? core_of(peer) : -1);
  m->start = now_ns();
}

static struct core_time core_time_since(struct core_time before, int core) {
  struct core_time after = core_time(core);
  return (struct core_time){after.processes - before.processes, after.idle - before.idle};
}

static void interval_end(struct interval *m, long sent, long done, int peer) {
  m->phase = DRAINING;
  m->end = now_ns();
  m->sent = sent - m->sent;
  m->done = done - m->done;
  m->own_cpu = own_cpu_seconds() - m->own_cpu;
  m->peer_cpu = cpu_seconds_of(peer) - m->peer_cpu;
  m->own_core = core_time_since(m->own_core, core_of(0));
  m->peer_core = core_time_since(m->peer_core, peer ? core_of(peer) : -1);
}

/* Seconds that processes other than the two of us took from the core where they took most. */
static double taken_by_others(const struct interval *m, int shared_core) {
  double own = m->own_core.processes - m->own_cpu, peer = m->peer_core.processes - m->peer_cpu;
  if (shared_core) own = peer = m->own_core.processes - m->own_cpu - m->peer_cpu;
  double most = own > peer ? own : peer;
  return most > 0 ? most : 0;
}

/* The common tail of both results: rates per second, and shares of a core from 0 to 1. */
static void print_interval(const struct interval *m, int peer) {
  double seconds = to_seconds(m->end - m->start);
  int shared_core = peer && core_of(peer) == core_of(0);
  printf("\"seconds\":%.3f,\"sentPerSecond\":%.0f,\"perSecond\":%.0f,", seconds, (double)m->sent / seconds,
         (double)m->done / seconds);
  printf("\"loadCpu\":%.3f,\"brokerCpu\":%.3f,\"loadIdle\":%.3f,\"brokerIdle\":%.3f,\"otherCpu\":%.3f,",
         m->own_cpu / seconds, m->peer_cpu / seconds, m->own_core.idle / seconds, m->peer_core.idle / seconds,
         taken_by_others(m, shared_core) / seconds);
  print_latency(&m->latency);
}

#endif
