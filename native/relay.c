/*
 * Carries the ordinary traffic of sessions at rest between their two sockets, on a thread of its own. Node's streams cost about as
 * much CPU as the kernel's reads and writes together; this thread only pays for the latter.
 *
 * The gateway lends the sockets of a session (`lend`) and gets them back (`recall`) whenever it wants, or because something has come
 * that is not for us: a text that may hold a statement of ours, COPY, a Flush, a setting that was reported, an end, an error. What is
 * handed back tells exactly where the session stands, and not a byte of what made us stop has been passed on.
 *
 * Only whole batches go to the engine: one Query, or messages of the extended protocol up to their Sync. (PostgreSQL 18 section 54.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* What one read takes. */
#define CHUNK 65536
/* What may lie here of a message that has not come whole. */
#define MOST_HELD 16384
/* Requests without their ReadyForQuery, and answers to the first batch of them. */
#define MOST_NOTED 256
#define MOST_EVENTS 64
/* Without an event, in microseconds: what an engine takes for a short statement, and a client for its next one. */
#define LONGEST_AWAKE 150
#define MOST_MISSES 8
#define MOST_WORDS 64
#define LONGEST_WORD 16
#define HEADER 5

/* An id is the number of a slot below, how often slots were given out above; it stays exact in a number of JavaScript. */
#define SLOT_BITS 20
#define SLOT(id) ((id) & ((1u << SLOT_BITS) - 1))

enum { CLIENT, ENGINE };

/* One socket and what was read from it: first what is on its way to the other side, then what is not yet whole. */
typedef struct {
  int fd;
  int failed;
  uint32_t watched;
  char *bytes;
  uint32_t passed, length;
} end;

typedef struct {
  uint64_t id; /* 0: the slot is free. */
  end ends[2];
  int returned; /* Nothing happens here until it is recalled. */
  uint8_t status;
  uint32_t rest; /* Of the engine's present message. */
  uint32_t batches;
  uint16_t requests, answers;
  uint8_t request[MOST_NOTED], answer[MOST_NOTED];
} session;

typedef struct {
  pthread_mutex_t lock; /* For everything below. */
  session **slots;
  uint32_t slot_count;
  uint64_t lent;
  int stopping;

  pthread_t thread;
  int epoll, wake;
  napi_threadsafe_function on_return;
  char words[MOST_WORDS][LONGEST_WORD];
  uint32_t word_count, longest_word;
  char chunk[CHUNK]; /* The thread's own. */
} relay;

/* ---- texts ---- */

static int is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static int is_role_ending(const char *word) {
  return strncasecmp(word, "role", 4) == 0 || strncasecmp(word, "user", 4) == 0 || strncasecmp(word, "alog", 4) == 0;
}

/* The same rule as `isPlain` in src/gateway/plain-text.ts, which also hands over the words. */
static int is_plain(const relay *r, const uint8_t *at, const uint8_t *to) {
  char word[LONGEST_WORD];
  uint32_t length = 0;
  while (at < to && is_space(*at)) at++;
  for (; at < to && (*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'; at++) {
    if (length == r->longest_word) return 0;
    word[length++] = (char)(*at | 0x20);
  }
  uint32_t i = 0;
  while (i < r->word_count && (memcmp(r->words[i], word, length) != 0 || r->words[i][length] != 0)) i++;
  if (i == r->word_count) return 0;
  while (to > at && (is_space(to[-1]) || to[-1] == ';')) to--;
  for (const uint8_t *from = at; at < to; at++) {
    if (*at == ';') return 0;
    if (*at == ')' && at - from >= 5 && at[-1] == '(' && is_role_ending((const char *)at - 5)) return 0;
    if ((*at | 0x20) == 's' && to - at >= 6 && strncasecmp((const char *)at, "secret", 6) == 0) return 0;
  }
  return 1;
}

/* ---- messages ---- */

static uint32_t size_of(const uint8_t *message) {
  return 1 + ((uint32_t)message[1] << 24 | (uint32_t)message[2] << 16 | (uint32_t)message[3] << 8 | message[4]);
}

static int is_request(uint8_t type) {
  return type == 'Q' || type == 'P' || type == 'B' || type == 'D' || type == 'E' || type == 'C' || type == 'S';
}

static int is_plain_request(const relay *r, const uint8_t *message, uint32_t size) {
  const uint8_t *at = message + HEADER, *to = message + size;
  if (*message == 'Q') return to > at && is_plain(r, at, to - 1);
  if (*message != 'P') return 1;
  const uint8_t *name_end = memchr(at, 0, (size_t)(to - at));
  if (name_end == NULL) return 0;
  const uint8_t *text_end = memchr(name_end + 1, 0, (size_t)(to - name_end - 1));
  return text_end != NULL && is_plain(r, name_end + 1, text_end);
}

/*
 * How many of a client's bytes may go on. `foreign`: what follows them is not for us. Whole messages whose Sync has not come are
 * foreign, because the engine would begin with them; a long one is, because Node has streams for that.
 */
static uint32_t judge_client(const relay *r, session *s, const uint8_t *bytes, uint32_t length, int *foreign) {
  uint32_t passed = 0, at = 0;
  uint16_t noted = s->requests;
  *foreign = 1;
  while (length - at >= HEADER) {
    const uint8_t type = bytes[at];
    const uint32_t size = size_of(bytes + at);
    if (!is_request(type) || size < HEADER || size > MOST_HELD || noted == MOST_NOTED) return passed;
    if (length - at < size) break;
    /* The engine discards a Query in a batch that has failed, so we could not tell how many answers will come. */
    if ((type == 'Q' && at > passed) || !is_plain_request(r, bytes + at, size)) return passed;
    s->request[noted++] = type;
    at += size;
    if (type != 'Q' && type != 'S') continue;
    passed = at;
    s->requests = noted;
    s->batches++;
  }
  *foreign = at > passed;
  return passed;
}

/* The first batch was answered. */
static void end_batch(session *s) {
  uint16_t last = 0;
  while (s->request[last] != 'Q' && s->request[last] != 'S') last++;
  s->requests -= last + 1;
  memmove(s->request, s->request + last + 1, s->requests);
  s->answers = 0;
}

/* The same for the engine's bytes. Messages need not be whole, except ReadyForQuery. */
static uint32_t judge_engine(session *s, const uint8_t *bytes, uint32_t length, int *foreign) {
  uint32_t at = 0;
  for (;;) {
    const uint32_t part = s->rest < length - at ? s->rest : length - at;
    at += part;
    s->rest -= part;
    if (length - at < HEADER) return at;
    const uint8_t type = bytes[at];
    const uint32_t size = size_of(bytes + at);
    if (size < HEADER) break;
    switch (type) {
      case 'Z':
        if (size != HEADER + 1 || s->requests == 0) goto foreign;
        if (length - at < size) return at;
        s->status = bytes[at + HEADER];
        end_batch(s);
        break;
      case 'T': case 'n': case '1': case '2': case '3': case 'C': case 'I': case 's': case 'E':
        if (s->answers == MOST_NOTED) goto foreign;
        if (s->requests > 0) s->answer[s->answers++] = type;
        break;
      case 'D': case 't': case 'N': case 'A':
        break;
      default:
        goto foreign;
    }
    s->rest = size;
  }
foreign:
  *foreign = 1;
  return at;
}

/* ---- the thread ---- */

static int watch(relay *r, session *s, int side, int how) {
  end *e = &s->ends[side];
  /* Who cannot be passed on is not read any further. */
  const uint32_t wanted = (e->passed == 0 ? EPOLLIN : 0) | (s->ends[!side].passed > 0 ? EPOLLOUT : 0);
  if (how == EPOLL_CTL_MOD && wanted == e->watched) return 1;
  struct epoll_event event = {.events = wanted, .data.u64 = s->id << 1 | (unsigned)side};
  e->watched = wanted;
  return epoll_ctl(r->epoll, how, e->fd, &event) == 0;
}

static void unwatch(relay *r, session *s) {
  for (int side = 0; side < 2; side++) epoll_ctl(r->epoll, EPOLL_CTL_DEL, s->ends[side].fd, NULL);
}

static void give_back(relay *r, session *s) {
  s->returned = 1;
  unwatch(r, s);
  napi_call_threadsafe_function(r->on_return, (void *)(uintptr_t)s->id, napi_tsfn_nonblocking);
}

/* Sends the first `passed` of `length` bytes and keeps the others. False: the session has to be given back. */
static int pass_on(relay *r, session *s, int side, char *bytes, uint32_t passed, uint32_t length) {
  end *from = &s->ends[side], *to = &s->ends[!side];
  const ssize_t taken = passed == 0 ? 0 : send(to->fd, bytes, passed, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (taken < 0 && errno != EAGAIN && errno != EINTR) to->failed = 1;
  const uint32_t sent = taken > 0 ? (uint32_t)taken : 0;
  char *kept = NULL;
  if (length > sent) {
    kept = malloc(length - sent);
    /* Then both connections end. */
    if (kept == NULL) from->failed = to->failed = 1, passed = length = sent;
    else memcpy(kept, bytes + sent, length - sent);
  }
  free(from->bytes);
  from->bytes = kept;
  from->passed = passed - sent;
  from->length = length - sent;
  return !to->failed && watch(r, s, side, EPOLL_CTL_MOD) && watch(r, s, !side, EPOLL_CTL_MOD);
}

static int receive(relay *r, session *s, int side) {
  end *from = &s->ends[side];
  if (from->length > 0) memcpy(r->chunk, from->bytes, from->length);
  const ssize_t got = recv(from->fd, r->chunk + from->length, CHUNK - from->length, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
  /* An end is seen again by who reads next, an error is not. */
  if (got < 0) from->failed = 1;
  if (got <= 0) return 0;
  const uint32_t length = from->length + (uint32_t)got;
  const uint8_t *bytes = (const uint8_t *)r->chunk;
  int foreign = 0;
  const uint32_t passed = side == CLIENT ? judge_client(r, s, bytes, length, &foreign) : judge_engine(s, bytes, length, &foreign);
  return pass_on(r, s, side, r->chunk, passed, length) && !foreign;
}

static session *find(relay *r, uint64_t id) {
  const uint32_t slot = SLOT(id);
  session *s = slot < r->slot_count ? r->slots[slot] : NULL;
  return s != NULL && s->id == id ? s : NULL;
}

static void serve(relay *r, uint64_t id, int side, uint32_t events) {
  session *s = find(r, id);
  /* It may have been recalled since the event. */
  if (s == NULL || s->returned) return;
  end *other = &s->ends[!side];
  int stays = !(events & (EPOLLERR | EPOLLHUP));
  if (stays && (events & EPOLLOUT) && other->passed > 0) stays = pass_on(r, s, !side, other->bytes, other->passed, other->length);
  if (stays && (events & EPOLLIN) && s->ends[side].passed == 0) stays = receive(r, s, side);
  if (!stays) give_back(r, s);
}

static int64_t microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/*
 * To be put to sleep and woken costs about as much as passing a message on. While events follow one another closely the thread stays
 * awake between them, and lends its core to whoever wants it. `misses`: how many times in a row it was in vain.
 */
static int next_events(relay *r, struct epoll_event *events, int *misses) {
  int count = epoll_wait(r->epoll, events, MOST_EVENTS, 0);
  if (count != 0) return count;
  const int64_t from = microseconds();
  if (*misses < MOST_MISSES) {
    do {
      sched_yield();
      count = epoll_wait(r->epoll, events, MOST_EVENTS, 0);
    } while (count == 0 && microseconds() - from < LONGEST_AWAKE);
  }
  if (count == 0) count = epoll_wait(r->epoll, events, MOST_EVENTS, -1);
  *misses = microseconds() - from < LONGEST_AWAKE ? 0 : *misses + (*misses < MOST_MISSES);
  return count;
}

static void *run(void *argument) {
  relay *r = argument;
  struct epoll_event events[MOST_EVENTS];
  int misses = MOST_MISSES;
  /* It then interrupts nobody who is at work, and finds more to do when its turn comes. Nothing is lost where that is forbidden. */
  const struct sched_param normal = {.sched_priority = 0};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &normal);
  for (;;) {
    const int count = next_events(r, events, &misses);
    for (int i = 0; i < count; i++) {
      const uint64_t key = events[i].data.u64;
      pthread_mutex_lock(&r->lock);
      const int stopping = r->stopping;
      if (!stopping && key != 0) serve(r, key >> 1, (int)(key & 1), events[i].events);
      pthread_mutex_unlock(&r->lock);
      if (stopping) return NULL;
    }
  }
}

/* ---- the addon ---- */

static void release(relay *r, session *s) {
  r->slots[SLOT(s->id)] = NULL;
  for (int side = 0; side < 2; side++) free(s->ends[side].bytes);
  free(s);
}

static void stop(void *argument) {
  relay *r = argument;
  const uint64_t one = 1;
  pthread_mutex_lock(&r->lock);
  r->stopping = 1;
  pthread_mutex_unlock(&r->lock);
  if (write(r->wake, &one, sizeof one) == sizeof one) pthread_join(r->thread, NULL);
  for (uint32_t slot = 0; slot < r->slot_count; slot++) {
    if (r->slots[slot] != NULL) release(r, r->slots[slot]);
  }
  close(r->epoll);
  close(r->wake);
  pthread_mutex_destroy(&r->lock);
  free(r->slots);
  free(r);
}

static void call_on_return(napi_env env, napi_value on_return, void *context, void *id) {
  napi_value argument;
  (void)context;
  if (env != NULL && napi_create_double(env, (double)(uintptr_t)id, &argument) == napi_ok) call_back(env, on_return, 1, &argument);
}

static int read_words(napi_env env, napi_value list, relay *r) {
  if (napi_get_array_length(env, list, &r->word_count) != napi_ok || r->word_count > MOST_WORDS) return 0;
  for (uint32_t i = 0; i < r->word_count; i++) {
    napi_value word;
    size_t length;
    if (napi_get_element(env, list, i, &word) != napi_ok ||
        napi_get_value_string_latin1(env, word, r->words[i], LONGEST_WORD, &length) != napi_ok) return 0;
    /* One that was cut would stand for others. */
    if (length >= LONGEST_WORD - 1) return 0;
    if (length > r->longest_word) r->longest_word = (uint32_t)length;
  }
  return 1;
}

static int begin(relay *r) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
  r->epoll = epoll_create1(EPOLL_CLOEXEC);
  r->wake = eventfd(0, EFD_CLOEXEC);
  if (r->epoll < 0 || r->wake < 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->wake, &event) != 0) return 0;
  return start_thread(&r->thread, "relay", run, r);
}

/* start(words: string[], onReturn: (id) => void): begins to work. `onReturn` says which session wants to be recalled. */
static napi_value start(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t argc = 2;
  relay *r = calloc(1, sizeof *r);
  if (r == NULL) return refuse(env, "no memory");
  pthread_mutex_init(&r->lock, NULL);
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < 2 || !read_words(env, args[0], r) ||
      !let_threads_call(env, args[1], "sluice relay", call_on_return, &r->on_return)) {
    free(r);
    return refuse(env, "bad arguments");
  }
  if (!begin(r)) {
    napi_release_threadsafe_function(r->on_return, napi_tsfn_abort);
    free(r);
    return refuse(env, "no thread");
  }
  napi_set_instance_data(env, r, NULL, NULL);
  napi_add_env_cleanup_hook(env, stop, r);
  return NULL;
}

static relay *relay_of(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  relay *r = NULL;
  size_t argc = count;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < count) return NULL;
  napi_get_instance_data(env, (void **)&r);
  return r;
}

static session *new_session(relay *r) {
  uint32_t slot = 0;
  while (slot < r->slot_count && r->slots[slot] != NULL) slot++;
  if (slot == r->slot_count) {
    if (slot == 1u << SLOT_BITS) return NULL;
    const uint32_t room = slot == 0 ? 64 : 2 * slot;
    session **more = realloc(r->slots, room * sizeof *more);
    if (more == NULL) return NULL;
    memset(more + slot, 0, (room - slot) * sizeof *more);
    r->slots = more;
    r->slot_count = room;
  }
  session *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->id = ++r->lent << SLOT_BITS | slot;
  return r->slots[slot] = s;
}

/* lend(client, engine, status): descriptors of two sockets that nobody else reads or writes from now on. Returns an id, 0: not possible. */
static napi_value lend(napi_env env, napi_callback_info info) {
  napi_value args[3], result;
  int32_t client, engine;
  uint32_t status;
  relay *r = relay_of(env, info, 3, args);
  if (r == NULL || napi_get_value_int32(env, args[0], &client) != napi_ok ||
      napi_get_value_int32(env, args[1], &engine) != napi_ok || napi_get_value_uint32(env, args[2], &status) != napi_ok) {
    return refuse(env, "bad arguments");
  }
  uint64_t id = 0;
  pthread_mutex_lock(&r->lock);
  session *s = new_session(r);
  if (s != NULL) {
    s->ends[CLIENT].fd = client;
    s->ends[ENGINE].fd = engine;
    s->status = (uint8_t)status;
    if (watch(r, s, CLIENT, EPOLL_CTL_ADD) && watch(r, s, ENGINE, EPOLL_CTL_ADD)) {
      id = s->id;
    } else {
      unwatch(r, s);
      release(r, s);
    }
  }
  pthread_mutex_unlock(&r->lock);
  napi_create_double(env, (double)id, &result);
  return result;
}

static void set_number(napi_env env, napi_value object, const char *name, uint32_t number) {
  napi_value value;
  if (napi_create_uint32(env, number, &value) == napi_ok) napi_set_named_property(env, object, name, value);
}

static void set_bytes(napi_env env, napi_value object, const char *name, const void *bytes, uint32_t length) {
  napi_value value;
  if (napi_create_buffer_copy(env, length, bytes, NULL, &value) == napi_ok) napi_set_named_property(env, object, name, value);
}

static void set_end(napi_env env, napi_value object, const char *name, const end *e) {
  napi_value value, failed;
  if (napi_create_object(env, &value) != napi_ok) return;
  set_bytes(env, value, "passed", e->bytes, e->passed);
  set_bytes(env, value, "unread", e->length == e->passed ? NULL : e->bytes + e->passed, e->length - e->passed);
  if (napi_get_boolean(env, e->failed, &failed) == napi_ok) napi_set_named_property(env, value, "failed", failed);
  napi_set_named_property(env, object, name, value);
}

/* recall(id): `Recalled` of src/gateway/native-relay.ts. From now on the sockets are the caller's. */
static napi_value recall(napi_env env, napi_callback_info info) {
  napi_value args[1], result = NULL;
  double id;
  relay *r = relay_of(env, info, 1, args);
  if (r == NULL || napi_get_value_double(env, args[0], &id) != napi_ok) return refuse(env, "bad arguments");
  pthread_mutex_lock(&r->lock);
  session *s = find(r, (uint64_t)id);
  if (s != NULL) {
    if (!s->returned) unwatch(r, s);
    if (napi_create_object(env, &result) == napi_ok) {
      set_number(env, result, "status", s->status);
      set_number(env, result, "rest", s->rest);
      set_number(env, result, "batches", s->batches);
      set_bytes(env, result, "requests", s->request, s->requests);
      set_bytes(env, result, "answers", s->answer, s->answers);
      set_end(env, result, "client", &s->ends[CLIENT]);
      set_end(env, result, "engine", &s->ends[ENGINE]);
    }
    release(r, s);
  }
  pthread_mutex_unlock(&r->lock);
  return s == NULL ? refuse(env, "not lent") : result;
}

NAPI_MODULE_INIT() {
  offer(env, exports, "start", start);
  offer(env, exports, "lend", lend);
  offer(env, exports, "recall", recall);
  return exports;
}
