/*
 * Hands a whole batch of messages to librdkafka in one call. The Kafka client's own `produce` takes one message at a time and
 * parses its headers anew for each, which costs more CPU than everything else that the worker's main thread does.
 *
 * One file, two faces, public interfaces only:
 * - a plugin of librdkafka (`plugin.library.paths`; rdkafka.h, "Plugin interface" and "Interceptors"), by which it hears of the
 *   client instances that carry the setting `sluice.producer`, a number that the caller makes up;
 * - an addon for Node-API with one function, `produce`, which finds the instance by that number.
 *
 * librdkafka's functions are looked up in the library that calls the plugin, so that nothing depends on how it is linked.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#ifdef __linux__
#include <malloc.h>
#endif
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rdkafka.h>

#include "addon.h"

#define NAME "sluice"
#define SETTING "sluice.producer"

/* A message in the list of the caller: five numbers. A length of -1 means that there is no key or no value. */
enum { PARTITION, KEY_AT, KEY_LENGTH, VALUE_AT, VALUE_LENGTH, CELLS };

static struct {
  rd_kafka_topic_t *(*topic_new)(rd_kafka_t *, const char *, rd_kafka_topic_conf_t *);
  void (*topic_destroy)(rd_kafka_topic_t *);
  rd_kafka_headers_t *(*headers_new)(size_t);
  void (*headers_destroy)(rd_kafka_headers_t *);
  rd_kafka_resp_err_t (*header_add)(rd_kafka_headers_t *, const char *, ssize_t, const void *, ssize_t);
  rd_kafka_error_t *(*produceva)(rd_kafka_t *, const rd_kafka_vu_t *, size_t);
  void (*error_destroy)(rd_kafka_error_t *);
  rd_kafka_resp_err_t (*add_on_conf_set)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_set_t *, void *);
  rd_kafka_resp_err_t (*add_on_conf_dup)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_dup_t *, void *);
  rd_kafka_resp_err_t (*add_on_conf_destroy)(
      rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_destroy_t *, void *);
  rd_kafka_resp_err_t (*add_on_new)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_new_t *, void *);
  rd_kafka_resp_err_t (*add_on_destroy)(rd_kafka_t *, const char *, rd_kafka_interceptor_f_on_destroy_t *, void *);
} rdkafka;

/* Client instances are made and destroyed on other threads than the one that produces. */
typedef struct producer {
  struct producer *next;
  uint32_t number;
  rd_kafka_t *rk;
} producer;

static producer *producers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the plugin ---- */

static void forget(rd_kafka_t *rk) {
  pthread_mutex_lock(&lock);
  for (producer **at = &producers; *at != NULL; at = &(*at)->next) {
    if ((*at)->rk != rk) continue;
    producer *gone = *at;
    *at = gone->next;
    free(gone);
    break;
  }
  pthread_mutex_unlock(&lock);
}

static rd_kafka_resp_err_t on_destroy(rd_kafka_t *rk, void *opaque) {
  (void)opaque;
  forget(rk);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *number, char *errstr, size_t size) {
  (void)conf, (void)errstr, (void)size;
  producer *made = malloc(sizeof *made);
  if (made == NULL) return RD_KAFKA_RESP_ERR__FAIL;
  rd_kafka_resp_err_t failed = rdkafka.add_on_destroy(rk, NAME, on_destroy, NULL);
  if (failed) {
    free(made);
    return failed;
  }
  made->number = (uint32_t)(uintptr_t)number;
  made->rk = rk;
  pthread_mutex_lock(&lock);
  made->next = producers;
  producers = made;
  pthread_mutex_unlock(&lock);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_conf_res_t on_conf_set(
    rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr, size_t size, void *number) {
  (void)conf, (void)errstr, (void)size;
  if (strcmp(name, SETTING) != 0) return RD_KAFKA_CONF_UNKNOWN;
  *(uint32_t *)number = value == NULL ? 0 : (uint32_t)strtoul(value, NULL, 10);
  return RD_KAFKA_CONF_OK;
}

/* The instance is made of a copy of the configuration, which knows only the settings of librdkafka. */
static rd_kafka_resp_err_t on_conf_dup(
    rd_kafka_conf_t *copy, const rd_kafka_conf_t *conf, size_t filters, const char **filter, void *number) {
  (void)conf, (void)filters, (void)filter;
  return rdkafka.add_on_new(copy, NAME, on_new, (void *)(uintptr_t)*(uint32_t *)number);
}

static rd_kafka_resp_err_t on_conf_destroy(void *number) {
  free(number);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int find_librdkafka(void *caller) {
  Dl_info info;
  if (!dladdr(caller, &info)) return 0;
  void *library = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  if (library == NULL) return 0;
#define FIND(member, name) (*(void **)&rdkafka.member = dlsym(library, name)) != NULL
  int found = FIND(topic_new, "rd_kafka_topic_new") && FIND(topic_destroy, "rd_kafka_topic_destroy") &&
              FIND(headers_new, "rd_kafka_headers_new") && FIND(headers_destroy, "rd_kafka_headers_destroy") &&
              FIND(header_add, "rd_kafka_header_add") && FIND(produceva, "rd_kafka_produceva") &&
              FIND(error_destroy, "rd_kafka_error_destroy") &&
              FIND(add_on_conf_set, "rd_kafka_conf_interceptor_add_on_conf_set") &&
              FIND(add_on_conf_dup, "rd_kafka_conf_interceptor_add_on_conf_dup") &&
              FIND(add_on_conf_destroy, "rd_kafka_conf_interceptor_add_on_conf_destroy") &&
              FIND(add_on_new, "rd_kafka_conf_interceptor_add_on_new") &&
              FIND(add_on_destroy, "rd_kafka_interceptor_add_on_destroy");
#undef FIND
  dlclose(library);
  return found;
}

__attribute__((visibility("default"))) rd_kafka_resp_err_t conf_init(
    rd_kafka_conf_t *conf, void **opaque, char *errstr, size_t size) {
  (void)opaque, (void)errstr, (void)size;
  pthread_mutex_lock(&lock);
  int found = find_librdkafka(__builtin_return_address(0));
  pthread_mutex_unlock(&lock);
  /* Then `produce` finds no instance and takes nothing, which the caller makes up for. */
  if (!found) return RD_KAFKA_RESP_ERR_NO_ERROR;
  uint32_t *number = calloc(1, sizeof *number);
  if (number == NULL) return RD_KAFKA_RESP_ERR__FAIL;
  rd_kafka_resp_err_t failed = rdkafka.add_on_conf_destroy(conf, NAME, on_conf_destroy, number);
  if (failed) {
    free(number);
    return failed;
  }
  if (!failed) failed = rdkafka.add_on_conf_set(conf, NAME, on_conf_set, number);
  if (!failed) failed = rdkafka.add_on_conf_dup(conf, NAME, on_conf_dup, number);
  return failed;
}

/* ---- the addon ---- */

typedef struct {
  char *bytes;
  size_t length;
  const int32_t *cells;
  uint32_t count;
  const char *header;
  size_t header_name_length;
  const void *header_value;
  size_t header_length;
  int64_t timestamp; /* Of all of them, in ms; the client would look at the clock for each. */
} batch;

/* False: the message was refused; nothing of it is left. */
static int produce_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, const batch *all, const int32_t *cell) {
  rd_kafka_vu_t say[7];
  size_t n = 0;
  say[n].vtype = RD_KAFKA_VTYPE_RKT;
  say[n++].u.rkt = topic;
  say[n].vtype = RD_KAFKA_VTYPE_PARTITION;
  say[n++].u.i32 = cell[PARTITION];
  say[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  say[n++].u.i = RD_KAFKA_MSG_F_COPY;
  say[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
  say[n++].u.i64 = all->timestamp;
  say[n].vtype = RD_KAFKA_VTYPE_VALUE;
  say[n].u.mem.ptr = cell[VALUE_LENGTH] < 0 ? NULL : all->bytes + cell[VALUE_AT];
  say[n++].u.mem.size = cell[VALUE_LENGTH] < 0 ? 0 : (size_t)cell[VALUE_LENGTH];
  if (cell[KEY_LENGTH] >= 0) {
    say[n].vtype = RD_KAFKA_VTYPE_KEY;
    say[n].u.mem.ptr = all->bytes + cell[KEY_AT];
    say[n++].u.mem.size = (size_t)cell[KEY_LENGTH];
  }
  rd_kafka_headers_t *headers = rdkafka.headers_new(1);
  rdkafka.header_add(headers, all->header, (ssize_t)all->header_name_length, all->header_value, (ssize_t)all->header_length);
  say[n].vtype = RD_KAFKA_VTYPE_HEADERS;
  say[n++].u.headers = headers;
  rd_kafka_error_t *error = rdkafka.produceva(rk, say, n);
  if (error == NULL) return 1;
  rdkafka.headers_destroy(headers);
  rdkafka.error_destroy(error);
  return 0;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int within(const batch *all, int32_t at, int32_t length) {
  return length < 0 || (at >= 0 && (size_t)at + (size_t)length <= all->length);
}

static uint32_t produce_all(uint32_t number, const char *topic_name, const batch *all) {
  uint32_t taken = 0;
  pthread_mutex_lock(&lock);
  const producer *found = producers;
  while (found != NULL && found->number != number) found = found->next;
  rd_kafka_topic_t *topic = found == NULL ? NULL : rdkafka.topic_new(found->rk, topic_name, NULL);
  if (topic != NULL) {
    for (; taken < all->count; taken++) {
      const int32_t *cell = all->cells + CELLS * taken;
      if (!within(all, cell[KEY_AT], cell[KEY_LENGTH]) || !within(all, cell[VALUE_AT], cell[VALUE_LENGTH])) break;
      if (!produce_one(found->rk, topic, all, cell)) break;
    }
    rdkafka.topic_destroy(topic);
  }
  pthread_mutex_unlock(&lock);
  return taken;
}

/*
 * produce(number, topic, bytes: Buffer, cells: Int32Array, from, count, header, headerValue: Buffer): how many messages, beginning
 * with the one at `from`, were copied into the client's queue. Why the next one was not, its own `produce` tells.
 */
static napi_value produce(napi_env env, napi_callback_info info) {
  napi_value args[8], result;
  size_t argc = 8;
  char topic[512], header[128];
  uint32_t number, from, count;
  size_t cells;
  int32_t *cell;
  napi_typedarray_type type;
  batch all;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < 8 ||
      napi_get_value_uint32(env, args[0], &number) != napi_ok ||
      napi_get_value_string_utf8(env, args[1], topic, sizeof topic, NULL) != napi_ok ||
      napi_get_buffer_info(env, args[2], (void **)&all.bytes, &all.length) != napi_ok ||
      napi_get_typedarray_info(env, args[3], &type, &cells, (void **)&cell, NULL, NULL) != napi_ok ||
      type != napi_int32_array || napi_get_value_uint32(env, args[4], &from) != napi_ok ||
      napi_get_value_uint32(env, args[5], &count) != napi_ok || (uint64_t)from + count > cells / CELLS ||
      napi_get_value_string_utf8(env, args[6], header, sizeof header, &all.header_name_length) != napi_ok ||
      napi_get_buffer_info(env, args[7], (void **)&all.header_value, &all.header_length) != napi_ok) {
    return refuse(env, "bad arguments");
  }
  all.cells = cell + CELLS * (size_t)from;
  all.count = count;
  all.header = header;
  all.timestamp = now_ms();
  napi_create_uint32(env, produce_all(number, topic, &all), &result);
  return result;
}

/*
 * The memory of messages and headers is taken on this thread and given back on librdkafka's. glibc puts what is small into lists that
 * grow meanwhile (fastbins) and merges all of them whenever it is asked for something large, which took longer than the rest of
 * `produce`. Without those lists each piece is merged when it is given back.
 */
static void merge_at_once(void) {
#ifdef M_MXFAST
  mallopt(M_MXFAST, 0);
#endif
}

NAPI_MODULE_INIT() {
  merge_at_once();
  offer(env, exports, "produce", produce);
  return exports;
}
