#define _GNU_SOURCE
#include "thermal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "device.h"
#include "timing.h"

enum { MOST_ZONES = 256, READINGS = 3 };
static const double LOOK_AGAIN_SECONDS = 0.005, POLL_SECONDS = 0.25;

// ---- thermal zones

static int zones[MOST_ZONES];  // those that count, found once
static int zone_count = -1;

static double zone_c(int zone) {
    char path[TEXT];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
    double value = read_number(path) / 1000;
    return value > -40 && value < 150 ? value : NAN;  // others are sensors that are off, or count in something else
}

static bool zone_is_of_processor(int zone) {
    static const char *const names[] = {"cpu", "soc", "cluster", "x86_pkg", "big", "little", "mid"};
    char path[TEXT], type[TEXT];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", zone);
    if (!read_text(path, type)) return false;
    for (char *c = type; *c; c++) *c = (char)tolower((unsigned char)*c);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(type, names[i])) return true;
    return false;
}

static void find_zones(void) {
    for (int only_processor = 1; only_processor >= 0 && zone_count <= 0; only_processor--) {
        zone_count = 0;
        for (int zone = 0; zone < MOST_ZONES; zone++)
            if (!isnan(zone_c(zone)) && (!only_processor || zone_is_of_processor(zone))) zones[zone_count++] = zone;
    }
}

double temperature_c(void) {
    if (zone_count < 0) find_zones();
    double hottest = NAN;
    for (int i = 0; i < zone_count; i++) hottest = fmax(hottest, zone_c(zones[i]));  // fmax passes over NaN
    return hottest;
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

bool cool_down(const CoolDown *rules, Wait *wait) {
    double limit = rules->max_temperature_c;
    for (;;) {
        wait->temperature_c = steady_temperature_c(limit);
        if (!isnan(wait->temperature_c)) wait->known = true;
        if (!(wait->temperature_c > limit)) return true;
        limit = rules->resume_below_c;
        double left = rules->max_wait_seconds - wait->seconds;
        if (left <= 0) return false;
        int64_t started = now_ns();
        sleep_for(fmin(POLL_SECONDS, left));
        wait->seconds += (double)(now_ns() - started) / 1e9;
    }
}
