/*
 * Datagrams in batches: recvmmsg(2) and sendmmsg(2) for batch-socket.ts, which says what stands where in the tables that
 * both share. All sockets of the process share them: who fills a table hands it over before anybody else runs.
 */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* Datagrams that one call takes, and bytes that one may have; as in batch-socket.ts. */
#define IN_ROWS 64
#define IN_BYTES 65536
/* Datagrams that one call gives, and bytes that they have together. */
#define OUT_ROWS 256
#define OUT_BYTES 262144
/* Words of a row: offset, length, family (4 or 6) and port, address (4 words), scope. */
#define ROW 8
/* Calls for one readiness: others have to get their turn. */
#define CALLS 2

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct udp {
  uv_poll_t poll;
  napi_env env;
  napi_ref on_batch;
  napi_ref on_writable;
  int fd;
  /* What is polled for. */
  int events;
  bool closing;
  /* libuv has done with it. */
  bool closed;
  /* Nobody in JavaScript has it any more. */
  bool forgotten;
};

static uint8_t *in_bytes, *out_bytes;
static uint32_t *in_rows, *out_rows, *failures;
static napi_ref tables[5];

static struct mmsghdr in_messages[IN_ROWS], out_messages[OUT_ROWS];
static struct iovec in_vectors[IN_ROWS], out_vectors[OUT_ROWS];
static union address in_addresses[IN_ROWS], out_addresses[OUT_ROWS];

#define CHECK(call) \
  do { \
    if ((call) != napi_ok) return fail(env, "EINVAL", "an argument is none"); \
  } while (0)

static napi_value fail(napi_env env, const char *code, const char *words) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, code, words);
  return NULL;
}

static void to_row(uint32_t *row, const union address *address) {
  memset(row + 2, 0, 6 * sizeof *row);
  if (address->any.sa_family == AF_INET) {
    row[2] = 4u << 16 | ntohs(address->v4.sin_port);
    row[3] = ntohl(address->v4.sin_addr.s_addr);
  } else {
    row[2] = 6u << 16 | ntohs(address->v6.sin6_port);
    memcpy(row + 3, &address->v6.sin6_addr, 16);
    row[7] = address->v6.sin6_scope_id;
  }
}

static socklen_t from_row(union address *address, const uint32_t *row) {
  memset(address, 0, sizeof *address);
  if (row[2] >> 16 == 4) {
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons(row[2] & 0xffff);
    address->v4.sin_addr.s_addr = htonl(row[3]);
    return sizeof address->v4;
  }
  address->v6.sin6_family = AF_INET6;
  address->v6.sin6_port = htons(row[2] & 0xffff);
  memcpy(&address->v6.sin6_addr, row + 3, 16);
  address->v6.sin6_scope_id = row[7];
  return sizeof address->v6;
}

/* An exception in a callback is one of the process, as in Node's own sockets. */
static void call(struct udp *udp, napi_ref reference, int32_t argument) {
  napi_env env = udp->env;
  napi_handle_scope scope;
  napi_value callback, receiver, value, error;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, reference, &callback) == napi_ok && napi_get_global(env, &receiver) == napi_ok &&
      napi_create_int32(env, argument, &value) == napi_ok &&
      napi_make_callback(env, NULL, receiver, callback, 1, &value, NULL) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
  napi_close_handle_scope(env, scope);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct udp *udp = poll->data;
  if (udp->closing) return;
  if (status < 0) {
    /* libuv has stopped polling. Reading the error clears it. */
    int error;
    socklen_t length = sizeof error;
    getsockopt(udp->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    uv_poll_start(poll, udp->events, on_poll);
    call(udp, udp->on_batch, -1);
    return;
  }
  if (events & UV_WRITABLE) call(udp, udp->on_writable, 0);
  if (!(events & UV_READABLE) || udp->closing) return;
  for (int calls = 0; calls < CALLS && !udp->closing; calls++) {
    for (int i = 0; i < IN_ROWS; i++) in_messages[i].msg_hdr.msg_namelen = sizeof in_addresses[i];
    int count = recvmmsg(udp->fd, in_messages, IN_ROWS, MSG_DONTWAIT, NULL);
    if (count <= 0) {
      if (count < 0 && errno != EAGAIN && errno != EINTR) call(udp, udp->on_batch, -1);
      return;
    }
    for (int i = 0; i < count; i++) {
      in_rows[i * ROW + 1] = in_messages[i].msg_len;
      to_row(in_rows + i * ROW, &in_addresses[i]);
    }
    call(udp, udp->on_batch, count);
    if (count < IN_ROWS) return;
  }
}

static uint32_t *words_of(napi_env env, napi_value value, size_t least) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return NULL;
  return type == napi_uint32_array && length >= least ? data : NULL;
}

static uint8_t *bytes_of(napi_env env, napi_value value, size_t least) {
  size_t length;
  void *data;
  return napi_get_buffer_info(env, value, &data, &length) == napi_ok && length >= least ? data : NULL;
}

/* use(inBytes, inRows, outBytes, outRows, failures): the tables, which stay where they are. Once. */
static napi_value use(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value given[5];
  CHECK(napi_get_cb_info(env, info, &count, given, NULL, NULL));
  if (count < 5 || in_bytes != NULL) return fail(env, "EINVAL", "the tables are given once");
  uint8_t *in = bytes_of(env, given[0], IN_ROWS * IN_BYTES), *out = bytes_of(env, given[2], OUT_BYTES);
  in_rows = words_of(env, given[1], IN_ROWS * ROW);
  out_rows = words_of(env, given[3], OUT_ROWS * ROW);
  failures = words_of(env, given[4], 1);
  if (in == NULL || out == NULL || in_rows == NULL || out_rows == NULL || failures == NULL)
    return fail(env, "EINVAL", "a table is too short");
  for (int i = 0; i < 5; i++) CHECK(napi_create_reference(env, given[i], 1, &tables[i]));
  in_bytes = in;
  out_bytes = out;
  for (int i = 0; i < IN_ROWS; i++) {
    in_rows[i * ROW] = i * IN_BYTES;
    in_vectors[i] = (struct iovec){in_bytes + i * IN_BYTES, IN_BYTES};
    in_messages[i].msg_hdr = (struct msghdr){.msg_name = &in_addresses[i], .msg_iov = &in_vectors[i], .msg_iovlen = 1};
  }
  for (int i = 0; i < OUT_ROWS; i++)
    out_messages[i].msg_hdr = (struct msghdr){.msg_name = &out_addresses[i], .msg_iov = &out_vectors[i], .msg_iovlen = 1};
  return NULL;
}

static int parsed(const char *text, int port, union address *address) {
  memset(address, 0, sizeof *address);
  if (strchr(text, ':') == NULL) return uv_ip4_addr(text, port, &address->v4);
  int error = uv_ip6_addr(text, port, &address->v6);
  /* libuv takes a zone that there is not for none. */
  return error == 0 && strchr(text, '%') != NULL && address->v6.sin6_scope_id == 0 ? UV_EINVAL : error;
}

/* parse(address, row): whether it is an IP address; its family and its words then stand in the row. */
static napi_value parse(napi_env env, napi_callback_info info) {
  size_t count = 2, length;
  napi_value given[2], result;
  char text[INET6_ADDRSTRLEN + 32];
  union address address;
  CHECK(napi_get_cb_info(env, info, &count, given, NULL, NULL));
  uint32_t *row = words_of(env, given[1], ROW);
  if (row == NULL) return fail(env, "EINVAL", "no row");
  CHECK(napi_get_value_string_utf8(env, given[0], text, sizeof text, &length));
  bool is = parsed(text, 0, &address) == 0;
  if (is) to_row(row, &address);
  CHECK(napi_get_boolean(env, is, &result));
  return result;
}

static napi_value name_of(napi_env env, const union address *address) {
  char text[INET6_ADDRSTRLEN + 1 + UV_IF_NAMESIZE] = "";
  napi_value result;
  if (address->any.sa_family == AF_INET) {
    uv_ip4_name(&address->v4, text, sizeof text);
  } else {
    uv_ip6_name(&address->v6, text, sizeof text);
    if (IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr) && address->v6.sin6_scope_id > 0) {
      size_t at = strlen(text), length = UV_IF_NAMESIZE;
      text[at] = '%';
      if (uv_if_indextoiid(address->v6.sin6_scope_id, text + at + 1, &length) != 0) text[at] = 0;
    }
  }
  CHECK(napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result));
  return result;
}

/* format(row): the address in text form. */
static napi_value format(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value given[1];
  union address address;
  CHECK(napi_get_cb_info(env, info, &count, given, NULL, NULL));
  uint32_t *row = words_of(env, given[0], ROW);
  if (row == NULL) return fail(env, "EINVAL", "no row");
  from_row(&address, row);
  return name_of(env, &address);
}

static void on_closed(uv_handle_t *handle) {
  struct udp *udp = handle->data;
  if (udp->on_batch != NULL) napi_delete_reference(udp->env, udp->on_batch);
  if (udp->on_writable != NULL) napi_delete_reference(udp->env, udp->on_writable);
  udp->closed = true;
  if (udp->forgotten) free(udp);
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct udp *udp = data;
  udp->forgotten = true;
  /* One that is open stays so until the process ends. */
  if (udp->closed) free(udp);
}

/* The words are those of Node's own sockets. */
static napi_value refuse(napi_env env, int fd, const char *what, int error, const char *text, int port) {
  if (fd >= 0) close(fd);
  char words[200];
  snprintf(words, sizeof words, "%s %s %s:%d", what, uv_err_name(error), text, port);
  return fail(env, uv_err_name(error), words);
}

/* open(address, port, receiveBuffer, onBatch, onWritable): [socket, address, port] of a socket that is bound. */
static napi_value open_socket(napi_env env, napi_callback_info info) {
  size_t count = 5, length;
  napi_value given[5], result, value;
  char text[INET6_ADDRSTRLEN + 32];
  int32_t port, buffer;
  union address address;
  CHECK(napi_get_cb_info(env, info, &count, given, NULL, NULL));
  CHECK(napi_get_value_string_utf8(env, given[0], text, sizeof text, &length));
  CHECK(napi_get_value_int32(env, given[1], &port));
  CHECK(napi_get_value_int32(env, given[2], &buffer));
  int error = port < 0 || port > 65535 ? UV_EINVAL : parsed(text, port, &address);
  if (error != 0) return refuse(env, -1, "bind", error, text, port);
  int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return refuse(env, fd, "socket", -errno, text, port);
  int yes = 1;
  bool is_v6 = address.any.sa_family == AF_INET6;
  if (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) != 0)
    return refuse(env, fd, "setsockopt", -errno, text, port);
  if (bind(fd, &address.any, is_v6 ? sizeof address.v6 : sizeof address.v4) != 0)
    return refuse(env, fd, "bind", -errno, text, port);
  /* Less may be granted; fewer datagrams survive a burst then. */
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.any, &size) != 0) return refuse(env, fd, "getsockname", -errno, text, port);
  struct udp *udp = calloc(1, sizeof *udp);
  uv_loop_t *loop;
  if (udp == NULL) return refuse(env, fd, "calloc", UV_ENOMEM, text, port);
  udp->env = env;
  udp->fd = fd;
  udp->events = UV_READABLE;
  /* Until it polls, the object in JavaScript has it alone. */
  udp->closing = udp->closed = true;
  if (napi_create_external(env, udp, forget, NULL, &value) != napi_ok) {
    free(udp);
    return refuse(env, fd, "external", UV_ENOMEM, text, port);
  }
  napi_value name = name_of(env, &address), bound;
  if (name == NULL || napi_create_array_with_length(env, 3, &result) != napi_ok ||
      napi_create_uint32(env, ntohs(is_v6 ? address.v6.sin6_port : address.v4.sin_port), &bound) != napi_ok ||
      napi_set_element(env, result, 0, value) != napi_ok || napi_set_element(env, result, 1, name) != napi_ok ||
      napi_set_element(env, result, 2, bound) != napi_ok || napi_get_uv_event_loop(env, &loop) != napi_ok)
    return refuse(env, fd, "result", UV_ENOMEM, text, port);
  error = uv_poll_init(loop, &udp->poll, fd);
  if (error != 0) return refuse(env, fd, "poll", error, text, port);
  udp->poll.data = udp;
  udp->closing = udp->closed = false;
  if (napi_create_reference(env, given[3], 1, &udp->on_batch) != napi_ok ||
      napi_create_reference(env, given[4], 1, &udp->on_writable) != napi_ok ||
      (error = uv_poll_start(&udp->poll, udp->events, on_poll)) != 0) {
    udp->closing = true;
    uv_close((uv_handle_t *)&udp->poll, on_closed);
    return refuse(env, fd, "poll", error != 0 ? error : UV_ENOMEM, text, port);
  }
  return result;
}

/* The socket, and the number behind it; NULL with an exception if it is none. */
static struct udp *socket_of(napi_env env, napi_callback_info info, int32_t *number) {
  size_t count = 2;
  napi_value given[2];
  void *data;
  if (napi_get_cb_info(env, info, &count, given, NULL, NULL) != napi_ok ||
      napi_get_value_external(env, given[0], &data) != napi_ok ||
      (number != NULL && napi_get_value_int32(env, given[1], number) != napi_ok)) {
    fail(env, "EINVAL", "no socket");
    return NULL;
  }
  return data;
}

/*
 * send(socket, count): gives the first rows away. Returns how many of them are done with; the socket has no room for the
 * next one. Those that could not be sent are counted in `failures`.
 */
static napi_value send_rows(napi_env env, napi_callback_info info) {
  int32_t count;
  napi_value result;
  struct udp *udp = socket_of(env, info, &count);
  if (udp == NULL) return NULL;
  if (udp->closing || out_bytes == NULL || count < 0 || count > OUT_ROWS) return fail(env, "EINVAL", "no rows");
  for (int i = 0; i < count; i++) {
    const uint32_t *row = out_rows + i * ROW;
    if (row[0] > OUT_BYTES || row[1] > OUT_BYTES - row[0]) return fail(env, "EINVAL", "a row is out of bounds");
    out_vectors[i] = (struct iovec){out_bytes + row[0], row[1]};
    out_messages[i].msg_hdr.msg_namelen = from_row(&out_addresses[i], row);
  }
  int done = 0;
  while (done < count) {
    int sent = sendmmsg(udp->fd, out_messages + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) done += sent;
    else if (errno == EAGAIN) break;
    else if (errno != EINTR) {
      /* The first of them. */
      failures[0]++;
      done++;
    }
  }
  CHECK(napi_create_int32(env, done, &result));
  return result;
}

/* watch(socket, 1 or 0): whether `onWritable` is to be called when there is room. */
static napi_value watch(napi_env env, napi_callback_info info) {
  int32_t writable;
  struct udp *udp = socket_of(env, info, &writable);
  if (udp == NULL || udp->closing) return NULL;
  udp->events = UV_READABLE | (writable ? UV_WRITABLE : 0);
  uv_poll_start(&udp->poll, udp->events, on_poll);
  return NULL;
}

/* receiveBuffer(socket): bytes of the kernel's buffer. */
static napi_value receive_buffer(napi_env env, napi_callback_info info) {
  struct udp *udp = socket_of(env, info, NULL);
  napi_value result;
  int bytes = 0;
  socklen_t length = sizeof bytes;
  if (udp == NULL) return NULL;
  if (!udp->closing) getsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length);
  CHECK(napi_create_int32(env, bytes, &result));
  return result;
}

/* close(socket): nothing is called any more. */
static napi_value close_socket(napi_env env, napi_callback_info info) {
  struct udp *udp = socket_of(env, info, NULL);
  if (udp == NULL || udp->closing) return NULL;
  udp->closing = true;
  uv_poll_stop(&udp->poll);
  /* Now, so that its port is free. */
  close(udp->fd);
  uv_close((uv_handle_t *)&udp->poll, on_closed);
  return NULL;
}

static napi_value init(napi_env env, napi_value exports) {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"use", use},         {"parse", parse}, {"format", format},
      {"open", open_socket}, {"send", send_rows}, {"watch", watch},
      {"receiveBuffer", receive_buffer}, {"close", close_socket},
  };
  /* A filter of system calls may not know them. */
  bool refused = recvmmsg(-1, in_messages, 1, MSG_DONTWAIT, NULL) >= 0 || errno != EBADF;
  refused |= sendmmsg(-1, out_messages, 1, MSG_DONTWAIT) >= 0 || errno != EBADF;
  if (refused) return fail(env, "ENOSYS", "the system refuses recvmmsg or sendmmsg");
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    CHECK(napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function));
    CHECK(napi_set_named_property(env, exports, functions[i].name, function));
  }
  return exports;
}

NAPI_MODULE(batches, init)
