#define _GNU_SOURCE
#include "battery.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "rail.h"

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

static const Battery nothing = {NAN, NAN, NAN, NAN, "", NULL};

static Battery kernel_battery(void) {
    Battery found = nothing;
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

// ---- Android's battery service

enum { SERVICE_TEXT = 1 << 16, STATUSES = 6 };

// Newer Androids tell the current, and with -f look at the hardware anew; older ones say that they know no such option.
static const char QUESTION[] = "echo \"current now: $(cmd battery get -f current_now 2> /dev/null)\"; dumpsys battery";

// A number that stands alone; NaN for anything else, and for what stands for none.
static double number_in(const char *text) {
    char *end;
    double value = strtod(text, &end);
    return end == text || *end || value == 0 || value <= -2147483648.0 ? NAN : value;
}

static void take(const char *key, const char *value, Battery *told) {
    static const char *const statuses[STATUSES] = {"", "Unknown", "Charging", "Discharging", "Not charging", "Full"};
    static const char powered[] = " powered";
    size_t length = strlen(key), ending = sizeof powered - 1;
    if (length > ending && strcmp(key + length - ending, powered) == 0)
        told->plugged = (isnan(told->plugged) ? 0 : told->plugged) + (strcmp(value, "true") == 0);
    else if (strcmp(key, "current now") == 0 && isnan(told->current))
        told->current = number_in(value);
    else if (strcmp(key, "charge counter") == 0 && isnan(told->counter))
        told->counter = number_in(value);
    else if (strcmp(key, "voltage") == 0 && isnan(told->voltage))
        told->voltage = number_in(value);
    else if (strcmp(key, "status") == 0 && !*told->status) {
        double status = number_in(value);
        if (status >= 1 && status < STATUSES) strcpy(told->status, statuses[(int)status]);
    }
}

// Lines such as `  Charge counter: 2967000`, some vendors' among them; each is lower case and without space around.
static Battery told_in(char *said) {
    Battery told = nothing;
    bool is_frozen = false;
    for (char *line = said; line && *line;) {
        char *next = strchr(line, '\n'), *colon;
        if (next) *next++ = 0;
        while (isspace((unsigned char)*line)) line++;
        for (char *c = line; *c; c++) *c = (char)tolower((unsigned char)*c);
        for (size_t end = strlen(line); end > 0 && isspace((unsigned char)line[end - 1]);) line[--end] = 0;
        is_frozen = is_frozen || strncmp(line, "(updates stopped", 16) == 0;
        if ((colon = strchr(line, ':'))) {
            *colon++ = 0;
            while (isspace((unsigned char)*colon)) colon++;
            take(line, colon, &told);
        }
        line = next;
    }
    // somebody has set its figures, as tests of apps do: they no longer are the battery's
    if (is_frozen) strcpy(told.status, "Updates stopped");
    told.source = "Android's battery service";
    return told;
}

static Program question;
static bool is_asked, is_missing;

static Battery answer(void) {
    static char said[SERVICE_TEXT];
    is_asked = false;
    char *all = program_end(&question, said, sizeof said);
    if (all && strlen(all) == sizeof said - 1) {  // there was more: the last line may end amid a number
        char *last = strrchr(all, '\n');
        *(last ? last : all) = 0;
    }
    Battery told = all ? told_in(all) : nothing;
    is_missing = isnan(told.current) && isnan(told.voltage) && isnan(told.counter);
    return is_missing ? nothing : told;
}

static bool tells_all(const Battery *found) { return !isnan(found->current) && !isnan(found->voltage); }

// A board's, which a cable feeds: what is left, plugged or charging is nothing that it has.
static bool is_read;

static Battery rail(void) {
    Battery told = nothing;
    is_read = false;
    told.source = rail_end(&told.voltage, &told.current);
    return told;
}

void battery_ask(void) {
    char *command[] = {"sh", "-c", (char *)QUESTION, NULL};
    if (is_asked) answer();  // of a window that failed
    if (is_read) rail();
    Battery kernel = kernel_battery();
    if (tells_all(&kernel)) return;
    is_read = rail_start();
    if (!is_read && !is_missing) is_asked = program_start(command, &question);
}

Battery battery(void) {
    Battery kernel = kernel_battery(), told = is_asked ? answer() : is_read ? rail() : nothing;
    return tells_all(&kernel) || !told.source ? kernel : told;
}

void line_battery(Line *line, const Battery *found) {
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"battery_current", found->current},
        {"battery_voltage", found->voltage},
        {"battery_counter", found->counter},
        {"plugged", found->plugged},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        line_add(line, ", \"%s\": ", numbers[i].name);
        line_number(line, numbers[i].value);
    }
    line_add(line, ", \"battery_status\": ");
    line_string(line, *found->status ? found->status : NULL);
    line_add(line, ", \"battery_source\": ");
    line_string(line, found->source);
}
