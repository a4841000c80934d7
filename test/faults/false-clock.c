/*
 * To be preloaded into a program: its wall clock is off by as many nanoseconds as the file FALSE_CLOCK says, which may change at any
 * moment, as when somebody sets the machine's clock. The monotonic clock stays true, as the kernel's does. Waits until a moment of
 * the wall clock end when the false one has reached it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* How long a change of the file may stay unnoticed by those who wait. */
#define SLICE (SECOND / 20)

static const volatile int64_t right = 0;
static const volatile int64_t *offset = &right;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FALSE_CLOCK");
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd == -1) abort();
  void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) abort();
  offset = page;
  close(fd);
}

static int64_t read_clock(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static struct timespec as_timespec(int64_t ns) {
  return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

static int64_t wall_time(void) { return read_clock(CLOCK_REALTIME) + *offset; }

int clock_gettime(clockid_t clock, struct timespec *to) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, to);
  *to = as_timespec(wall_time());
  return 0;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone) {
  (void)zone;
  int64_t now = wall_time();
  *to = (struct timeval){.tv_sec = now / SECOND, .tv_usec = now % SECOND / 1000};
  return 0;
}

int timespec_get(struct timespec *to, int base) {
  *to = as_timespec(wall_time());
  return base;
}

time_t time(time_t *to) {
  time_t now = wall_time() / SECOND;
  if (to != NULL) *to = now;
  return now;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  /* A moment within the first thirty years is one of the monotonic clock, which such conditions can be made for. */
  if (until->tv_sec < 1000000000) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
  const int64_t deadline = until->tv_sec * SECOND + until->tv_nsec;
  for (;;) {
    const int64_t left = deadline - wall_time();
    if (left <= 0) return ETIMEDOUT;
    const struct timespec slice = as_timespec(read_clock(CLOCK_MONOTONIC) + (left < SLICE ? left : SLICE));
    const int ended = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &slice);
    if (ended != ETIMEDOUT) return ended;
  }
}

/* In glibc the types of both interfaces are the same beneath. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
  const int ended = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
  return ended == 0 ? thrd_success : ended == ETIMEDOUT ? thrd_timedout : thrd_error;
}
