// When to stop warming up, how many samples to take: the same rules as device_agents/cpu/agent.py.
#ifndef OFA_TIMING_H
#define OFA_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t warmup_runs, min_runs, max_runs;
    double warmup_seconds, max_seconds, target_error, min_sample_us;
} Rules;

// The samples of one visit; the arrays are used again for the next.
typedef struct {
    int64_t *samples_ns, *cpu_ns;
    double *scratch;
    size_t count, room;
    int64_t calls_per_sample, warmup_ns, timed_ns, involuntary_switches;
} Timing;

int64_t now_ns(void);

// The median of values, which are put in order.
double median(double *values, size_t count);

// Standard error of the median over the median, from the median absolute deviation. scratch: room for `count` values.
double relative_error_of_median(const int64_t *samples, size_t count, double *scratch);

// Runs the model until the rules say stop. What `run` returns if it fails (not 0) is returned, and there are no samples.
int time_model(int (*run)(void *model), void *model, const Rules *rules, Timing *timing);

#endif
