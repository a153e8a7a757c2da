// Which cores this process runs on, and staying there.
#ifndef OFA_CORES_H
#define OFA_CORES_H

#include <stdbool.h>
#include <stddef.h>

// Pins this thread, and those it starts, to CPUs; false and the reason in `why` (WHY_SIZE bytes). A core that an idle
// phone has switched off is woken by work, for a second.
bool pin(const int *cpus, size_t count, char *why);
// Pins again where something undid it: Android moves programs between sets of cores, and some phones forget the mask.
void stay_pinned(void);
// Moves the calling thread off the pinned cores, where there are others.
void leave_pinned_cores(void);
// Whether the calling thread runs on none of the pinned cores.
bool is_elsewhere(void);

#endif
