// A stand-in for libLiteRt.so that does what its "models" say: after the 8 bytes that begin any .tflite file, words.
//     spin N       a run takes N microseconds            fail_load N   loading returns status N
//     fail_run N   a run returns status N                sleep N       a run sleeps N seconds
//     crash        a run ends the process by signal 6    chatter       a run prints to stdout
//     hot FILE     loading makes that sensor show 75 C       ramp FILE    that clock rises for 60 runs, to 2.8 GHz
//     flee N       a run moves its thread to CPU N       put N        a run puts N/48, 2N/48, ... into its output
//     heat FILE    a run makes that sensor show 75 C        add N        a run puts its input, and N, into its output
//     grow N       as add, of N times the runs so far     called N     a run tells stderr of itself
//     fail_at N    its run N alone returns status 9
//     type N       its input and output are of element type N, and not of float32, which is 1
//     helper N     a run has another thread compute for N microseconds of its CPU time
//     gives N      its output has N floats (64), at most 64   takes N      its input has
// It tells stderr of every load and unload, and of the 64 floats of every input.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char text[256];
    int takes, gives;  // floats
    int runs;
} Fake;

typedef struct {
    float data[64];
    int count;
    int mode;  // it was last locked in
} Buffer;

typedef struct {
    void *data;
    void (*deleter)(void *);
} Opaque;

static int value_of(const Fake *fake, const char *word) {
    const char *found = strstr(fake->text, word);
    return found ? atoi(found + strlen(word)) : 0;
}

typedef struct {
    int32_t tag, pad, type, pad_too;
    const char *string;
} EnvironmentOption;  // as the runtime's headers lay it out

int LiteRtCreateEnvironment(int count, const EnvironmentOption *options, void **environment) {
    for (int i = 0; i < count; i++)
        fprintf(stderr, "environment %d %d %s\n", options[i].tag, options[i].type, options[i].string);
    *environment = NULL;
    return 0;
}

int LiteRtCreateModelFromFile(void *environment, const char *path, void **model) {
    (void)environment;
    FILE *file = fopen(path, "r");
    if (!file) return 500;
    Fake *fake = calloc(1, sizeof *fake);
    fseek(file, 8, SEEK_SET);
    fake->text[fread(fake->text, 1, sizeof fake->text - 1, file)] = 0;
    fclose(file);
    int status = value_of(fake, "fail_load ");
    if (status) {
        free(fake);
        return status;
    }
    char sensor[256];
    const char *hot = strstr(fake->text, "hot ");
    if (hot && sscanf(hot, "hot %255s", sensor) == 1 && (file = fopen(sensor, "w"))) {
        fputs("75000\n", file);
        fclose(file);
    }
    fake->takes = value_of(fake, "takes ") ? value_of(fake, "takes ") : 64;
    fake->gives = value_of(fake, "gives ") ? value_of(fake, "gives ") : 64;
    fprintf(stderr, "load %s\n", strrchr(path, '/') + 1);
    *model = fake;
    return 0;
}

void LiteRtDestroyModel(void *model) {
    fprintf(stderr, "unload\n");
    free(model);
}

int LiteRtCreateOptions(void **options) {
    *options = calloc(1, sizeof(Opaque));
    return 0;
}

void LiteRtDestroyOptions(void *options) {
    Opaque *opaque = options;
    if (opaque->deleter) opaque->deleter(opaque->data);
    free(opaque);
}

int LiteRtSetOptionsHardwareAccelerators(void *options, int set) {
    (void)options;
    return set == 1 || set == 2 ? 0 : 5;
}

int LiteRtCreateOpaqueOptions(const char *name, void *data, void (*deleter)(void *), void **made) {
    if (strcmp(name, "xnnpack") != 0) return 1;
    fprintf(stderr, "options %s", (char *)data);
    Opaque *opaque = malloc(sizeof *opaque);
    *opaque = (Opaque){data, deleter};
    *made = opaque;
    return 0;
}

int LiteRtAddOpaqueOptions(void *options, void *opaque) {
    memcpy(options, opaque, sizeof(Opaque));
    free(opaque);
    return 0;
}

int LiteRtCreateCompiledModel(void *environment, void *model, void *options, void **compiled) {
    (void)environment, (void)options;
    *compiled = model;
    return value_of(model, "fail_compile ");
}

void LiteRtDestroyCompiledModel(void *compiled) { (void)compiled; }

int LiteRtGetModelSignature(void *model, size_t index, void **signature) {
    *signature = model;
    return index != 0;
}

int LiteRtGetNumSignatureInputs(void *signature, size_t *count) {
    int asked = value_of(signature, "inputs ");
    *count = asked ? (size_t)asked : 1;
    return 0;
}

int LiteRtGetNumSignatureOutputs(void *signature, size_t *count) {
    (void)signature;
    *count = 1;
    return 0;
}

int LiteRtGetSignatureInputTensorByIndex(void *signature, size_t index, void **tensor) {
    (void)index;
    *tensor = signature;
    return 0;
}

int LiteRtGetSignatureOutputTensorByIndex(void *signature, size_t index, void **tensor) {
    (void)index;
    *tensor = signature;
    return 0;
}

int LiteRtGetRankedTensorType(void *tensor, int type[18]) {
    memset(type, 0, 18 * sizeof *type);
    type[0] = value_of(tensor, "type ") ? value_of(tensor, "type ") : 1;
    return 0;
}

int LiteRtGetCompiledModelInputBufferRequirements(void *compiled, size_t signature, size_t index, void **needs) {
    (void)signature, (void)index;
    *needs = &((Fake *)compiled)->takes;
    return 0;
}

int LiteRtGetCompiledModelOutputBufferRequirements(void *compiled, size_t signature, size_t index, void **needs) {
    (void)signature, (void)index;
    *needs = &((Fake *)compiled)->gives;
    return value_of(compiled, "fail_buffer ");
}

int LiteRtCreateManagedTensorBufferFromRequirements(void *environment, const void *type, void *needs, void **buffer) {
    (void)environment, (void)type;
    Buffer *made = *buffer = calloc(1, sizeof *made);
    made->count = *(int *)needs;
    return 0;
}

void LiteRtDestroyTensorBuffer(void *buffer) { free(buffer); }

int LiteRtLockTensorBuffer(void *buffer, void **data, int mode) {
    *data = ((Buffer *)buffer)->data;
    ((Buffer *)buffer)->mode = mode;
    return mode != 0 && mode != 1;
}

int LiteRtUnlockTensorBuffer(void *buffer) {
    if (((Buffer *)buffer)->mode == 0) return 0;
    fprintf(stderr, "input");
    for (int i = 0; i < 64; i++) fprintf(stderr, " %.9g", ((Buffer *)buffer)->data[i]);
    fprintf(stderr, "\n");
    return 0;
}

int LiteRtGetTensorBufferPackedSize(void *buffer, size_t *size) {
    *size = (size_t)((Buffer *)buffer)->count * sizeof(float);
    return 0;
}

// Of an agent whose clock is planted.
void pass_ns(int64_t ns) __attribute__((weak));

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// By more than 3 % in three runs, of which a batch may consist on a busy machine.
static void raise_clock(const char *words) {
    static int runs;
    char name[256], khz[16];
    if (sscanf(words, "ramp %255s", name) != 1) return;
    runs = runs < 60 ? runs + 1 : 60;
    snprintf(khz, sizeof khz, "%d\n", 1000000 + runs * 30000);  // of one length, written at once: never half read
    int file = open(name, O_WRONLY);
    if (write(file, khz, strlen(khz)) < 0) abort();
    close(file);
}

static void heat(const char *words) {
    char name[256];
    if (sscanf(words, "heat %255s", name) != 1) return;
    int file = open(name, O_WRONLY);
    if (write(file, "75000\n", 6) < 0) abort();
    close(file);
}

static int64_t cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *compute(void *microseconds) {
    while (cpu_ns() < *(int *)microseconds * 1000LL) continue;
    return NULL;
}

static void have_computed(int microseconds) {
    pthread_t helper;
    if (pthread_create(&helper, NULL, compute, &microseconds) != 0) abort();
    pthread_join(helper, NULL);
}

static void flee(const char *words) {
    cpu_set_t to;
    CPU_ZERO(&to);
    CPU_SET(atoi(words + strlen("flee ")), &to);
    sched_setaffinity(0, sizeof to, &to);
}

int LiteRtRunCompiledModel(void *compiled, size_t signature, size_t inputs, void **in, size_t outputs, void **out) {
    (void)signature, (void)inputs, (void)outputs;
    for (int i = 0; i < 64; i++) ((Buffer *)out[0])->data[i] = value_of(compiled, "put ") * (i + 1) / 48.0f;
    for (int i = 0; i < 64 && strstr(((Fake *)compiled)->text, "add "); i++)
        ((Buffer *)out[0])->data[i] = ((Buffer *)in[0])->data[i] + value_of(compiled, "add ");
    Fake *fake = compiled;
    fake->runs++;
    if (strstr(fake->text, "helper ")) have_computed(value_of(fake, "helper "));
    if (strstr(fake->text, "called ")) fprintf(stderr, "run %d\n", value_of(fake, "called "));
    for (int i = 0; i < 64 && strstr(fake->text, "grow "); i++)
        ((Buffer *)out[0])->data[i] = ((Buffer *)in[0])->data[i] + (float)(value_of(fake, "grow ") * fake->runs);
    const char *stand = strstr(fake->text, "stand ");
    int64_t lasts = value_of(fake, "spin ") * 1000LL, until = now_ns() + lasts;
    if (stand && fake->runs == atoi(stand + strlen("stand "))) lasts = value_of(fake, "for ") * 1000LL;
    if (pass_ns) pass_ns(lasts);
    const char *text = ((Fake *)compiled)->text, *ramp = strstr(text, "ramp "), *away = strstr(text, "flee ");
    const char *warm = strstr(text, "heat ");
    if (ramp) raise_clock(ramp);
    if (warm) heat(warm);
    if (away) flee(away);
    if (strstr(text, "crash")) abort();
    if (strstr(((Fake *)compiled)->text, "chatter")) printf("not a protocol line\n"), fflush(stdout);
    sleep((unsigned)value_of(compiled, "sleep "));
    while (!pass_ns && now_ns() < until) continue;
    if (strstr(fake->text, "fail_at ") && fake->runs == value_of(fake, "fail_at ")) return 9;
    return value_of(compiled, "fail_run ");
}
