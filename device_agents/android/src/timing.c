#define _GNU_SOURCE
#include "timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "json.h"

// the spread is looked at again when there are a tenth, and at least this many, more samples: it is not free
enum { CHECK_EVERY = 5 };

static int64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static long involuntary_switches(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, ascending);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

double relative_error_of_median(const int64_t *samples, size_t count, double *scratch) {
    for (size_t i = 0; i < count; i++) scratch[i] = (double)samples[i];
    double middle = median(scratch, count);
    for (size_t i = 0; i < count; i++) scratch[i] = fabs((double)samples[i] - middle);
    double deviation = 1.4826 * median(scratch, count);
    return 1.2533 * deviation / sqrt((double)count) / middle;
}

static void make_room(Timing *timing, size_t room) {
    if (room <= timing->room) return;
    timing->samples_ns = must_realloc(timing->samples_ns, room, sizeof *timing->samples_ns);
    timing->cpu_ns = must_realloc(timing->cpu_ns, room, sizeof *timing->cpu_ns);
    timing->scratch = must_realloc(timing->scratch, room, sizeof *timing->scratch);
    // touched now, so that no page fault falls into a sample
    memset(timing->samples_ns + timing->room, 0, (room - timing->room) * sizeof *timing->samples_ns);
    memset(timing->cpu_ns + timing->room, 0, (room - timing->room) * sizeof *timing->cpu_ns);
    memset(timing->scratch + timing->room, 0, (room - timing->room) * sizeof *timing->scratch);
    timing->room = room;
}

// Runs until both warm-up rules are met; the fastest run's time is left in `least`.
static int warm_up(int (*run)(void *), void *model, const Rules *rules, int64_t *least) {
    int64_t spent = 0, runs = 0;
    *least = INT64_MAX;
    // the first runs plan memory and fill caches: never timed
    while (runs < rules->warmup_runs || (double)spent < rules->warmup_seconds * 1e9) {
        int64_t before = now_ns();
        int failed = run(model);
        if (failed) return failed;
        int64_t took = now_ns() - before;
        if (took < 1) took = 1;
        if (took < *least) *least = took;
        spent += took;
        runs++;
    }
    return 0;
}

static int take_sample(int (*run)(void *), void *model, Timing *timing) {
    if (timing->count == timing->room) make_room(timing, timing->room * 2);
    int64_t cpu_before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t before = now_ns();
    for (int64_t call = 0; call < timing->calls_per_sample; call++) {
        int failed = run(model);
        if (failed) return failed;
    }
    int64_t after = now_ns();
    timing->samples_ns[timing->count] = after - before > 0 ? after - before : 1;
    timing->cpu_ns[timing->count] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    timing->count++;
    return 0;
}

int time_model(int (*run)(void *model), void *model, const Rules *rules, Timing *timing) {
    timing->count = 0;
    make_room(timing, rules->max_runs < 1024 ? (size_t)rules->max_runs : 1024);
    int64_t started = now_ns(), least;
    int failed = warm_up(run, model, rules, &least);
    if (failed) return failed;
    // the clock cannot resolve very short calls: several make one sample
    double calls = ceil(rules->min_sample_us * 1000 / (double)least);
    timing->calls_per_sample = calls > 1 ? (int64_t)calls : 1;
    int64_t warm = now_ns(), deadline = warm + (int64_t)(rules->max_seconds * 1e9);
    long switches = involuntary_switches();
    size_t most = (size_t)rules->max_runs, fewest = (size_t)rules->min_runs, check_at = fewest;
    for (;;) {
        failed = take_sample(run, model, timing);
        if (failed) return failed;
        if (timing->count >= most) break;
        if (timing->count < fewest) continue;
        if (now_ns() > deadline) break;
        if (timing->count < check_at) continue;
        if (relative_error_of_median(timing->samples_ns, timing->count, timing->scratch) < rules->target_error) break;
        size_t tenth = timing->count / 10;
        check_at = timing->count + (tenth > CHECK_EVERY ? tenth : CHECK_EVERY);
    }
    timing->warmup_ns = warm - started;
    timing->timed_ns = now_ns() - warm;
    timing->involuntary_switches = involuntary_switches() - switches;
    return 0;
}
