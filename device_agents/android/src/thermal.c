#define _GNU_SOURCE
#include "thermal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device.h"
#include "program.h"
#include "timing.h"

enum { MOST_ZONES = 256, READINGS = 3 };
static const double LOOK_AGAIN_SECONDS = 0.005, POLL_SECONDS = 0.25;

// ---- thermal zones

typedef struct {
    int number;
    double unit;  // how many of its numbers make a degree
} Zone;

static Zone zones[MOST_ZONES];  // those that count, found once
static int zone_count = -1;
static char zones_in_words[TEXT];

// What processors are between; a sensor that shows anything else is off, broken, or is none.
static bool is_plausible(double celsius) { return celsius >= 15 && celsius <= 110; }

// Linux says thousandths of a degree, but phones of the msm8996 and msm8998 era say tenths (tsens), and some vendors
// whole degrees: only one of these can be meant by a number. 0: none is.
static double unit_of(double shown) {
    static const double units[] = {1000, 10, 1};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (is_plausible(shown / units[i])) return units[i];
    return 0;
}

static double shown_by(int zone) {
    char path[TEXT];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
    return read_number(path);
}

static bool has_one_of(const char *type, const char *const *names) {
    for (; *names; names++)
        if (strstr(type, *names)) return true;
    return false;
}

// Of what a zone is by its name: 2 the processor, 1 it may be, 0 something else.
static int kind_of(int zone) {
    static const char *const processor[] = {"cpu",    "soc",   "cluster", "x86_pkg", "big", "little",
                                            "mid",    "tsens", "apc",     "exynos",  NULL};
    static const char *const others[] = {"batt", "bms", "chg", "charg", "usb",  "skin",  "quiet", "xo", "pm", "wlan", "wifi",
                                         "bcl",  "ibat", "vbat", "vph", "conn", "modem", "cam",   "pa_", NULL};
    char path[TEXT], type[TEXT];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", zone);
    if (!read_text(path, type)) return 0;
    for (char *c = type; *c; c++) *c = (char)tolower((unsigned char)*c);
    // Qualcomm's zone "soc" is the battery's state of charge, per cent
    if (strcmp(type, "soc") == 0) return 0;
    if (has_one_of(type, processor)) return 2;
    return has_one_of(type, others) ? 0 : 1;
}

static void find_zones(void) {
    for (int least = 2; least >= 1 && zone_count <= 0; least--) {
        zone_count = 0;
        for (int zone = 0; zone < MOST_ZONES; zone++) {
            double unit = unit_of(shown_by(zone));
            if (unit > 0 && kind_of(zone) >= least) zones[zone_count++] = (Zone){zone, unit};
        }
    }
    bool same = true;
    for (int i = 1; i < zone_count; i++) same = same && zones[i].unit == zones[0].unit;
    if (zone_count)
        snprintf(zones_in_words, sizeof zones_in_words, "%d thermal zones, in %s", zone_count,
                 !same ? "several units" : zones[0].unit == 1 ? "degrees" : zones[0].unit == 10 ? "tenths of a degree" : "thousandths of a degree");
}

double temperature_c(void) {
    if (zone_count < 0) find_zones();
    double hottest = NAN;
    for (int i = 0; i < zone_count; i++) {
        double celsius = shown_by(zones[i].number) / zones[i].unit;
        if (celsius > -40 && celsius < 150) hottest = fmax(hottest, celsius);  // fmax passes over NaN
    }
    return hottest;
}

// ---- Android's thermal service

enum { ASK_EVERY = 20, SERVICE_TEXT = 1 << 16 };
static const double SERVICE_POLL_SECONDS = 2;

typedef struct {
    double temperature_c;  // of its hottest processor sensor; NaN: it has none
    double status;         // 0 none to 6 shutdown; NaN: there is no such service
} Service;

// The hottest of its lines `Temperature{mValue=41.5, mType=0, ...}` between two places of its words; type 0 is a CPU.
static double hottest_cpu(const char *from, const char *to) {
    double hottest = NAN;
    for (const char *at = from; (at = strstr(at, "mValue=")) && at < to; at++) {
        char *end;
        double celsius = strtod(at + 7, &end);
        if (strncmp(end, ", mType=0,", 10) == 0 && is_plausible(celsius)) hottest = fmax(hottest, celsius);
    }
    return hottest;
}

// Takes tens of milliseconds of another core: never asked within a visit's timed part.
static Service ask_service(void) {
    static char said[SERVICE_TEXT];
    static bool is_missing;
    Service service = {NAN, NAN};
    char *command[] = {"dumpsys", "thermalservice", NULL};
    if (is_missing) return service;
    const char *status = program_output(command, said, sizeof said) ? strstr(said, "Thermal Status: ") : NULL;
    is_missing = !status;  // nor will there be one later
    if (is_missing) return service;
    service.status = strtod(status + 16, NULL);
    // what the sensors say now, not what was last told of a change
    const char *now = strstr(said, "Current temperatures from HAL:");
    if (now) {
        const char *end = strstr(now, "Current cooling devices");
        service.temperature_c = hottest_cpu(now, end ? end : said + strlen(said));
    }
    return service;
}

Heat heat_now(void) {
    Heat heat = {temperature_c(), zones_in_words, false};
    Service service = ask_service();
    heat.status_readable = !isnan(service.status);
    if (isnan(heat.temperature_c)) {
        heat.temperature_c = service.temperature_c;
        heat.source = isnan(service.temperature_c) ? NULL : "Android's thermal service";
    }
    return heat;
}

// ---- waiting

static void sleep_for(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

// A temperature that can be acted on. A core's sensor jumps by several degrees within milliseconds: above the limit it
// is the median of a few readings.
static double steady_temperature_c(double limit) {
    double readings[READINGS] = {temperature_c()};
    if (!(readings[0] > limit)) return readings[0];
    for (int i = 1; i < READINGS; i++) {
        sleep_for(LOOK_AGAIN_SECONDS);
        readings[i] = temperature_c();
        if (isnan(readings[i])) return NAN;
    }
    return median(readings, READINGS);
}

// Whether the zones say that it is hotter than the limit.
static bool zones_are_hot(double limit, Wait *wait) {
    double celsius = steady_temperature_c(limit);
    if (isnan(celsius)) return false;
    wait->temperature_c = celsius;
    wait->known = true;
    return celsius > limit;
}

// Whether the service says that it is hotter than the limit, where the zones do not tell, or that clocks are cut.
static bool service_is_hot(double limit, Wait *wait) {
    Service service = ask_service();
    wait->status = service.status;
    if (isnan(temperature_c())) wait->temperature_c = service.temperature_c;
    wait->known = wait->known || !isnan(service.status);
    return service.status >= CLOCKS_ARE_CUT || wait->temperature_c > limit;
}

// Waits as long as it is hot; false when the visit's wait is spent.
static bool wait_while(bool (*is_hot)(double, Wait *), const CoolDown *rules, double poll, Wait *wait) {
    double limit = rules->max_temperature_c;
    while (is_hot(limit, wait)) {
        limit = rules->resume_below_c;
        double left = rules->max_wait_seconds - wait->seconds;
        if (left <= 0) return false;
        int64_t started = now_ns();
        sleep_for(fmin(poll, left));
        wait->seconds += (double)(now_ns() - started) / 1e9;
    }
    return true;
}

bool cool_down(const CoolDown *rules, size_t visit, Wait *wait) {
    if (!wait_while(zones_are_hot, rules, POLL_SECONDS, wait)) return false;
    if (wait->asked || visit % ASK_EVERY != 0 || isinf(rules->max_temperature_c)) return true;
    wait->asked = true;
    return wait_while(service_is_hot, rules, SERVICE_POLL_SECONDS, wait);
}
