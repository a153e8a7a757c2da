#define _GNU_SOURCE
#include "manifest.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LARGEST_FILE = 64 << 20, MOST_OUTPUTS = 1 << 20 };

char *read_file(const char *path, size_t *length, char *why) {
    FILE *file = fopen(path, "re");
    struct stat about;
    if (!file || fstat(fileno(file), &about) != 0) {
        snprintf(why, WHY_SIZE, "%s: %s", path, strerror(errno));
        if (file) fclose(file);
        return NULL;
    }
    if (!S_ISREG(about.st_mode) || about.st_size > LARGEST_FILE) {
        snprintf(why, WHY_SIZE, "%s is no file, or larger than 64 MiB", path);
        fclose(file);
        return NULL;
    }
    char *text = must_realloc(NULL, (size_t)about.st_size + 1, 1);
    *length = fread(text, 1, (size_t)about.st_size, file);
    text[*length] = 0;
    fclose(file);
    return text;
}

// ---- fields: each says what it expected, and nothing is set to what it was not told

typedef struct {
    const Json *object;
    const char *where;  // "" or "rules."
    char *why;
} Fields;

static bool wrong(const Fields *fields, const char *name, const char *expected) {
    snprintf(fields->why, WHY_SIZE, "manifest: %s%s is missing or wrong, expected %s", fields->where, name, expected);
    return false;
}

static bool get_number(const Fields *fields, const char *name, double least, double *value) {
    const Json *member = json_member(fields->object, name);
    char expected[80];
    snprintf(expected, sizeof expected, "a number of at least %g", least);
    if (!member || member->kind != JSON_NUMBER || member->number < least) return wrong(fields, name, expected);
    *value = member->number;
    return true;
}

static bool get_integer(const Fields *fields, const char *name, int64_t least, int64_t most, int64_t *value) {
    const Json *member = json_member(fields->object, name);
    char expected[80];
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)least, (long long)most);
    if (!member || member->kind != JSON_NUMBER || member->number != floor(member->number) ||
        member->number < (double)least || member->number > (double)most)
        return wrong(fields, name, expected);
    *value = (int64_t)member->number;
    return true;
}

// A number that need not be there, then `value` stays; null counts as not there.
static bool get_optional(const Fields *fields, const char *name, double least, double *value) {
    const Json *member = json_member(fields->object, name);
    return !member || member->kind == JSON_NULL || get_number(fields, name, least, value);
}

static bool get_string(const Fields *fields, const char *name, const char **value) {
    const Json *member = json_member(fields->object, name);
    if (!member || member->kind != JSON_STRING || !*member->string) return wrong(fields, name, "a string");
    *value = member->string;
    return true;
}

static bool get_optional_string(const Fields *fields, const char *name, const char **value) {
    const Json *member = json_member(fields->object, name);
    return !member || member->kind == JSON_NULL || get_string(fields, name, value);
}

static const Json *get_list(const Fields *fields, const char *name) {
    const Json *member = json_member(fields->object, name);
    if (member && member->kind == JSON_ARRAY) return member;
    wrong(fields, name, "a list");
    return NULL;
}

static bool one_of(const Fields *fields, const char *name, const char *value, const char *const *known) {
    char list[WHY_SIZE / 2] = "";
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(value, known[i]) == 0) return true;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", known[i]);
    }
    snprintf(fields->why, WHY_SIZE, "%s is '%.100s', expected one of %s", name, value, list);
    return false;
}

// ---- parts

static bool read_runtime(const Fields *fields, Manifest *manifest) {
    static const char *const runtimes[] = {"tflite", NULL}, *const backends[] = {"litert", "tflite", NULL},
                      *const delegates[] = {"xnnpack", "gpu", "nnapi", "none", NULL},
                      *const dtypes[] = {"fp32", "fp16", NULL};
    const char *runtime, *backend = "litert", *dtype = "fp32";
    manifest->delegate = "xnnpack";
    if (!get_string(fields, "runtime", &runtime) || !one_of(fields, "runtime", runtime, runtimes)) return false;
    if (!get_optional_string(fields, "backend", &backend) || !one_of(fields, "backend", backend, backends)) return false;
    if (!get_optional_string(fields, "delegate", &manifest->delegate) ||
        !one_of(fields, "delegate", manifest->delegate, delegates))
        return false;
    if (!get_optional_string(fields, "dtype", &dtype) || !one_of(fields, "dtype", dtype, dtypes)) return false;
    manifest->fp16 = strcmp(dtype, "fp16") == 0;
    if (manifest->fp16 && strcmp(manifest->delegate, "xnnpack") != 0)
        return wrong(fields, "dtype", "fp32 where XNNPACK does not compute");
    if (json_member(fields->object, "outputs") && !get_integer(fields, "outputs", 0, MOST_OUTPUTS, &manifest->outputs))
        return false;
    manifest->backend = strcmp(backend, "litert") == 0 ? &litert_backend : &tflite_backend;
    manifest->library = manifest->backend->default_library;
    return get_optional_string(fields, "library", &manifest->library) &&
           get_optional_string(fields, "delegate_library", &manifest->delegate_library);
}

static bool read_cpus(const Fields *fields, Manifest *manifest) {
    const Json *list = get_list(fields, "cpus");
    if (!list) return false;
    for (const Json *item = list->first; item; item = item->next) {
        if (manifest->cpu_count == MOST_PINNED || item->kind != JSON_NUMBER || item->number != floor(item->number) ||
            item->number < 0 || item->number > INT_MAX)
            return wrong(fields, "cpus", "1 to 64 CPU numbers");
        manifest->cpus[manifest->cpu_count++] = (int)item->number;
    }
    return manifest->cpu_count > 0 || wrong(fields, "cpus", "1 to 64 CPU numbers");
}

static bool read_rules(const Fields *fields, const char *name, const char *where, Rules *rules) {
    Fields inner = {json_member(fields->object, name), where, fields->why};
    rules->warmup_max_seconds = INFINITY;
    return get_optional(&inner, "warmup_seconds_after_rest", 0, &rules->warmup_seconds_after_rest) &&
           get_optional(&inner, "settle", 0, &rules->settle) &&
           get_optional(&inner, "warmup_max_seconds", 0, &rules->warmup_max_seconds) &&
           get_integer(&inner, "warmup_runs", 1, 1000000000, &rules->warmup_runs) &&
           get_integer(&inner, "min_runs", 1, 1000000000, &rules->min_runs) &&
           get_integer(&inner, "max_runs", 1, 1000000000, &rules->max_runs) &&
           get_number(&inner, "warmup_seconds", 0, &rules->warmup_seconds) &&
           get_number(&inner, "max_seconds", 0, &rules->max_seconds) &&
           get_number(&inner, "target_error", 0, &rules->target_error) &&
           get_number(&inner, "min_sample_us", 0, &rules->min_sample_us);
}

static bool read_all_rules(const Fields *fields, Manifest *manifest) {
    if (!read_rules(fields, "rules", "rules.", &manifest->rules)) return false;
    const Json *own = json_member(fields->object, "parts_rules");
    manifest->parts_rules = manifest->rules;
    if (!own || own->kind == JSON_NULL) return true;
    manifest->parts_rules = (Rules){0};
    return read_rules(fields, "parts_rules", "parts_rules.", &manifest->parts_rules);
}

static bool read_limits(const Fields *fields, Manifest *manifest) {
    manifest->heartbeat_seconds = 5;
    manifest->time_budget_seconds = INFINITY;
    CoolDown *rules = &manifest->cool_down;
    *rules = (CoolDown){INFINITY, INFINITY, INFINITY};
    const Json *cool_down = json_member(fields->object, "cool_down");
    Fields inner = {cool_down, "cool_down.", fields->why};
    if (cool_down && cool_down->kind != JSON_NULL) {
        if (!get_number(&inner, "max_temperature_c", -40, &rules->max_temperature_c) ||
            !get_number(&inner, "max_wait_seconds", 0, &rules->max_wait_seconds))
            return false;
        rules->resume_below_c = rules->max_temperature_c;
        if (!get_optional(&inner, "resume_below_c", -40, &rules->resume_below_c)) return false;
        rules->resume_below_c = fmin(rules->resume_below_c, rules->max_temperature_c);
    }
    return get_optional(fields, "heartbeat_seconds", 0.01, &manifest->heartbeat_seconds) &&
           get_optional(fields, "time_budget_seconds", 0, &manifest->time_budget_seconds);
}

static bool read_sustained(const Fields *fields, Manifest *manifest) {
    const Json *asked = json_member(fields->object, "sustained");
    Fields inner = {asked, "sustained.", fields->why};
    if (!asked || asked->kind == JSON_NULL) return true;
    const Json *battery = json_member(asked, "battery");
    if (battery && battery->kind != JSON_NULL && battery->kind != JSON_BOOL) return wrong(&inner, "battery", "true or false");
    manifest->ask_battery = battery && battery->kind == JSON_BOOL && battery->boolean;
    return get_number(&inner, "window_seconds", 0.001, &manifest->window_seconds) &&
           get_optional(&inner, "rate_hz", 0.001, &manifest->rate_hz);
}

// ---- models and visits

// The file inside the folder that `name` stands for, as one string to free; NULL if it lies outside.
static char *inside(const char *folder, const char *name) {
    char *joined = NULL, *real = NULL;
    if (name[0] == '/' || asprintf(&joined, "%s/%s", folder, name) < 0) return NULL;
    real = realpath(joined, NULL);
    size_t length = strlen(folder);
    bool within;
    if (real) {
        within = strncmp(real, folder, length) == 0 && real[length] == '/';
    } else {  // not there (yet): its visits say so; a name that climbs is refused unseen
        char climbs[PATH_MAX + 8];
        within = snprintf(climbs, sizeof climbs, "/%s/", name) < (int)sizeof climbs && !strstr(climbs, "/../");
    }
    if (!within) {
        free(real);
        free(joined);
        return NULL;
    }
    if (!real) return joined;
    free(joined);
    return real;
}

static int by_id(const void *a, const void *b) { return strcmp(((const Entry *)a)->id, ((const Entry *)b)->id); }

static bool add_path(const Fields *fields, const char *folder, const char *path, Entry *entry) {
    if ((entry->paths[entry->count] = inside(folder, path))) {
        entry->count++;
        return true;
    }
    snprintf(fields->why, WHY_SIZE, "model path '%.200s' leaves the manifest's folder", path);
    return false;
}

// Where a model lies: its path, or those of its parts.
static bool read_paths(const Fields *fields, const char *folder, Entry *entry) {
    const char *path;
    entry->in_parts = json_member(fields->object, "parts") != NULL;
    if (!entry->in_parts) {
        if (!get_string(fields, "path", &path)) return false;
        entry->paths = must_realloc(NULL, 1, sizeof *entry->paths);
        return add_path(fields, folder, path, entry);
    }
    const Json *list = get_list(fields, "parts");
    if (!list) return false;
    if (!list->count) {
        snprintf(fields->why, WHY_SIZE, "model '%.200s' has no parts", entry->id);
        return false;
    }
    entry->paths = must_realloc(NULL, list->count, sizeof *entry->paths);
    for (const Json *item = list->first; item; item = item->next) {
        if (item->kind != JSON_STRING || !*item->string) return wrong(fields, "parts", "a list of paths");
        if (!add_path(fields, folder, item->string, entry)) return false;
    }
    return true;
}

static bool read_models(const Fields *fields, const char *folder, Manifest *manifest) {
    const Json *list = get_list(fields, "models");
    if (!list) return false;
    manifest->models = must_realloc(NULL, list->count + 1, sizeof *manifest->models);
    for (const Json *item = list->first; item; item = item->next) {
        Fields inner = {item, "models[].", fields->why};
        Entry *entry = &manifest->models[manifest->model_count];
        *entry = (Entry){0};
        manifest->model_count++;  // whatever comes of it: its paths are to be freed
        if (!get_string(&inner, "id", &entry->id) || !read_paths(&inner, folder, entry)) return false;
    }
    qsort(manifest->models, manifest->model_count, sizeof *manifest->models, by_id);
    for (size_t i = 1; i < manifest->model_count; i++)
        if (strcmp(manifest->models[i - 1].id, manifest->models[i].id) == 0) {
            snprintf(fields->why, WHY_SIZE, "manifest: two models are called '%.200s'", manifest->models[i].id);
            return false;
        }
    return true;
}

static bool read_visits(const Fields *fields, Manifest *manifest) {
    const Json *list = get_list(fields, "visits");
    if (!list) return false;
    manifest->visits = must_realloc(NULL, list->count + 1, sizeof *manifest->visits);
    for (const Json *item = list->first; item; item = item->next) {
        if (item->kind != JSON_STRING) return wrong(fields, "visits", "ids of models");
        Entry wanted = {.id = item->string};
        Entry *found = manifest->model_count ? bsearch(&wanted, manifest->models, manifest->model_count,
                                                       sizeof *manifest->models, by_id)
                                             : NULL;
        if (!found) {
            snprintf(fields->why, WHY_SIZE, "manifest: visits names '%.200s', which models does not list", item->string);
            return false;
        }
        manifest->visits[manifest->visit_count++] = found;
    }
    return true;
}

static bool read_protocol(const Fields *fields) {
    const Json *protocol = json_member(fields->object, "protocol");
    if (protocol && protocol->kind == JSON_NUMBER && protocol->number == PROTOCOL) return true;
    if (protocol && protocol->kind == JSON_NUMBER)
        snprintf(fields->why, WHY_SIZE, "manifest is of protocol %g, this agent speaks %d", protocol->number, PROTOCOL);
    else
        snprintf(fields->why, WHY_SIZE, "manifest names no protocol, this agent speaks %d", PROTOCOL);
    return false;
}

static bool read_fields(const Fields *fields, const char *folder, Manifest *manifest) {
    int64_t threads, seed;
    if (!read_protocol(fields) || !read_runtime(fields, manifest) ||
        !get_integer(fields, "threads", 1, 1024, &threads) || !read_cpus(fields, manifest) ||
        !get_integer(fields, "seed", 0, (int64_t)1 << 53, &seed) ||
        !read_all_rules(fields, manifest) || !read_limits(fields, manifest) || !read_sustained(fields, manifest) ||
        !read_models(fields, folder, manifest) || !read_visits(fields, manifest))
        return false;
    manifest->threads = (int)threads;
    manifest->seed = (uint64_t)seed;
    return true;
}

bool manifest_read(const char *path, Manifest *manifest, char *why) {
    memset(manifest, 0, sizeof *manifest);
    size_t length;
    char *text = read_file(path, &length, why);
    if (!text) return false;
    char where[WHY_SIZE / 2];
    manifest->json = json_parse(text, length, where, sizeof where);
    free(text);
    if (!manifest->json) {
        snprintf(why, WHY_SIZE, "manifest is no JSON: %s", where);
        return false;
    }
    char *folder = realpath(path, NULL);
    if (!folder) {
        snprintf(why, WHY_SIZE, "%s: %s", path, strerror(errno));
        return false;
    }
    *strrchr(folder, '/') = 0;
    Fields fields = {manifest->json, "", why};
    bool good = read_fields(&fields, folder, manifest);
    free(folder);
    return good;
}

void manifest_free(Manifest *manifest) {
    for (size_t i = 0; i < manifest->model_count; i++) {
        Entry *entry = &manifest->models[i];
        for (size_t part = 0; part < entry->count; part++) free(entry->paths[part]);
        free(entry->paths);
    }
    free(manifest->models);
    free(manifest->visits);
    json_free(manifest->json);
}
