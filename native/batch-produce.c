/*
 * Hands a whole batch of messages to librdkafka in one call. The Kafka client's own `produce` takes one message at a time and
 * parses its headers anew for each, which costs more CPU than everything else that the worker's main thread does.
 *
 * The messages of a partition go together: rd_kafka_produce_batch looks the partition and the clock up once for all of them, and what
 * will be sent together lies together in memory, which the client's threads go through several times.
 *
 * One file, two faces, public interfaces only:
 * - a plugin of librdkafka (`plugin.library.paths`; rdkafka.h, "Plugin interface" and "Interceptors"), by which it hears of the
 *   client instances that carry the setting `sluice.producer`, a number that the caller makes up, and gives each message of a batch its
 *   header, for which rd_kafka_produce_batch has no argument;
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
  rd_kafka_resp_err_t (*header_add)(rd_kafka_headers_t *, const char *, ssize_t, const void *, ssize_t);
  void (*message_set_headers)(rd_kafka_message_t *, rd_kafka_headers_t *);
  int (*produce_batch)(rd_kafka_topic_t *, int32_t, int, rd_kafka_message_t *, int);
  rd_kafka_resp_err_t (*add_on_conf_set)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_set_t *, void *);
  rd_kafka_resp_err_t (*add_on_conf_dup)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_dup_t *, void *);
  rd_kafka_resp_err_t (*add_on_conf_destroy)(
      rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_conf_destroy_t *, void *);
  rd_kafka_resp_err_t (*add_on_new)(rd_kafka_conf_t *, const char *, rd_kafka_interceptor_f_on_new_t *, void *);
  rd_kafka_resp_err_t (*add_on_send)(rd_kafka_t *, const char *, rd_kafka_interceptor_f_on_send_t *, void *);
  rd_kafka_resp_err_t (*add_on_destroy)(rd_kafka_t *, const char *, rd_kafka_interceptor_f_on_destroy_t *, void *);
} rdkafka;

typedef struct {
  char *bytes;
  size_t length;
  int32_t *cells;
  uint32_t count;
  const char *header;
  size_t header_name_length;
  const void *header_value;
  size_t header_length;
} batch;

/* What this thread is handing over. */
static _Thread_local const batch *sending;

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

/* Also called for messages that do not come from here, which have their headers. */
static rd_kafka_resp_err_t on_send(rd_kafka_t *rk, rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  const batch *all = sending;
  if (all == NULL) return RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_headers_t *headers = rdkafka.headers_new(1);
  rdkafka.header_add(headers, all->header, (ssize_t)all->header_name_length, all->header_value, (ssize_t)all->header_length);
  rdkafka.message_set_headers(message, headers);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
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
  rd_kafka_resp_err_t failed = rdkafka.add_on_send(rk, NAME, on_send, NULL);
  if (!failed) failed = rdkafka.add_on_destroy(rk, NAME, on_destroy, NULL);
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
              FIND(headers_new, "rd_kafka_headers_new") && FIND(header_add, "rd_kafka_header_add") &&
              FIND(message_set_headers, "rd_kafka_message_set_headers") && FIND(produce_batch, "rd_kafka_produce_batch") &&
              FIND(add_on_conf_set, "rd_kafka_conf_interceptor_add_on_conf_set") &&
              FIND(add_on_conf_dup, "rd_kafka_conf_interceptor_add_on_conf_dup") &&
              FIND(add_on_conf_destroy, "rd_kafka_conf_interceptor_add_on_conf_destroy") &&
              FIND(add_on_new, "rd_kafka_conf_interceptor_add_on_new") &&
              FIND(add_on_send, "rd_kafka_interceptor_add_on_send") &&
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

/* Messages for one call of rd_kafka_produce_batch. */
enum { PIECE = 64 };

/*
 * A message that is too large is refused while those behind it are taken, so whatever may be too large goes by itself. The limit,
 * `message.max.bytes`, is never as low as this (src/targets/kafka/client-config.ts).
 */
#define ALONE (1024 * 1024)

static int within(const batch *all, int32_t at, int32_t length) {
  return length < 0 || (at >= 0 && (size_t)at + (size_t)length <= all->length);
}

/* The cells say nothing that is not there. */
static int is_sound(const batch *all) {
  for (uint32_t i = 0; i < all->count; i++) {
    const int32_t *cell = all->cells + CELLS * (size_t)i;
    if (cell[PARTITION] < 0 || !within(all, cell[KEY_AT], cell[KEY_LENGTH]) ||
        !within(all, cell[VALUE_AT], cell[VALUE_LENGTH])) return 0;
  }
  return 1;
}

/* Of at least this many bytes, until the next call. The lock is held. */
static void *scratch(size_t bytes) {
  static void *memory;
  static size_t size;
  if (bytes > size) {
    free(memory);
    memory = malloc(bytes);
    size = memory == NULL ? 0 : bytes;
  }
  return memory;
}

/* Sorts the messages by partition; those of one stay in order. Where memory is lacking they stay as they are. */
static void group(const batch *all) {
  const size_t cell = CELLS * sizeof *all->cells, bytes = all->count * cell;
  int32_t partitions = 0;
  for (uint32_t i = 0; i < all->count; i++) {
    const int32_t partition = all->cells[CELLS * (size_t)i + PARTITION];
    if (partition >= partitions) partitions = partition + 1;
  }
  const size_t counts = ((size_t)partitions + 1) * sizeof(uint32_t);
  int32_t *before = partitions < 2 ? NULL : scratch(bytes + counts);
  if (before == NULL) return;
  memcpy(before, all->cells, bytes);
  uint32_t *next = (uint32_t *)((char *)before + bytes); /* Of each partition: where its next message goes. */
  memset(next, 0, counts);
  for (uint32_t i = 0; i < all->count; i++) next[before[CELLS * (size_t)i + PARTITION] + 1]++;
  for (int32_t partition = 1; partition < partitions; partition++) next[partition] += next[partition - 1];
  for (uint32_t i = 0; i < all->count; i++) {
    const int32_t *from = before + CELLS * (size_t)i;
    memcpy(all->cells + CELLS * (size_t)next[from[PARTITION]]++, from, cell);
  }
}

/* Takes messages from `at` on into the piece, all of one partition, and returns how many. */
static int fill(rd_kafka_message_t *piece, const batch *all, uint32_t at) {
  const int32_t *cell = all->cells + CELLS * (size_t)at, partition = cell[PARTITION];
  int count = 0;
  for (; count < PIECE && at + (uint32_t)count < all->count && cell[PARTITION] == partition; cell += CELLS) {
    const int has_key = cell[KEY_LENGTH] >= 0, has_value = cell[VALUE_LENGTH] >= 0;
    rd_kafka_message_t message = {.payload = has_value ? all->bytes + cell[VALUE_AT] : NULL,
                                  .len = has_value ? (size_t)cell[VALUE_LENGTH] : 0,
                                  .key = has_key ? all->bytes + cell[KEY_AT] : NULL,
                                  .key_len = has_key ? (size_t)cell[KEY_LENGTH] : 0};
    const int alone = message.len + message.key_len > ALONE;
    if (alone && count > 0) break;
    piece[count++] = message;
    if (alone) break;
  }
  return count;
}

static uint32_t produce_to(rd_kafka_topic_t *topic, const batch *all) {
  rd_kafka_message_t piece[PIECE];
  uint32_t taken = 0;
  group(all);
  sending = all;
  while (taken < all->count) {
    const int32_t partition = all->cells[CELLS * (size_t)taken + PARTITION];
    const int count = fill(piece, all, taken);
    const int good = rdkafka.produce_batch(topic, partition, RD_KAFKA_MSG_F_COPY, piece, count);
    taken += (uint32_t)good;
    if (good < count) break;
  }
  sending = NULL;
  return taken;
}

static uint32_t produce_all(uint32_t number, const char *topic_name, const batch *all) {
  uint32_t taken = 0;
  pthread_mutex_lock(&lock);
  const producer *found = producers;
  while (found != NULL && found->number != number) found = found->next;
  rd_kafka_topic_t *topic = found == NULL ? NULL : rdkafka.topic_new(found->rk, topic_name, NULL);
  if (topic != NULL) {
    taken = produce_to(topic, all);
    rdkafka.topic_destroy(topic);
  }
  pthread_mutex_unlock(&lock);
  return taken;
}

/*
 * produce(number, topic, bytes: Buffer, cells: Int32Array, from, count, header, headerValue: Buffer): sorts the cells from `from` on by
 * partition and returns how many messages, beginning with the one that is then at `from`, were copied into the client's queue. Why the
 * next one was not, its own `produce` tells.
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
  if (!is_sound(&all)) return refuse(env, "bad arguments");
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
