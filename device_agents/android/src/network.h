// A model that is loaded: whole, or the parts of a network, which run one after the other.
#ifndef OFA_NETWORK_H
#define OFA_NETWORK_H

#include <stddef.h>

#include "json.h"
#include "manifest.h"
#include "timing.h"

typedef struct {
    const Backend *backend;
    void **models;  // in order; one, if it is whole
    size_t count;
} Network;

// Loads all its models, to be freed by `network_unload`; NULL and the reason in `why`, also where a part does not take
// what the part before it gives.
Network *network_load(const Manifest *manifest, const Entry *entry, char *why);
void network_unload(Network *network);

// The one whose outputs are the network's.
void *network_last(const Network *network);

// Times it as the manifest's rules say; what a model returns if it fails (not 0) is returned.
int network_time(Network *network, const Manifest *manifest, const Entry *entry, const Watch *watch, bool rested, Timing *timing);

// `, "parts_ns": [[...], ...], "parts_cpu_ns": ...` of a network in parts; nothing of others.
void line_parts(Line *line, const Manifest *manifest, const Timing *timing);

#endif
