// The agent's own functions, for tests: each line of samples on stdin gives the relative error of its median.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"

int main(void) {
    static char line[1 << 16];
    static int64_t samples[4096];
    static double scratch[4096];
    while (fgets(line, sizeof line, stdin)) {
        size_t count = 0;
        for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) samples[count++] = atoll(word);
        printf("%.17g\n", relative_error_of_median(samples, count, scratch));
    }
    return 0;
}
