#include "outputs.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void line_outputs(Line *line, const Manifest *manifest, void *model) {
    size_t count = 0;
    if (!manifest->outputs) return;
    float *values = manifest->backend->output(model, &count);
    line_add(line, ", \"outputs\": %s", values ? "[" : "null");
    for (size_t i = 0; values && i < count && (int64_t)i < manifest->outputs; i++) {
        line_add(line, i ? ", " : "");
        if (isfinite(values[i]))
            line_add(line, "%.9g", (double)values[i]);
        else
            line_add(line, "null");
    }
    if (values) line_add(line, "]");
    free(values);
}

static bool is_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x1FFF) == 0 && !(fabsf(value) > 65504 && isfinite(value));
}

bool is_of_dtype(const Manifest *manifest, void *model, char *why) {
    if (!manifest->fp16) return true;
    size_t count = 0, told = 0, halves = 0;
    float *values = manifest->backend->output(model, &count);
    for (size_t i = 0; values && i < count; i++) {
        if (values[i] == 0) continue;  // is both
        told++;
        halves += is_half(values[i]);
    }
    free(values);
    if (told && halves == told) return true;
    snprintf(why, WHY_SIZE, "float16 was asked for, and %s",
             told ? "the runtime computed in float32: it does not force float16 on this processor"
                  : "its outputs do not show whether it was computed in: they are no float32, or all zero");
    return false;
}
