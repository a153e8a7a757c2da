#define _GNU_SOURCE
#include "timing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "json.h"

// the spread is looked at again when there are a tenth, and at least this many, more samples: it is not free
enum { CHECK_EVERY = 5 };
// of runs that are compared to see whether the clock still rises
enum { BATCH_RUNS = 64, BATCH_NS = 10000000 };
// samples that there is room for at first
enum { FIRST_ROOM = 1024 };

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

typedef struct {
    int (*run)(void *);
    void *model;
    int64_t runs, spent, least;  // so far; nanoseconds, of all and of the fastest
} WarmUp;

// One run, never timed: the first ones plan memory and fill caches.
static int warm_run(WarmUp *up, int64_t *took) {
    int64_t before = now_ns();
    int failed = up->run(up->model);
    *took = now_ns() - before;
    if (*took < 1) *took = 1;
    if (*took < up->least) up->least = *took;
    up->spent += *took;
    up->runs++;
    return failed;
}

// A batch of runs, some milliseconds long; their median in `middle`.
static int warm_batch(WarmUp *up, double *middle) {
    double took[BATCH_RUNS];
    int64_t until = now_ns() + BATCH_NS, one;
    int count = 0;
    while (count < 3 || (count < BATCH_RUNS && now_ns() < until)) {
        int failed = warm_run(up, &one);
        if (failed) return failed;
        took[count++] = (double)one;
    }
    *middle = median(took, (size_t)count);
    return 0;
}

static bool agree(double a, double b, double share) {
    return isnan(a) || isnan(b) || fabs(a - b) <= share * b;
}

// Runs on until two batches agree: a governor needs 50 to 100 ms to see load, and its clock rises in steps.
static int settle(WarmUp *up, const Rules *rules, const Watch *watch) {
    double middle, clock, middle_before = NAN, clock_before = NAN;
    for (bool first = true;; first = false) {
        int failed = warm_batch(up, &middle);
        if (failed) return failed;
        clock = watch->clock_mhz();
        if (!first && agree(middle, middle_before, rules->settle) && agree(clock, clock_before, rules->settle)) return 0;
        if ((double)up->spent >= rules->warmup_max_seconds * 1e9) return 0;  // the samples' spread tells of it
        middle_before = middle;
        clock_before = clock;
    }
}

// Runs until the warm-up rules are met.
static int warm_up(WarmUp *up, const Rules *rules, const Watch *watch, bool rested) {
    double seconds = rules->warmup_seconds;
    if (rested) seconds = fmax(seconds, rules->warmup_seconds_after_rest);
    int64_t took;
    while (up->runs < rules->warmup_runs || (double)up->spent < seconds * 1e9) {
        int failed = warm_run(up, &took);
        if (failed) return failed;
    }
    return rested && rules->settle > 0 ? settle(up, rules, watch) : 0;
}

static int take_sample(int (*run)(void *), void *model, const Watch *watch, Timing *timing) {
    if (timing->count == timing->room) make_room(timing, timing->room * 2);
    clockid_t cpu_clock = timing->of_process ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID;
    int64_t cpu_before = clock_ns(cpu_clock);
    int64_t before = now_ns();
    for (int64_t call = 0; call < timing->calls_per_sample; call++) {
        int failed = run(model);
        if (failed) return failed;
    }
    int64_t after = now_ns();
    timing->samples_ns[timing->count] = after - before > 0 ? after - before : 1;
    timing->cpu_ns[timing->count] = clock_ns(cpu_clock) - cpu_before;
    timing->count++;
    timing->elsewhere = timing->elsewhere || watch->elsewhere();
    return 0;
}

// Warms up, and finds how many calls make a sample.
static int get_warm(int (*run)(void *), void *model, const Rules *rules, const Watch *watch, bool rested, Timing *timing) {
    int64_t started = now_ns();
    WarmUp up = {run, model, 0, 0, INT64_MAX};
    int failed = warm_up(&up, rules, watch, rested);
    if (failed) return failed;
    timing->clock_before = watch->clock_mhz();
    // the clock cannot resolve very short calls: several make one sample
    double calls = ceil(rules->min_sample_us * 1000 / (double)up.least);
    timing->calls_per_sample = calls > 1 ? (int64_t)calls : 1;
    timing->warmup_ns = now_ns() - started;
    return 0;
}

static void begin(Timing *timing, const Rules *rules, size_t parts) {
    timing->count = 0;
    timing->parts = parts;
    timing->elsewhere = false;
    make_room(timing, rules->max_runs < FIRST_ROOM ? (size_t)rules->max_runs : FIRST_ROOM);
}

// Whether there are samples enough: the median is known well enough, or the time or the count is up.
static bool enough(const Timing *timing, const Rules *rules, int64_t warm, size_t *check_at) {
    if (timing->count >= (size_t)rules->max_runs) return true;
    if (timing->count < (size_t)rules->min_runs) return false;
    if ((double)(now_ns() - warm) > rules->max_seconds * 1e9) return true;
    if (timing->count < *check_at) return false;
    if (relative_error_of_median(timing->samples_ns, timing->count, timing->scratch) < rules->target_error) return true;
    size_t tenth = timing->count / 10;
    *check_at = timing->count + (tenth > CHECK_EVERY ? tenth : CHECK_EVERY);
    return false;
}

int time_model(int (*run)(void *model), void *model, const Rules *rules, const Watch *watch, bool rested, Timing *timing) {
    begin(timing, rules, 0);
    int failed = get_warm(run, model, rules, watch, rested, timing);
    if (failed) return failed;
    int64_t warm = now_ns();
    long switches = involuntary_switches();
    size_t check_at = 0;
    do {
        failed = take_sample(run, model, watch, timing);
        if (failed) return failed;
    } while (!enough(timing, rules, warm, &check_at));
    timing->timed_ns = now_ns() - warm;
    timing->involuntary_switches = involuntary_switches() - switches;
    return 0;
}

void timing_free(Timing *timing) {
    free(timing->samples_ns);
    free(timing->cpu_ns);
    free(timing->scratch);
    free(timing->parts_ns);
    free(timing->parts_cpu_ns);
}

// ---- networks in parts

// Room for the times of all parts in so many passes, touched now.
static void make_parts_room(Timing *timing, size_t room) {
    if (room <= timing->parts_room) return;
    timing->parts_ns = must_realloc(timing->parts_ns, room, sizeof *timing->parts_ns);
    timing->parts_cpu_ns = must_realloc(timing->parts_cpu_ns, room, sizeof *timing->parts_cpu_ns);
    memset(timing->parts_ns + timing->parts_room, 0, (room - timing->parts_room) * sizeof *timing->parts_ns);
    memset(timing->parts_cpu_ns + timing->parts_room, 0, (room - timing->parts_room) * sizeof *timing->parts_cpu_ns);
    timing->parts_room = room;
}

// An output to the next part, where there is one.
static int hand_on(const Parts *parts, size_t part) {
    return part + 1 < parts->count ? parts->hand_on(parts->models[part], parts->models[part + 1]) : 0;
}

// A pass through all parts, for the warm-up.
static int run_through(void *network) {
    Parts *parts = network;
    for (size_t part = 0; part < parts->count; part++) {
        parts->at = part;
        int failed = parts->run(parts->models[part]);
        if (!failed) failed = hand_on(parts, part);
        if (failed) return failed;
    }
    return 0;
}

// A pass through all parts, each timed.
static int take_pass(Parts *parts, const Watch *watch, Timing *timing) {
    if (timing->count == timing->room) make_room(timing, timing->room * 2);
    make_parts_room(timing, timing->room * parts->count);
    clockid_t cpu_clock = timing->of_process ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID;
    int64_t *wall = timing->parts_ns + timing->count * parts->count, all = 0;
    int64_t *cpu = timing->parts_cpu_ns + timing->count * parts->count, all_cpu = 0;
    for (size_t part = 0; part < parts->count; part++) {
        parts->at = part;
        int64_t cpu_before = clock_ns(cpu_clock);
        int64_t before = now_ns();
        int failed = parts->run(parts->models[part]);
        int64_t after = now_ns();
        cpu[part] = clock_ns(cpu_clock) - cpu_before;
        wall[part] = after - before > 0 ? after - before : 1;
        if (!failed) failed = hand_on(parts, part);
        if (failed) return failed;
        all += wall[part];
        all_cpu += cpu[part];
    }
    timing->samples_ns[timing->count] = all;
    timing->cpu_ns[timing->count] = all_cpu;
    timing->count++;
    timing->elsewhere = timing->elsewhere || watch->elsewhere();
    return 0;
}

int time_parts(Parts *parts, const Rules *rules, const Watch *watch, bool rested, Timing *timing) {
    begin(timing, rules, parts->count);
    make_parts_room(timing, timing->room * parts->count);
    int failed = get_warm(run_through, parts, rules, watch, rested, timing);
    timing->calls_per_sample = 1;
    int64_t warm = now_ns();
    long switches = involuntary_switches();
    size_t check_at = 0;
    while (!failed) {
        failed = take_pass(parts, watch, timing);
        if (!failed && enough(timing, rules, warm, &check_at)) break;
    }
    timing->failed_part = parts->at;
    if (failed) return failed;
    timing->timed_ns = now_ns() - warm;
    timing->involuntary_switches = involuntary_switches() - switches;
    return 0;
}

// ---- loops

int loop_begin(int (*run)(void *model), void *model, const Rules *rules, const Watch *watch, Loop *loop, Timing *timing) {
    make_room(timing, FIRST_ROOM);
    timing->parts = 0;
    int failed = get_warm(run, model, rules, watch, true, timing);
    if (loop->period_ns) timing->calls_per_sample = 1;  // each begins at a time of its own
    loop->began_ns = loop->ends_ns = now_ns();
    loop->due_ns = loop->period_ns ? loop->began_ns + loop->period_ns : 0;
    return failed;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

// Waits until the next run is due; whether it began after its time. Times that passed meanwhile are left out.
static bool await_turn(Loop *loop) {
    int64_t now = now_ns(), due = loop->due_ns;
    struct timespec until = {due / 1000000000, due % 1000000000};
    while (now < due && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
    loop->due_ns = due + loop->period_ns * (1 + later(0, now - due) / loop->period_ns);
    return now > due;
}

int loop_window(int (*run)(void *model), void *model, const Watch *watch, Loop *loop, Timing *timing) {
    int64_t began = now_ns();
    long switches = involuntary_switches();
    // a window begins where the last one ended, though that one's last run may have taken longer; unless all stood still
    if (began - loop->ends_ns > loop->window_ns) loop->ends_ns = began;
    loop->ends_ns += loop->window_ns;
    timing->count = 0;
    timing->late = 0;
    timing->elsewhere = false;
    while (timing->count == 0 || later(now_ns(), loop->due_ns) < loop->ends_ns) {
        if (loop->period_ns) timing->late += await_turn(loop);
        int failed = take_sample(run, model, watch, timing);
        if (failed) return failed;
    }
    timing->loop_ns = began - loop->began_ns;
    timing->timed_ns = now_ns() - began;
    timing->involuntary_switches = involuntary_switches() - switches;
    return 0;
}
