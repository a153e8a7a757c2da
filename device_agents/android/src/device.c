#define _GNU_SOURCE
#include "device.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "program.h"
#include "thermal.h"

enum { MOST_CPUS = 1024 };

char *read_text(const char *path, char text[TEXT]) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return NULL;
    ssize_t length = read(file, text, TEXT - 1);
    close(file);
    while (length > 0 && isspace((unsigned char)text[length - 1])) length--;
    if (length <= 0) return NULL;
    text[length] = 0;
    return text;
}

double read_number(const char *path) {
    char text[TEXT], *end;
    if (!read_text(path, text)) return NAN;
    double value = strtod(text, &end);
    return end == text || *end ? NAN : value;
}

static double cpu_number(int cpu, const char *file) {
    char path[TEXT];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, file);
    return read_number(path);
}

double clock_mhz(int cpu) { return cpu_number(cpu, "cpufreq/scaling_cur_freq") / 1000; }

double clock_limit_mhz(int cpu) { return cpu_number(cpu, "cpufreq/scaling_max_freq") / 1000; }

double peak_memory_kib(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss : NAN;
}

// ---- facts

// What `getprop NAME` prints, on Android; NULL where there is no such program or property.
static char *android_property(const char *name, char text[TEXT]) {
    char *arguments[] = {"getprop", (char *)name, NULL};
    return program_output(arguments, text, TEXT);
}

// The value behind the first of the keys that a file of `key : value` lines has.
static char *value_of(const char *path, const char *const *keys, char text[TEXT]) {
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char line[TEXT], *found = NULL;
    while (!found && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        char *end = colon;
        while (end > line && isspace((unsigned char)end[-1])) end--;
        *end = 0;
        for (const char *const *key = keys; *key && !found; key++) {
            if (strcmp(line, *key) != 0) continue;
            char *value = colon + 1 + strspn(colon + 1, " \t");
            value[strcspn(value, "\n")] = 0;
            found = strcpy(text, value);
        }
    }
    fclose(file);
    return found;
}

static double memory_mib(void) {
    static const char *const keys[] = {"MemTotal", NULL};
    char text[TEXT];
    return value_of("/proc/meminfo", keys, text) ? floor(strtod(text, NULL) / 1024) : NAN;
}

static char *joined(const char *first, const char *second, char text[TEXT]) {
    if (!first || !second) return first || second ? strcpy(text, first ? first : second) : NULL;
    snprintf(text, TEXT, "%.120s %.120s", first, second);
    return text;
}

// One object a core: phones have cores of several kinds, told apart by their clock and capacity.
static void line_cores(Line *line) {
    line_add(line, "[");
    long count = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < count && cpu < MOST_CPUS; cpu++) {
        line_add(line, "%s{\"cpu\": %d, \"max_mhz\": ", cpu ? ", " : "", cpu);
        line_number(line, cpu_number(cpu, "cpufreq/cpuinfo_max_freq") / 1000);
        line_add(line, ", \"capacity\": ");
        line_number(line, cpu_number(cpu, "cpu_capacity"));
        line_add(line, "}");
    }
    line_add(line, "]");
}

static void line_fact(Line *line, const char *name, const char *text) {
    line_add(line, ", \"%s\": ", name);
    line_string(line, text);
}

static void line_measure(Line *line, const char *name, double value) {
    line_add(line, ", \"%s\": ", name);
    line_number(line, value);
}

void line_device(Line *line, const int *cpus, size_t cpu_count) {
    // on arm64 "model name" tells the architecture only
    static const char *const board_keys[] = {"Hardware", "Model", NULL}, *const cpu_keys[] = {"model name", NULL};
    char first[TEXT], second[TEXT], both[TEXT];
    char *product = joined(android_property("ro.product.manufacturer", first),
                           android_property("ro.product.model", second), both);
    if (!product) product = read_text("/proc/device-tree/model", both);
    char *cpu = value_of("/proc/cpuinfo", board_keys, first);
    if (!cpu && !product) cpu = value_of("/proc/cpuinfo", cpu_keys, first);
    line_add(line, "{\"cpu_model\": ");
    line_string(line, cpu ? cpu : product);
    line_fact(line, "product", product);
    char *soc = joined(android_property("ro.soc.manufacturer", first), android_property("ro.soc.model", second), both);
    line_fact(line, "soc", soc ? soc : android_property("ro.board.platform", first));
    line_fact(line, "android", android_property("ro.build.version.release", first));
    line_fact(line, "build", android_property("ro.build.fingerprint", first));
    struct utsname names;
    bool named = uname(&names) == 0;
    if (named) snprintf(both, sizeof both, "%.60s %.180s", names.sysname, names.release);
    line_fact(line, "os", named ? both : NULL);
    line_fact(line, "architecture", named ? names.machine : NULL);
    line_measure(line, "cpu_count", (double)sysconf(_SC_NPROCESSORS_CONF));
    line_add(line, ", \"cpus\": [");
    for (size_t i = 0; i < cpu_count; i++) line_add(line, i ? ", %d" : "%d", cpus[i]);
    line_add(line, "], \"cores\": ");
    line_cores(line);
    line_measure(line, "memory_mib", memory_mib());
    char path[TEXT];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpus[0]);
    line_fact(line, "governor", read_text(path, first));
    char *load = read_text("/proc/loadavg", first);
    line_measure(line, "load_average", load ? strtod(load, NULL) : NAN);
    line_measure(line, "clock_mhz", clock_mhz(cpus[0]));
    Heat heat = heat_now();
    line_measure(line, "temperature_c", heat.temperature_c);
    line_fact(line, "temperature_source", heat.source);
    line_add(line, ", \"temperature_readable\": %s", isnan(heat.temperature_c) ? "false" : "true");
    line_add(line, ", \"thermal_status_readable\": %s}", heat.status_readable ? "true" : "false");
}
