// The phone agent: times the models of one manifest in one process, and speaks device_agents/PROTOCOL.md.
//
//     agent manifest.json          (started in the folder that holds the runtime's library)
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "battery.h"
#include "cores.h"
#include "device.h"
#include "json.h"
#include "manifest.h"
#include "network.h"
#include "outputs.h"
#include "runtime.h"
#include "timing.h"

// ---- speaking

static int out;  // the real standard output; descriptor 1 is stderr, for the runtimes' chatter
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

// Writes a line whole, or ends the process: nobody listens any more.
static void say(Line *line) {
    line_add(line, "\n");
    pthread_mutex_lock(&speaking);
    for (size_t done = 0; done < line->length;) {
        ssize_t wrote = write(out, line->text + done, line->length - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) _exit(1);  // at once, hanging runtime or not
        done += (size_t)wrote;
    }
    pthread_mutex_unlock(&speaking);
    line->length = 0;
}

static pthread_mutex_t finishing = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static bool all_done;

// Says now and then that the agent lives, until all is done.
static void *beat(void *seconds) {
    Line line = {0};
    leave_pinned_cores();
    struct timespec next;
    clock_gettime(CLOCK_REALTIME, &next);  // what condition variables wait by; a clock set back costs heartbeats only
    pthread_mutex_lock(&finishing);
    while (!all_done) {
        double whole, part = modf(*(double *)seconds, &whole);
        next.tv_nsec += (long)(part * 1e9);
        next.tv_sec += (time_t)whole + next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&finished, &finishing, &next) != ETIMEDOUT) continue;
        line_add(&line, "{\"type\": \"heartbeat\"}");
        say(&line);
    }
    pthread_mutex_unlock(&finishing);
    line_free(&line);
    return NULL;
}

static void stop_beating(pthread_t heart) {
    pthread_mutex_lock(&finishing);
    all_done = true;
    pthread_cond_signal(&finished);
    pthread_mutex_unlock(&finishing);
    pthread_join(heart, NULL);
}

static int cannot_start(Line *line, const char *why) {
    line_add(line, "{\"type\": \"error\", \"id\": null, \"message\": ");
    line_string(line, why);
    line_add(line, "}");
    say(line);
    return 1;
}

// ---- starting

// The runtime's name and version: as the bundle tells of its own library, else as the library does.
static void line_runtime(Line *line, const Manifest *manifest) {
    const Backend *backend = manifest->backend;
    char why[WHY_SIZE], text[WHY_SIZE];
    size_t length;
    char *file = read_file("bundle.json", &length, why);
    Json *bundle = file ? json_parse(file, length, why, sizeof why) : NULL;
    const Json *runtime = json_member(bundle, "runtime"), *of = json_member(bundle, "backend");
    const char *version = backend->version();
    if (strcmp(manifest->library, backend->default_library) == 0 && runtime && runtime->kind == JSON_STRING && of &&
        of->kind == JSON_STRING && strcmp(of->string, backend->name) == 0)
        snprintf(text, sizeof text, "%s", runtime->string);
    else
        snprintf(text, sizeof text, "%s %s", backend == &litert_backend ? "LiteRT" : "TFLite",
                 version ? version : "of unknown version");
    line_string(line, text);
    json_free(bundle);
    free(file);
}

static void say_hello(Line *line, const Manifest *manifest, int xnnpack) {
    line_add(line, "{\"type\": \"hello\", \"protocol\": %d, \"agent\": \"android\", \"runtime\": ", PROTOCOL);
    line_runtime(line, manifest);
    line_add(line, ", \"backend\": \"%s\", \"delegate\": \"%s\", \"computes_in\": \"%s\", ", manifest->backend->name, manifest->delegate,
             manifest->fp16 ? "fp16" : "fp32");
    line_add(line, "\"xnnpack\": %s, \"device\": ", xnnpack < 0 ? "null" : xnnpack ? "true" : "false");
    line_device(line, manifest->cpus, manifest->cpu_count);
    line_add(line, "}");
    say(line);
}

// ---- visits

typedef struct {
    Wait wait;
    int64_t setup_ns;
} Before;

static void say_result(Line *line, const Manifest *manifest, size_t number, void *model, const Before *before,
                       const Timing *timing) {
    int cpu = manifest->cpus[0];
    line_add(line, "{\"type\": \"result\", \"visit\": %zu, \"id\": ", number);
    line_string(line, manifest->visits[number]->id);
    line_add(line, ", \"samples_ns\": ");
    line_integers(line, timing->samples_ns, timing->count);
    // of one thread: that which calls is the one that computes
    line_add(line, manifest->threads == 1 ? ", \"cpu_ns\": " : ", \"cpu_ns\": null, \"process_cpu_ns\": ");
    line_integers(line, timing->cpu_ns, timing->count);
    line_add(line, ", \"throttling\": [%s]", timing->elsewhere ? "\"ran on another core\"" : "");
    const struct {
        const char *name;
        double value;
    } facts[] = {
        {"calls_per_sample", (double)timing->calls_per_sample},
        {"setup_ns", (double)before->setup_ns},
        {"warmup_ns", (double)timing->warmup_ns},
        {"timed_ns", (double)timing->timed_ns},
        {"involuntary_switches", (double)timing->involuntary_switches},
        {"cooled_seconds", before->wait.known ? before->wait.seconds : NAN},
        {"clock_mhz_before", timing->clock_before},
        {"clock_mhz_after", clock_mhz(cpu)},
        {"clock_limit_mhz", clock_limit_mhz(cpu)},
        {"temperature_c_before", before->wait.temperature_c},
        {"temperature_c_after", temperature_c()},
        {"cpu", (double)sched_getcpu()},
        {"peak_memory_kib", peak_memory_kib()},
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        line_add(line, ", \"%s\": ", facts[i].name);
        line_number(line, facts[i].value);
    }
    line_parts(line, manifest, timing);
    line_outputs(line, manifest, model);
    if (manifest->window_seconds > 0) {
        Battery now = battery();
        line_add(line, ", \"loop_ns\": %lld, \"late\": %lld", (long long)timing->loop_ns, (long long)timing->late);
        line_battery(line, &now);
    }
    line_add(line, "}");
    say(line);
}

// reason: NULL, or one word for the host.
static void say_error(Line *line, const Manifest *manifest, size_t number, const char *reason, const char *why) {
    line_add(line, "{\"type\": \"error\", \"visit\": %zu, \"id\": ", number);
    line_string(line, manifest->visits[number]->id);
    line_add(line, ", \"reason\": ");
    line_string(line, reason);
    line_add(line, ", \"message\": ");
    line_string(line, why);
    line_add(line, "}");
    say(line);
}

static int timed_cpu;  // the first of those the manifest names

static double its_clock_mhz(void) { return clock_mhz(timed_cpu); }

static const Watch watch = {its_clock_mhz, is_elsewhere};

// Waits until the processor is cool, or says why no more is waited.
static bool cooled(const Manifest *manifest, size_t number, Wait *wait, char *why) {
    if (cool_down(&manifest->cool_down, number, wait)) return true;
    if (wait->status >= CLOCKS_ARE_CUT)
        snprintf(why, WHY_SIZE, "too hot: Android's thermal status is %g after waiting %.0f s: clocks are cut",
                 wait->status, wait->seconds);
    else
        snprintf(why, WHY_SIZE, "too hot: %.1f C after waiting %.0f s, the limit is %.1f C", wait->temperature_c,
                 wait->seconds, manifest->cool_down.max_temperature_c);
    return false;
}

// Loads the model of a visit once the processor is cool; NULL, having said why, where that cannot be.
static Network *cool_and_load(Line *line, const Manifest *manifest, size_t number, Before *before) {
    char why[WHY_SIZE];
    Network *network = NULL;
    bool cool = cooled(manifest, number, &before->wait, why);
    if (cool) {
        stay_pinned();  // before the runtime starts threads of its own
        int64_t started = now_ns();
        network = network_load(manifest, manifest->visits[number], why);
        before->setup_ns = now_ns() - started;
    }
    if (network) cool = cooled(manifest, number, &before->wait, why);  // loading heats a core too
    if (network && cool) return network;
    if (network) network_unload(network);
    say_error(line, manifest, number, cool ? NULL : "too_hot", why);
    return NULL;
}

// Says what became of a visit; whether it was made. failed: the runtime's status.
static bool say_outcome(Line *line, const Manifest *manifest, size_t number, void *model, int failed,
                        const Before *before, const Timing *timing) {
    char why[WHY_SIZE];
    if (failed) {
        if (timing->parts)
            snprintf(why, WHY_SIZE, "part %zu of %zu fails when it is run: status %d", timing->failed_part + 1, timing->parts, failed);
        else
            snprintf(why, WHY_SIZE, "the model fails when it is run: status %d", failed);
        say_error(line, manifest, number, NULL, why);
        return false;
    }
    if (!is_of_dtype(manifest, model, why)) {
        say_error(line, manifest, number, "not_fp16", why);
        return false;
    }
    say_result(line, manifest, number, model, before, timing);
    return true;
}

static const Before nothing_before = {.wait = {.temperature_c = NAN, .status = NAN}};

// Loads the model and times it. Anew for every visit: where a model lies in memory makes some blocks several per cent
// faster or slower, and a model that stays loaded would repeat its luck in every round.
static void visit(Line *line, const Manifest *manifest, size_t number, Timing *timing) {
    Before before = nothing_before;
    Network *network = cool_and_load(line, manifest, number, &before);
    if (!network) return;
    // a core that slept is slow at first: before the first visit, and whenever something was waited for
    bool rested = number == 0 || before.wait.asked || before.wait.seconds > 0;
    int failed = network_time(network, manifest, manifest->visits[number], &watch, rested, timing);
    say_outcome(line, manifest, number, network_last(network), failed, &before, timing);
    network_unload(network);
}

// ---- a loop that goes on from visit to visit

// where the zones are closed, the thermal service is asked between so many windows
enum { ASK_EVERY_WINDOWS = 12 };

typedef struct {
    Loop loop;
    const Entry *entry;  // whose it is; NULL: there is none
    Network *network;
    void *model;  // of it
} Looped;

static void end_loop(Looped *looped) {
    if (looped->entry) network_unload(looped->network);
    looped->entry = NULL;
}

// Warms up a model that was just loaded, and begins its loop.
static int begin_loop(const Manifest *manifest, Looped *looped, Timing *timing) {
    double period_ns = manifest->rate_hz > 0 ? 1e9 / manifest->rate_hz : 0;
    looped->loop = (Loop){.window_ns = (int64_t)(manifest->window_seconds * 1e9), .period_ns = (int64_t)period_ns};
    return loop_begin(manifest->backend->run, looped->model, &manifest->rules, &watch, &looped->loop, timing);
}

// Makes a window of a loop. The model stays loaded for the next one, and heat is what is to be seen: nothing waits for
// it but the first window.
static void visit_window(Line *line, const Manifest *manifest, size_t number, Looped *looped, Timing *timing) {
    const Entry *entry = manifest->visits[number];
    Before before = nothing_before;
    int failed = 0;
    if (looped->entry != entry) {
        end_loop(looped);
        looped->network = cool_and_load(line, manifest, number, &before);
        if (!looped->network) return;
        looped->model = network_last(looped->network);
        looped->entry = entry;
        failed = begin_loop(manifest, looped, timing);
    } else {
        stay_pinned();
        before.wait.temperature_c = temperature_c();
        // takes tens of milliseconds: of a loop, less than a thousandth
        if (isnan(before.wait.temperature_c) && number % ASK_EVERY_WINDOWS == 0) before.wait.temperature_c = heat_now().temperature_c;
        timing->clock_before = its_clock_mhz();
        timing->warmup_ns = 0;
    }
    if (manifest->ask_battery) battery_ask();
    if (!failed) failed = loop_window(manifest->backend->run, looped->model, &watch, &looped->loop, timing);
    if (!say_outcome(line, manifest, number, looped->model, failed, &before, timing)) end_loop(looped);
}

// Why no network is run in parts; NULL where they are.
static const char *runs_no_parts(const Manifest *manifest) {
    if (manifest->window_seconds > 0) return "a loop is of whole models, not of parts";
    // what these leave for later would fall into the copying, which is not timed
    if (strcmp(manifest->delegate, "gpu") == 0) return "the parts of a network are not run by the delegate gpu";
    if (strcmp(manifest->delegate, "nnapi") == 0) return "the parts of a network are not run by the delegate nnapi";
    return NULL;
}

static void make_visits(Line *line, const Manifest *manifest) {
    Timing timing = {.of_process = manifest->threads > 1};
    Looped looped = {0};
    int64_t started = now_ns();
    timed_cpu = manifest->cpus[0];
    for (size_t number = 0; number < manifest->visit_count; number++) {
        line_add(line, "{\"type\": \"visit\", \"visit\": %zu, \"id\": ", number);
        line_string(line, manifest->visits[number]->id);
        line_add(line, "}");
        say(line);
        const char *no_parts = manifest->visits[number]->in_parts ? runs_no_parts(manifest) : NULL;
        if (no_parts)
            say_error(line, manifest, number, "no_parts", no_parts);
        else if ((double)(now_ns() - started) / 1e9 >= manifest->time_budget_seconds)
            say_error(line, manifest, number, "time_budget", "the time budget is spent");
        else if (manifest->window_seconds > 0)
            visit_window(line, manifest, number, &looped, &timing);
        else
            visit(line, manifest, number, &timing);
    }
    end_loop(&looped);
    timing_free(&timing);
}

int main(int count, char **arguments) {
    if (count != 2) {
        fputs("usage: agent MANIFEST.json, in the folder that holds the runtime's library\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);  // say() sees it
    out = dup(1);
    if (out < 0 || dup2(2, 1) < 0) return 1;
    Line line = {0};
    Manifest manifest;
    char why[WHY_SIZE];
    int xnnpack = -1;
    if (!manifest_read(arguments[1], &manifest, why) || !pin(manifest.cpus, manifest.cpu_count, why) ||
        !manifest.backend->start(manifest.library, manifest.delegate, manifest.delegate_library, manifest.threads,
                                 manifest.fp16, &xnnpack, why)) {
        int code = cannot_start(&line, why);
        line_free(&line);
        manifest_free(&manifest);
        return code;
    }
    say_hello(&line, &manifest, xnnpack);
    pthread_t heart;
    if (pthread_create(&heart, NULL, beat, &manifest.heartbeat_seconds) != 0) return 1;
    make_visits(&line, &manifest);
    stop_beating(heart);
    line_add(&line, "{\"type\": \"done\"}");
    say(&line);
    line_free(&line);
    manifest_free(&manifest);
    return 0;
}
