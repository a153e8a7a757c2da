// Linked into an agent with --wrap=read_number: every reading of a thermal zone is another, between 60 and 78 C. It is
// warm for 6 readings of every 2,000, and every 41st reading is a peak.
#include <stdio.h>
#include <string.h>

double __real_read_number(const char *path);

double __wrap_read_number(const char *path) {
    static long reading;
    if (!strstr(path, "/thermal_zone")) return __real_read_number(path);
    reading++;
    return 1000 * (reading % 41 == 0 ? 78 : reading % 2000 > 1993 ? 72 : 60 + (double)(reading % 5));
}
