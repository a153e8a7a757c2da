// When to stop warming up, how many samples to take: the same rules as device_agents/cpu/agent.py.
#ifndef OFA_TIMING_H
#define OFA_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t warmup_runs, min_runs, max_runs;
    double warmup_seconds, max_seconds, target_error, min_sample_us;
    // Where the core may have slept: warm up for so long at least, and on until the medians and clocks of two batches
    // differ by no more than `settle` of them, at most for warmup_max_seconds. settle 0: not asked for.
    double warmup_seconds_after_rest, settle, warmup_max_seconds;
} Rules;

// What is watched of the core that is timed.
typedef struct {
    double (*clock_mhz)(void);  // NaN: not known
    bool (*elsewhere)(void);    // whether it is another core
} Watch;

// The samples of one visit; the arrays are used again for the next.
typedef struct {
    int64_t *samples_ns, *cpu_ns;
    double *scratch;
    size_t count, room;
    int64_t calls_per_sample, warmup_ns, timed_ns, involuntary_switches;
    int64_t loop_ns, late;  // of a window: when it began, since its loop did; how many runs began after their time
    bool of_process;      // cpu_ns is of all threads, and not of the one that calls
    bool elsewhere;       // a sample ended on another core than was asked for
    double clock_before;  // when warm, MHz
    // of a network in parts: how many it has (0: it is whole), and the times of all of them in the first pass, then in
    // the second, and so on; a pass is a sample
    size_t parts, parts_room;
    size_t failed_part;  // the one that failed, where one did
    int64_t *parts_ns, *parts_cpu_ns;
} Timing;

int64_t now_ns(void);

// The median of values, which are put in order.
double median(double *values, size_t count);

// Standard error of the median over the median, from the median absolute deviation. scratch: room for `count` values.
double relative_error_of_median(const int64_t *samples, size_t count, double *scratch);

// Runs the model until the rules say stop. What `run` returns if it fails (not 0) is returned, and there are no samples.
// rested: the core may have slept.
int time_model(int (*run)(void *model), void *model, const Rules *rules, const Watch *watch, bool rested, Timing *timing);

// The parts of a network, which is run through as if it were whole: each part finds in the caches what the others left.
typedef struct {
    int (*run)(void *model);
    int (*hand_on)(void *from, void *to);  // an output to the next part; in a network nothing does, so it is not timed
    void **models;
    size_t count;
    size_t at;  // the one that runs
} Parts;

// As time_model, of a network in parts: every part is timed in every pass. Samples are the passes' sums.
int time_parts(Parts *parts, const Rules *rules, const Watch *watch, bool rested, Timing *timing);

void timing_free(Timing *timing);

// A loop that goes on from visit to visit, in windows that follow each other without a pause.
typedef struct {
    int64_t window_ns, period_ns;       // as asked for; period_ns 0: one run after the other
    int64_t began_ns, ends_ns, due_ns;  // of the loop, of its last window, of the next run; due_ns 0: at any time
} Loop;

// Warms the model up, and begins its loop.
int loop_begin(int (*run)(void *model), void *model, const Rules *rules, const Watch *watch, Loop *loop, Timing *timing);

// Makes the runs that begin within the next window, at least one. What `run` returns if it fails is returned.
int loop_window(int (*run)(void *model), void *model, const Watch *watch, Loop *loop, Timing *timing);

#endif
