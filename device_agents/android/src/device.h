// What the device says of itself. What cannot be read is null or NaN: never a guess.
#ifndef OFA_DEVICE_H
#define OFA_DEVICE_H

#include <stddef.h>

#include "json.h"

enum { TEXT = 256 };

// The first bytes of a file, without space at the end; NULL where there are none.
char *read_text(const char *path, char text[TEXT]);
// The number that a file holds, or NaN.
double read_number(const char *path);

// The `device` object of the hello line. cpus: those the agent is pinned to.
void line_device(Line *line, const int *cpus, size_t cpu_count);

double clock_mhz(int cpu);
// What its clock may rise to now: heat and power limits lower it.
double clock_limit_mhz(int cpu);
// Most memory this process ever held.
double peak_memory_kib(void);

#endif
