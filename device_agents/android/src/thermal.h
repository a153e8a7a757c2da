// How hot the processor is, and waiting until it is cool.
#ifndef OFA_THERMAL_H
#define OFA_THERMAL_H

#include <stdbool.h>
#include <stddef.h>

enum { CLOCKS_ARE_CUT = 2 };  // Android's thermal status from here on (moderate)

// The hottest thermal zone of the processor, in degrees Celsius; NaN where none can be read.
double temperature_c(void);

// What there is to go by.
typedef struct {
    double temperature_c;  // NaN: not known
    const char *source;    // of the temperature, in words; NULL: none
    bool status_readable;  // whether Android's thermal service tells when clocks are cut
} Heat;

Heat heat_now(void);

typedef struct {
    double max_temperature_c;  // a visit waits while it is hotter ...
    double resume_below_c;     // ... and, once it waits, until it is no hotter than this
    double max_wait_seconds;   // of one visit
} CoolDown;

// The waiting of one visit.
typedef struct {
    double seconds;        // spent waiting so far
    double temperature_c;  // what was last read; NaN: nothing
    double status;         // Android's thermal status, where the service was asked; else NaN
    bool known;            // false: there is nothing to go by, and so nothing was waited for
    bool asked;            // the service, in this visit
} Wait;

// Waits until the processor is cool. False if it still is too hot when the visit's wait is spent. It may be called
// several times for one visit: they share its wait. Every 20 visits it asks Android's thermal service, whose
// temperature counts where no zone can be read, and whose status always does.
bool cool_down(const CoolDown *rules, size_t visit, Wait *wait);

#endif
