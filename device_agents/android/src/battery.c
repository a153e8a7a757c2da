#define _GNU_SOURCE
#include "battery.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SUPPLIES "/sys/class/power_supply"

static char *supply_text(const char *name, const char *file, char text[TEXT]) {
    char path[2 * TEXT];
    int length = snprintf(path, sizeof path, "%s/%s/%s", SUPPLIES, name, file);
    return length < (int)sizeof path ? read_text(path, text) : NULL;
}

static double supply_number(const char *name, const char *file) {
    char path[2 * TEXT];
    int length = snprintf(path, sizeof path, "%s/%s/%s", SUPPLIES, name, file);
    return length < (int)sizeof path ? read_number(path) : NAN;
}

Battery battery(void) {
    Battery found = {NAN, NAN, NAN, ""};
    DIR *supplies = opendir(SUPPLIES);
    for (struct dirent *entry; supplies && (entry = readdir(supplies));) {
        char type[TEXT];
        if (entry->d_name[0] == '.' || !supply_text(entry->d_name, "type", type)) continue;
        if (strcmp(type, "Battery") != 0) {
            double online = supply_number(entry->d_name, "online");
            if (!isnan(online)) found.plugged = (isnan(found.plugged) ? 0 : found.plugged) + (online > 0);
            continue;
        }
        double current = supply_number(entry->d_name, "current_now");
        // of several, Android's own: its fuel gauge may be listed a second time
        if (isnan(current) || (!isnan(found.current) && strcmp(entry->d_name, "battery") != 0)) continue;
        found.current = current;
        found.voltage = supply_number(entry->d_name, "voltage_now");
        if (!supply_text(entry->d_name, "status", found.status)) found.status[0] = 0;
    }
    if (supplies) closedir(supplies);
    return found;
}
