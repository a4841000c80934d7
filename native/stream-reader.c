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
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <node_api.h>

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
  atomic_int wanted;     /* `on_bytes` is to be called for the next bytes. */
  atomic_int waiting;    /* The thread waits for room. */
  atomic_int ended;      /* The socket has no more. */
  atomic_int stopping;
  int socket, wake;
  int joined;
  pthread_t thread;
  napi_threadsafe_function on_bytes;
  napi_ref ring_reference;
} reader;

/* ---- the thread ---- */

static void call_if_wanted(reader *r) {
  if (atomic_exchange(&r->wanted, 0)) napi_call_threadsafe_function(r->on_bytes, NULL, napi_tsfn_nonblocking);
}

/* Waits for what the socket has to say, or (`only_wake`) for room alone. */
static void wait_for(reader *r, int only_wake) {
  struct pollfd descriptors[2] = {{.fd = r->wake, .events = POLLIN}, {.fd = r->socket, .events = POLLIN}};
  uint64_t count;
  poll(descriptors, only_wake ? 1 : 2, -1);
  if (descriptors[0].revents != 0 && read(r->wake, &count, sizeof count) < 0) return;
}

static int has_room(reader *r) {
  return atomic_load(&r->head) - atomic_load(&r->tail) < r->capacity;
}

static void wait_for_room(reader *r) {
  atomic_store(&r->waiting, 1);
  while (!has_room(r) && !atomic_load(&r->stopping)) wait_for(r, 1);
  atomic_store(&r->waiting, 0);
}

static void *run(void *argument) {
  reader *r = argument;
  const struct timespec rest = {.tv_nsec = REST_NS};
  while (!atomic_load(&r->stopping)) {
    const size_t head = atomic_load(&r->head), at = head % r->capacity;
    const size_t room = r->capacity - (head - atomic_load(&r->tail));
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
      /* An end is seen again by who reads next. */
      atomic_store(&r->ended, 1);
      call_if_wanted(r);
      break;
    }
  }
  return NULL;
}

static void wake(const reader *r) {
  const uint64_t one = 1;
  /* A counter that is full already wakes as well. */
  if (write(r->wake, &one, sizeof one) < 0) return;
}

/* ---- the addon ---- */

static void stop(reader *r) {
  if (r->joined) return;
  r->joined = 1;
  atomic_store(&r->stopping, 1);
  wake(r);
  pthread_join(r->thread, NULL);
  close(r->socket);
  close(r->wake);
}

/* The environment ends, and with it the ring. */
static void stop_at_end(void *argument) { stop(argument); }

static void finalize(napi_env env, void *argument, void *hint) {
  reader *r = argument;
  (void)hint;
  napi_remove_env_cleanup_hook(env, stop_at_end, r);
  stop(r);
  free(r);
}

static void call_on_bytes(napi_env env, napi_value on_bytes, void *context, void *data) {
  napi_value undefined;
  (void)context, (void)data;
  if (env == NULL || on_bytes == NULL) return;
  napi_get_undefined(env, &undefined);
  napi_call_function(env, undefined, on_bytes, 0, NULL, NULL);
}

static napi_value refuse(napi_env env, const char *why) {
  napi_throw_error(env, NULL, why);
  return NULL;
}

static int start_thread(reader *r) {
  sigset_t all, before;
  /* Signals are the main thread's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&r->thread, NULL, run, r);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return !failed;
}

/*
 * open(descriptor, ring: Buffer, onBytes): begins to read the socket, which nobody else may read until `close`. `onBytes` is called once
 * after each `take` that had nothing.
 */
static napi_value open_reader(napi_env env, napi_callback_info info) {
  napi_value args[3], name, handle;
  size_t argc = 3;
  int32_t descriptor;
  reader *r = calloc(1, sizeof *r);
  if (r == NULL) return refuse(env, "no memory");
  r->wanted = 1;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < 3 ||
      napi_get_value_int32(env, args[0], &descriptor) != napi_ok ||
      napi_get_buffer_info(env, args[1], (void **)&r->ring, &r->capacity) != napi_ok || r->capacity == 0 ||
      napi_create_string_utf8(env, "sluice stream reader", NAPI_AUTO_LENGTH, &name) != napi_ok) {
    free(r);
    return refuse(env, "bad arguments");
  }
  /* A descriptor of our own: the caller's may be closed, and its number be given to another file, before we hear of it. */
  r->socket = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (r->socket < 0 || r->wake < 0 ||
      napi_create_threadsafe_function(env, args[2], NULL, name, 0, 1, NULL, NULL, NULL, call_on_bytes, &r->on_bytes) != napi_ok) {
    if (r->socket >= 0) close(r->socket);
    if (r->wake >= 0) close(r->wake);
    free(r);
    return refuse(env, "no descriptor");
  }
  napi_unref_threadsafe_function(env, r->on_bytes);
  if (!start_thread(r)) {
    napi_release_threadsafe_function(r->on_bytes, napi_tsfn_abort);
    close(r->socket);
    close(r->wake);
    free(r);
    return refuse(env, "no thread");
  }
  napi_create_reference(env, args[1], 1, &r->ring_reference);
  napi_add_env_cleanup_hook(env, stop_at_end, r);
  napi_create_external(env, r, finalize, NULL, &handle);
  return handle;
}

static reader *reader_of(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t argc = count;
  void *r = NULL;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < count ||
      napi_get_value_external(env, args[0], &r) != napi_ok) return NULL;
  return r;
}

/*
 * take(reader, most): how many bytes may be read in the ring, behind those of the last `take`, which are given up. 0: none, `onBytes`
 * will be called. -1: none, and none will come.
 */
static napi_value take(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  uint32_t most;
  reader *r = reader_of(env, info, 2, args);
  if (r == NULL || r->joined || napi_get_value_uint32(env, args[1], &most) != napi_ok) return refuse(env, "not open");
  const size_t tail = atomic_load(&r->tail) + r->shown;
  atomic_store(&r->tail, tail);
  /* It goes on when half of the ring is free, not for every few bytes. */
  if (atomic_load(&r->waiting) && atomic_load(&r->head) - tail <= r->capacity / 2) wake(r);
  const int ended = atomic_load(&r->ended);
  size_t there = atomic_load(&r->head) - tail;
  if (there == 0 && !ended) {
    atomic_store(&r->wanted, 1);
    there = atomic_load(&r->head) - tail;
    if (there > 0) atomic_store(&r->wanted, 0);
  }
  const size_t behind = r->capacity - tail % r->capacity;
  r->shown = there < behind ? there : behind;
  if (r->shown > most) r->shown = most;
  napi_create_int32(env, there == 0 && ended ? -1 : (int32_t)r->shown, &result);
  return result;
}

/* close(reader): the socket is the caller's again. What is in the ring is given up. Safe to call twice. */
static napi_value close_reader(napi_env env, napi_callback_info info) {
  napi_value args[1];
  reader *r = reader_of(env, info, 1, args);
  if (r == NULL) return refuse(env, "bad arguments");
  if (r->joined) return NULL;
  stop(r);
  napi_release_threadsafe_function(r->on_bytes, napi_tsfn_abort);
  napi_delete_reference(env, r->ring_reference);
  return NULL;
}

NAPI_MODULE_INIT() {
  const struct {const char *name; napi_callback call;} offered[] = {{"open", open_reader}, {"take", take}, {"close", close_reader}};
  for (size_t i = 0; i < sizeof offered / sizeof *offered; i++) {
    napi_value function;
    if (napi_create_function(env, offered[i].name, NAPI_AUTO_LENGTH, offered[i].call, NULL, &function) == napi_ok) {
      napi_set_named_property(env, exports, offered[i].name, function);
    }
  }
  return exports;
}
