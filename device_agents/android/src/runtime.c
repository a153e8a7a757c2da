#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

// splitmix64 (Steele, Lea, Flood 2014): 64 random bits, the whole state in one number
static uint64_t random_bits(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void fill_random(void *data, size_t bytes, int element, uint64_t seed) {
    if (element == ELEMENT_FLOAT32) {
        float *values = data;
        for (size_t i = 0; i < bytes / sizeof *values; i++) {
            // four uniform numbers of 16 bits added up: near enough to normal, and no logarithm
            uint64_t bits = random_bits(&seed);
            int32_t sum = (int32_t)((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
            values[i] = (float)(sum - 2 * 65535) * (1.7320508f / 65536);
        }
    } else if (element == ELEMENT_UINT8 || element == ELEMENT_INT8) {
        unsigned char *values = data;
        for (size_t i = 0; i < bytes; i++) values[i] = (unsigned char)random_bits(&seed);
    } else {
        memset(data, 0, bytes);
    }
}

bool is_model_file(const char *path, char *why) {
    char start[8];
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(start, 1, sizeof start, file) : 0;
    bool good = length == sizeof start && memcmp(start + 4, "TFL3", 4) == 0;
    if (!file || ferror(file))
        snprintf(why, WHY_SIZE, "%.300s: %s", path, strerror(errno));
    else if (!good)
        snprintf(why, WHY_SIZE, "%.300s is no .tflite file", path);
    if (file) fclose(file);
    return good;
}

void *open_other(const char *path, char *why) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) snprintf(why, WHY_SIZE, "%s", dlerror());
    return library;
}

void *open_library(const char *path, const Symbol *symbols, size_t count, char *why) {
    void *library = open_other(path, why);
    if (!library) return NULL;
    for (size_t i = 0; i < count; i++) {
        *symbols[i].function = dlsym(library, symbols[i].name);
        if (!*symbols[i].function) {
            snprintf(why, WHY_SIZE, "%s has no %s: not a library this backend can use", path, symbols[i].name);
            return NULL;  // and the library stays: some crash when they are closed
        }
    }
    return library;
}
