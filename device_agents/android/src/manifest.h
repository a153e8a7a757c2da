// The manifest, read and checked: device_agents/PROTOCOL.md.
#ifndef OFA_MANIFEST_H
#define OFA_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "runtime.h"
#include "thermal.h"
#include "timing.h"

enum { PROTOCOL = 1, MOST_PINNED = 64 };

typedef struct {
    const char *id;
    char **paths;   // absolute, or as joined to the folder where the file does not exist
    size_t count;   // of paths: 1 but of a network in parts
    bool in_parts;  // be it of one part
} Entry;

typedef struct {
    const Backend *backend;
    const char *library, *delegate, *delegate_library;  // the last NULL where not given
    bool fp16;        // what XNNPACK is to compute in, in place of float32
    int64_t outputs;  // how many values of the first output a result has; 0 where not asked for
    int threads;
    int cpus[MOST_PINNED];
    size_t cpu_count;
    uint64_t seed;
    Rules rules, parts_rules;  // the latter of networks in parts
    CoolDown cool_down;                             // infinite where not given
    double heartbeat_seconds, time_budget_seconds;  // the latter infinite where not given
    double window_seconds, rate_hz;                 // of a loop; 0 where not given
    bool ask_battery;  // whether Android's battery service is asked, where the kernel's files are closed
    Entry *models;  // sorted by id
    size_t model_count;
    Entry **visits;
    size_t visit_count;
    Json *json;  // owns the strings
} Manifest;

// Reads and checks; false and the reason in `why`.
bool manifest_read(const char *path, Manifest *manifest, char *why);
void manifest_free(Manifest *manifest);

// The whole of a file, or NULL and the reason; `length` without the NUL that is added.
char *read_file(const char *path, size_t *length, char *why);

#endif
