// How hot the processor is, and waiting until it is cool.
#ifndef OFA_THERMAL_H
#define OFA_THERMAL_H

#include <stdbool.h>
#include <stddef.h>

// The hottest thermal zone of the processor, in degrees Celsius; NaN where none can be read.
double temperature_c(void);

typedef struct {
    double max_temperature_c;  // a visit waits while it is hotter ...
    double resume_below_c;     // ... and, once it waits, until it is no hotter than this
    double max_wait_seconds;   // of one visit
} CoolDown;

// The waiting of one visit.
typedef struct {
    double seconds;        // spent waiting so far
    double temperature_c;  // what was last read
    bool known;            // false: there is nothing to go by, and so nothing was waited for
} Wait;

// Waits until the processor is cool. False if it still is too hot when the visit's wait is spent. It may be called
// several times for one visit: they share its wait.
bool cool_down(const CoolDown *rules, Wait *wait);

#endif
