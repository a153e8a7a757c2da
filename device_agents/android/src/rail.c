#define _GNU_SOURCE
#include "rail.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "program.h"

#define SENSORS "/sys/class/hwmon"

enum { CHANNELS = 3, READINGS_TEXT = 1 << 16, PATH = 2 * TEXT };

typedef struct {
    char voltage[PATH], current[PATH], label[TEXT];
} Rail;

// What nobody reads any more, or cannot be read, ends it.
static const char READ[] =
    "while read -r v < \"$1\" && read -r c < \"$2\" && echo \"$v $c\"; do sleep 0.1 > /dev/null; done";

static Program reading;
static char name[TEXT + 16];

// Boards name the rail that feeds all others VDD_IN, or one that ends so; several of these tell nothing.
static bool is_input(const char *label) {
    size_t length = strlen(label);
    return length > 3 && strcmp(label + length - 3, "_IN") == 0;
}

static bool put_path(char path[PATH], const char *sensor, const char *format, int channel) {
    char file[32];
    snprintf(file, sizeof file, format, channel);
    return snprintf(path, PATH, "%s/%s/%s", SENSORS, sensor, file) < PATH;
}

static int inputs_of(const char *sensor, Rail *rail) {
    char path[PATH], text[TEXT];
    int found = 0;
    if (!put_path(path, sensor, "name", 0) || !read_text(path, text) || strcmp(text, "ina3221") != 0) return 0;
    for (int channel = 1; channel <= CHANNELS; channel++) {
        if (!put_path(path, sensor, "in%d_label", channel) || !read_text(path, text) || !is_input(text)) continue;
        if (!put_path(rail->voltage, sensor, "in%d_input", channel)) continue;
        if (!put_path(rail->current, sensor, "curr%d_input", channel)) continue;
        strcpy(rail->label, text);
        found++;
    }
    return found;
}

static bool find(Rail *rail) {
    int found = 0;
    DIR *sensors = opendir(SENSORS);
    for (struct dirent *entry; sensors && (entry = readdir(sensors));)
        if (entry->d_name[0] != '.') found += inputs_of(entry->d_name, rail);
    if (sensors) closedir(sensors);
    return found == 1;
}

bool rail_start(void) {
    static Rail rail;
    if (!find(&rail)) return false;
    snprintf(name, sizeof name, "INA3221 %s", rail.label);
    char *command[] = {"sh", "-c", (char *)READ, "sh", rail.voltage, rail.current, NULL};
    return program_start(command, &reading);
}

const char *rail_end(double *voltage, double *current) {
    static char said[READINGS_TEXT];
    double millivolts = 0, microwatts = 0;
    int count = 0;
    for (char *line = program_stop(&reading, said, sizeof said), *next; line; line = next) {
        char *middle, *end;
        if ((next = strchr(line, '\n'))) *next++ = 0;
        double v = strtod(line, &middle), c = strtod(middle, &end);
        if (middle == line || end == middle || *end) continue;  // not two numbers
        millivolts += v;
        microwatts += v * c;
        count++;
    }
    if (!count || millivolts <= 0) return NULL;
    *voltage = millivolts / count;
    *current = microwatts / millivolts;
    return name;
}
