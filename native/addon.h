/*
 * What the addons of this folder have in common: how they refuse a call, have a thread of their own, call JavaScript from it, and offer
 * their functions.
 */
#ifndef SLUICE_ADDON_H
#define SLUICE_ADDON_H

#include <pthread.h>
#include <signal.h>

#include <node_api.h>

static inline napi_value refuse(napi_env env, const char *why) {
  napi_throw_error(env, NULL, why);
  return NULL;
}

/* False: no thread is left. The name has 15 characters at most. */
static inline int start_thread(pthread_t *thread, const char *name, void *(*run)(void *), void *argument) {
  sigset_t all, before;
  /* Signals are the main thread's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(thread, NULL, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
#ifdef __linux__
  if (!failed) pthread_setname_np(*thread, name);
#else
  (void)name;
#endif
  return !failed;
}

/*
 * For `napi_call_threadsafe_function`, which has `call` run on JavaScript's thread. The process does not stay for its sake. False: it is
 * no function, or no memory is left.
 */
static inline int let_threads_call(
    napi_env env, napi_value function, const char *name, napi_threadsafe_function_call_js call, napi_threadsafe_function *made) {
  napi_value resource;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource) != napi_ok ||
      napi_create_threadsafe_function(env, function, NULL, resource, 0, 1, NULL, NULL, NULL, call, made) != napi_ok) return 0;
  napi_unref_threadsafe_function(env, *made);
  return 1;
}

/* For such a `call`. There is neither `env` nor function when JavaScript has ended meanwhile. */
static inline void call_back(napi_env env, napi_value function, size_t count, const napi_value *arguments) {
  napi_value undefined;
  if (env == NULL || function == NULL) return;
  napi_get_undefined(env, &undefined);
  napi_call_function(env, undefined, function, count, arguments, NULL);
}

static inline void offer(napi_env env, napi_value exports, const char *name, napi_callback call) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &function) == napi_ok) {
    napi_set_named_property(env, exports, name, function);
  }
}

#endif
