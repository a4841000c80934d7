/*
 * Reads a socket on a thread of its own into a ring that the caller empties when it gets round to it. A Unix socket holds some two
 * hundred messages of a change stream, which is what a walsender sends in a millisecond or two; beyond that it waits for whoever is
 * busy encoding rows. The ring holds as much as its caller wants, and many messages cost the caller one call.
 *
 * One writer (the thread) and one reader (JavaScript), so two counters are enough: `head` bytes came in, `tail` were taken out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/*
 * The server sends every message by itself, and each read costs both sides more than a message. After less than this the thread rests:
 * in that time about a hundred messages come, half of what the socket holds.
 */
#define SMALL_READ (16 * 1024)
#define REST_NS 300000

typedef struct {
  char *ring;
  size_t capacity;
  atomic_size_t head, tail;
  size_t shown;          /* What the caller was shown by the last `take`; it is done with it at the next. */
  atomic_int wanted;     /* `on_bytes` is to be called for the next bytes, or the end. */
  atomic_int waiting;    /* The thread waits for room. */
  atomic_int ended;      /* The socket has no more: 1 + the errno that says why, 0 of it for an orderly end. */
  atomic_int stopping;
  int stopped;
  int socket, wake;
  pthread_t thread;
  napi_threadsafe_function on_bytes;
  napi_ref ring_reference;
} reader;

/* ---- the thread ---- */

static void call_if_wanted(reader *r) {
  if (atomic_exchange(&r->wanted, 0)) napi_call_threadsafe_function(r->on_bytes, NULL, napi_tsfn_nonblocking);
}

/* Until somebody wakes the thread or, unless it waits for room, the socket has something. */
static void wait_for(const reader *r, int room) {
  struct pollfd descriptors[2] = {{.fd = r->wake, .events = POLLIN}, {.fd = r->socket, .events = POLLIN}};
  eventfd_t wakes;
  poll(descriptors, room ? 1 : 2, -1);
  if (descriptors[0].revents != 0) eventfd_read(r->wake, &wakes);
}

static size_t filled(const reader *r) { return atomic_load(&r->head) - atomic_load(&r->tail); }

static void wait_for_room(reader *r) {
  atomic_store(&r->waiting, 1);
  /* Looked at only now: whoever made room before that has woken nobody. */
  while (filled(r) == r->capacity && !atomic_load(&r->stopping)) wait_for(r, 1);
  atomic_store(&r->waiting, 0);
}

static void *run(void *argument) {
  reader *r = argument;
  const struct timespec rest = {.tv_nsec = REST_NS};
  while (!atomic_load(&r->stopping)) {
    const size_t head = atomic_load(&r->head), at = head % r->capacity, room = r->capacity - filled(r);
    if (room == 0) {
      wait_for_room(r);
      continue;
    }
    const size_t most = room < r->capacity - at ? room : r->capacity - at;
    const ssize_t got = recv(r->socket, r->ring + at, most, MSG_DONTWAIT);
    if (got > 0) {
      atomic_store(&r->head, head + (size_t)got);
      call_if_wanted(r);
      if (got < SMALL_READ && (size_t)got < most) clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      wait_for(r, 0);
    } else {
      atomic_store(&r->ended, 1 + (got < 0 ? errno : 0));
      call_if_wanted(r);
      break;
    }
  }
  return NULL;
}

/* Waits for the thread, 0.3 ms at most: it never blocks but in `poll`. */
static void stop(void *argument) {
  reader *r = argument;
  r->stopped = 1;
  atomic_store(&r->stopping, 1);
  eventfd_write(r->wake, 1);
  pthread_join(r->thread, NULL);
  close(r->socket);
  close(r->wake);
}

/* ---- the addon ---- */

static void call_on_bytes(napi_env env, napi_value on_bytes, void *context, void *data) {
  (void)context, (void)data;
  call_back(env, on_bytes, 0, NULL);
}

static void let_go(napi_env env, reader *r) {
  if (r->on_bytes != NULL) napi_release_threadsafe_function(r->on_bytes, napi_tsfn_abort);
  if (r->ring_reference != NULL) napi_delete_reference(env, r->ring_reference);
}

static void shut(napi_env env, reader *r) {
  if (r->stopped) return;
  napi_remove_env_cleanup_hook(env, stop, r);
  stop(r);
  let_go(env, r);
}

static void finalize(napi_env env, void *argument, void *hint) {
  (void)hint;
  shut(env, argument);
  free(argument);
}

/* The socket and the wake-up, with descriptors that programs which are started do not inherit. */
static int open_descriptors(reader *r, int descriptor) {
  int type;
  socklen_t length = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return 0;
  /* One of our own: the caller's may be closed, and its number be given to another file, before we hear of it. */
  if ((r->socket = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) < 0) return 0;
  if ((r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0) return 1;
  close(r->socket);
  return 0;
}

/*
 * open(descriptor, ring: Buffer, onBytes): begins to read the socket, which nobody else may read until `close`. `onBytes` is called
 * for the first bytes, and exactly once after each `take` that returned 0. Undefined: no stream socket, or no descriptor, thread or memory
 * is left.
 */
static napi_value open_reader(napi_env env, napi_callback_info info) {
  napi_value args[3], handle;
  size_t argc = 3;
  int32_t descriptor;
  void *ring;
  size_t capacity;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < 3 ||
      napi_get_value_int32(env, args[0], &descriptor) != napi_ok ||
      napi_get_buffer_info(env, args[1], &ring, &capacity) != napi_ok || capacity == 0) {
    return refuse(env, "bad arguments");
  }
  reader *r = calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->ring = ring;
  r->capacity = capacity;
  r->wanted = 1;
  if (!open_descriptors(r, descriptor)) {
    free(r);
    return NULL;
  }
  if (!let_threads_call(env, args[2], "sluice stream reader", call_on_bytes, &r->on_bytes) ||
      napi_create_reference(env, args[1], 1, &r->ring_reference) != napi_ok ||
      !start_thread(&r->thread, "stream-reader", run, r)) {
    let_go(env, r);
    close(r->socket);
    close(r->wake);
    free(r);
    return NULL;
  }
  /* When the process ends, the thread stops first: hooks run in reverse order. */
  napi_add_env_cleanup_hook(env, stop, r);
  if (napi_create_external(env, r, finalize, NULL, &handle) == napi_ok) return handle;
  finalize(env, r, NULL);
  return NULL;
}

static reader *reader_of(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t argc = count;
  void *r = NULL;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < count ||
      napi_get_value_external(env, args[0], &r) != napi_ok) return NULL;
  return r;
}

/* In this order: whoever sees the end also sees all that came before it. */
static int look(const reader *r, size_t *there) {
  const int ended = atomic_load(&r->ended);
  *there = filled(r);
  return ended;
}

/*
 * take(reader, most): how many bytes may be read in the ring, behind those of the last `take`, which are given up. 0: none, `onBytes`
 * will be called. Below 0: none, and none will come; -1 for an end, -1 - errno for an error.
 */
static napi_value take(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  uint32_t most;
  reader *r = reader_of(env, info, 2, args);
  if (r == NULL || r->stopped || napi_get_value_uint32(env, args[1], &most) != napi_ok) return refuse(env, "not open");
  const size_t tail = atomic_fetch_add(&r->tail, r->shown) + r->shown;
  /* It goes on when half of the ring is free, not for every few bytes. */
  if (atomic_load(&r->waiting) && filled(r) <= r->capacity / 2) eventfd_write(r->wake, 1);
  size_t there;
  int ended = look(r, &there);
  if (there == 0 && !ended) {
    atomic_store(&r->wanted, 1);
    ended = look(r, &there);
    /* What has come meanwhile is taken at once, unless the thread was quicker and its call is on the way. */
    if ((there > 0 || ended) && !atomic_exchange(&r->wanted, 0)) there = 0, ended = 0;
  }
  const size_t behind = r->capacity - tail % r->capacity;
  r->shown = there < behind ? there : behind;
  if (r->shown > most) r->shown = most;
  napi_create_int64(env, there == 0 ? -ended : (int64_t)r->shown, &result);
  return result;
}

/* close(reader): the socket is the caller's again. What is in the ring is given up. Safe to call twice. */
static napi_value close_reader(napi_env env, napi_callback_info info) {
  napi_value args[1];
  reader *r = reader_of(env, info, 1, args);
  if (r == NULL) return refuse(env, "bad arguments");
  shut(env, r);
  return NULL;
}

NAPI_MODULE_INIT() {
  offer(env, exports, "open", open_reader);
  offer(env, exports, "take", take);
  offer(env, exports, "close", close_reader);
  return exports;
}
