#define _GNU_SOURCE
#include "cores.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"
#include "timing.h"

enum { MOST_SPINNING = 16 };
static const double WAKE_SECONDS = 1;

static cpu_set_t wanted, allowed;

static bool set_mask(void) { return sched_setaffinity(0, sizeof wanted, &wanted) == 0; }

static void *spin(void *until_ns) {
    while (now_ns() < *(int64_t *)until_ns) continue;
    return NULL;
}

// Keeps cores busy for a while, or until the mask can be set: phones switch cores on by load.
static bool wake_cores(void) {
    pthread_t spinning[MOST_SPINNING];
    int count = 0;
    int64_t until_ns = now_ns() + (int64_t)(WAKE_SECONDS * 1e9);
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    sched_setaffinity(0, sizeof allowed, &allowed);
    while (count < cpus && count < MOST_SPINNING && pthread_create(&spinning[count], NULL, spin, &until_ns) == 0) count++;
    bool set = false;
    while (!(set = set_mask()) && now_ns() < until_ns) sched_yield();
    int why = errno;
    for (int i = 0; i < count; i++) pthread_join(spinning[i], NULL);
    errno = why;
    return set;
}

bool pin(const int *cpus, size_t count, char *why) {
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) memset(&allowed, 0xff, sizeof allowed);
    CPU_ZERO(&wanted);
    for (size_t i = 0; i < count; i++) {
        if (cpus[i] >= CPU_SETSIZE) {
            snprintf(why, WHY_SIZE, "cpus names CPU %d: %s", cpus[i], strerror(EINVAL));
            return false;
        }
        CPU_SET(cpus[i], &wanted);
    }
    if (set_mask() || wake_cores()) return true;
    snprintf(why, WHY_SIZE,
             "the process cannot be pinned to cpus: %s: CPU %d is off, or kept for others: choose another by --cpu",
             strerror(errno), cpus[0]);
    return false;
}

void stay_pinned(void) {
    cpu_set_t now;
    if (sched_getaffinity(0, sizeof now, &now) == 0 && memcmp(&now, &wanted, sizeof now) == 0) return;
    if (!set_mask()) wake_cores();  // still not: the visit is timed where it runs, and says so
}

void leave_pinned_cores(void) {
    cpu_set_t others = allowed;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &wanted)) CPU_CLR(cpu, &others);
    sched_setaffinity(0, sizeof others, &others);  // none left: it is refused
}

bool is_elsewhere(void) {
    int cpu = sched_getcpu();
    return cpu >= 0 && cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &wanted);
}
