// What the device says of itself. What cannot be read is null or NaN: never a guess.
#ifndef OFA_DEVICE_H
#define OFA_DEVICE_H

#include <stddef.h>

#include "json.h"

// The `device` object of the hello line. cpus: those the agent is pinned to.
void line_device(Line *line, const int *cpus, size_t cpu_count);

// The hottest thermal zone of the processor, in degrees Celsius: of zones named after it, else of all.
double temperature_c(void);
double clock_mhz(int cpu);
// Most memory this process ever held.
double peak_memory_kib(void);

#endif
