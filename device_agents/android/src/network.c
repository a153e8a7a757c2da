#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

enum { LONGEST_NAME = 80 };  // of a file, in messages

// The name of a part, such as "part 2 of 5 (b00096-1.tflite)"; of a whole model "".
static const char *called(const Entry *entry, size_t part, char *text, size_t size) {
    const char *slash = strrchr(entry->paths[part], '/');
    *text = 0;
    if (entry->in_parts)
        snprintf(text, size, "part %zu of %zu (%.*s)", part + 1, entry->count, LONGEST_NAME,
                 slash ? slash + 1 : entry->paths[part]);
    return text;
}

// Whether a part takes what the part before gives; the reason in `why` if not.
static bool follows(const Network *network, const Entry *entry, size_t part, char *why) {
    size_t given = 0, taken = 0;
    int given_type = 0, taken_type = 0;
    char name[LONGEST_NAME + 64];
    if (!network->backend->first_tensor(network->models[part - 1], false, &given, &given_type)) {
        snprintf(why, WHY_SIZE, "%s has no output that can be read", called(entry, part - 1, name, sizeof name));
        return false;
    }
    if (!network->backend->first_tensor(network->models[part], true, &taken, &taken_type)) {
        snprintf(why, WHY_SIZE, "%s has no input that can be written", called(entry, part, name, sizeof name));
        return false;
    }
    if (given == taken && given_type == taken_type) return true;
    snprintf(why, WHY_SIZE, "%s takes %zu bytes of element type %d, but the part before gives %zu bytes of type %d",
             called(entry, part, name, sizeof name), taken, taken_type, given, given_type);
    return false;
}

// Loads one of its models.
static bool load_model(Network *network, const Manifest *manifest, const Entry *entry, size_t part, char *why) {
    char reason[WHY_SIZE], name[LONGEST_NAME + 64];
    void *model = is_model_file(entry->paths[part], reason)
                      ? network->backend->load(entry->paths[part], manifest->seed, reason)
                      : NULL;
    if (model) {
        network->models[network->count++] = model;
        return true;
    }
    called(entry, part, name, sizeof name);
    snprintf(why, WHY_SIZE, "%s%s%.*s", name, *name ? ": " : "", *name ? WHY_SIZE - LONGEST_NAME - 70 : WHY_SIZE - 1, reason);
    return false;
}

Network *network_load(const Manifest *manifest, const Entry *entry, char *why) {
    Network *network = must_realloc(NULL, 1, sizeof *network);
    *network = (Network){.backend = manifest->backend, .models = must_realloc(NULL, entry->count, sizeof(void *))};
    for (size_t part = 0; part < entry->count; part++) {
        if (load_model(network, manifest, entry, part, why) && (part == 0 || follows(network, entry, part, why))) continue;
        network_unload(network);
        return NULL;
    }
    return network;
}

void network_unload(Network *network) {
    for (size_t i = 0; i < network->count; i++) network->backend->unload(network->models[i]);
    free(network->models);
    free(network);
}

void *network_last(const Network *network) { return network->models[network->count - 1]; }

int network_time(Network *network, const Manifest *manifest, const Entry *entry, const Watch *watch, bool rested, Timing *timing) {
    const Backend *backend = network->backend;
    if (!entry->in_parts) return time_model(backend->run, network->models[0], &manifest->rules, watch, rested, timing);
    Parts parts = {backend->run, backend->hand_on, network->models, network->count, 0};
    return time_parts(&parts, &manifest->parts_rules, watch, rested, timing);
}

// A list of the times of every part, each a list of its time in every pass. times: of all parts of a pass, then the next
static void line_times(Line *line, const Timing *timing, const int64_t *times) {
    for (size_t part = 0; part < timing->parts; part++) {
        line_add(line, part ? ", [" : "[[");
        for (size_t pass = 0; pass < timing->count; pass++)
            line_add(line, "%s%lld", pass ? ", " : "", (long long)times[pass * timing->parts + part]);
        line_add(line, "]");
    }
    line_add(line, "]");
}

void line_parts(Line *line, const Manifest *manifest, const Timing *timing) {
    if (!timing->parts) return;
    line_add(line, ", \"parts_ns\": ");
    line_times(line, timing, timing->parts_ns);
    line_add(line, ", \"parts_cpu_ns\": ");
    if (manifest->threads == 1)
        line_times(line, timing, timing->parts_cpu_ns);
    else
        line_add(line, "null");
}
