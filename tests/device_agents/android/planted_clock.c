// A clock that passes while the fake runtime says so and while the agent waits, and not otherwise: linked into the agent
// with -Wl,--wrap=clock_gettime,--wrap=clock_nanosleep and -rdynamic, by which the fake runtime finds pass_ns.
#define _GNU_SOURCE
#include <stdint.h>
#include <time.h>

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left);
void pass_ns(int64_t ns);

static int64_t now = 1000000000000;

void pass_ns(int64_t ns) { now += ns; }

int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock != CLOCK_MONOTONIC) return __real_clock_gettime(clock, time);
    *time = (struct timespec){now / 1000000000, now % 1000000000};
    return 0;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    (void)clock, (void)flags, (void)left;
    now = (int64_t)until->tv_sec * 1000000000 + until->tv_nsec;
    return 0;
}
