// LiteRT 2's C API (libLiteRt.so), as of ai-edge-litert 2.3.0. It changed between versions: the bundle pins it.
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "runtime.h"

// LiteRtRankedTensorType: an element type, then the layout, whose shape nobody here needs
typedef struct {
    int element;
    uint32_t layout[17];
} TensorType;

static struct {
    int (*CreateEnvironment)(int, const void *, void **);
    int (*CreateModelFromFile)(void *, const char *, void **);
    void (*DestroyModel)(void *);
    int (*CreateOptions)(void **);
    void (*DestroyOptions)(void *);
    int (*SetOptionsHardwareAccelerators)(void *, int);
    int (*CreateOpaqueOptions)(const char *, void *, void (*)(void *), void **);
    int (*AddOpaqueOptions)(void *, void *);
    int (*CreateCompiledModel)(void *, void *, void *, void **);
    void (*DestroyCompiledModel)(void *);
    int (*GetModelSignature)(void *, size_t, void **);
    int (*GetNumSignatureInputs)(void *, size_t *);
    int (*GetNumSignatureOutputs)(void *, size_t *);
    int (*GetSignatureInputTensorByIndex)(void *, size_t, void **);
    int (*GetSignatureOutputTensorByIndex)(void *, size_t, void **);
    int (*GetRankedTensorType)(void *, TensorType *);
    int (*GetCompiledModelInputBufferRequirements)(void *, size_t, size_t, void **);
    int (*GetCompiledModelOutputBufferRequirements)(void *, size_t, size_t, void **);
    int (*CreateManagedTensorBufferFromRequirements)(void *, const TensorType *, void *, void **);
    void (*DestroyTensorBuffer)(void *);
    int (*LockTensorBuffer)(void *, void **, int);
    int (*UnlockTensorBuffer)(void *);
    int (*GetTensorBufferPackedSize)(void *, size_t *);
    int (*RunCompiledModel)(void *, size_t, size_t, void **, size_t, void **);
} api;

#define SYMBOL(name) {(void **)&api.name, "LiteRt" #name}
static const Symbol symbols[] = {
    SYMBOL(CreateEnvironment),
    SYMBOL(CreateModelFromFile),
    SYMBOL(DestroyModel),
    SYMBOL(CreateOptions),
    SYMBOL(DestroyOptions),
    SYMBOL(SetOptionsHardwareAccelerators),
    SYMBOL(CreateOpaqueOptions),
    SYMBOL(AddOpaqueOptions),
    SYMBOL(CreateCompiledModel),
    SYMBOL(DestroyCompiledModel),
    SYMBOL(GetModelSignature),
    SYMBOL(GetNumSignatureInputs),
    SYMBOL(GetNumSignatureOutputs),
    SYMBOL(GetSignatureInputTensorByIndex),
    SYMBOL(GetSignatureOutputTensorByIndex),
    SYMBOL(GetRankedTensorType),
    SYMBOL(GetCompiledModelInputBufferRequirements),
    SYMBOL(GetCompiledModelOutputBufferRequirements),
    SYMBOL(CreateManagedTensorBufferFromRequirements),
    SYMBOL(DestroyTensorBuffer),
    SYMBOL(LockTensorBuffer),
    SYMBOL(UnlockTensorBuffer),
    SYMBOL(GetTensorBufferPackedSize),
    SYMBOL(RunCompiledModel),
};

enum { ACCELERATOR_CPU = 1, ACCELERATOR_GPU = 2, LOCK_READ = 0, LOCK_WRITE = 1, MOST_BUFFERS = 64 };
// XNNPACK's delegate, as its header numbers them: 1 and 2 are on where nobody asks, for quantised models
enum { XNNPACK_QS8 = 1, XNNPACK_QU8 = 2, XNNPACK_FORCE_FP16 = 4 };

static void *environment;
static bool on_gpu, own_kernels, in_fp16;
static int thread_count;

typedef struct {
    void *model, *options, *compiled;
    void *inputs[MOST_BUFFERS], *outputs[MOST_BUFFERS];
    size_t input_count, output_count;
    int input_element, output_element;  // of the first ones
} Model;

static const char *meaning(int status) {
    switch (status) {
        case 2: return "out of memory";
        case 3: return "runtime failure";
        case 5: return "unsupported";
        case 500: return "the file cannot be read";
        case 501: return "not a valid .tflite file";
        case 504: return "the model cannot be compiled";
        default: return "see the runtime's own words";
    }
}

// LiteRtEnvOption: a tag, and a LiteRtAny, which is a type and a union of 8 bytes
typedef struct {
    int tag;
    struct {
        int type;
        union {
            const char *string;
            int64_t integer;
        } value;
    } any;
} EnvironmentOption;

enum { RUNTIME_LIBRARY_DIR = 22, ANY_STRING = 8 };

// The GPU accelerator is a library of its own (libLiteRtClGlAccelerator.so), looked for where the environment says.
static int create_environment(void) {
    static char folder[PATH_MAX];
    if (!on_gpu || !getcwd(folder, sizeof folder)) return api.CreateEnvironment(0, NULL, &environment);
    EnvironmentOption option = {RUNTIME_LIBRARY_DIR, {ANY_STRING, {.string = folder}}};
    return api.CreateEnvironment(1, &option, &environment);
}

static bool start(const char *library, const char *delegate, const char *delegate_library, int threads, bool fp16,
                  int *xnnpack, char *why) {
    (void)delegate_library;
    if (strcmp(delegate, "nnapi") == 0) {
        snprintf(why, WHY_SIZE, "LiteRT 2 has no NNAPI delegate: use backend tflite");
        return false;
    }
    if (!open_library(library, symbols, sizeof symbols / sizeof *symbols, why)) return false;
    on_gpu = strcmp(delegate, "gpu") == 0;
    int status = create_environment();
    if (status) {
        snprintf(why, WHY_SIZE, "LiteRtCreateEnvironment: status %d (%s)", status, meaning(status));
        return false;
    }
    own_kernels = strcmp(delegate, "none") == 0;
    thread_count = threads;
    in_fp16 = fp16;
    *xnnpack = !on_gpu && !own_kernels;
    return true;
}

static void unload(void *loaded) {
    Model *m = loaded;
    for (size_t i = 0; i < m->input_count; i++)
        if (m->inputs[i]) api.DestroyTensorBuffer(m->inputs[i]);
    for (size_t i = 0; i < m->output_count; i++)
        if (m->outputs[i]) api.DestroyTensorBuffer(m->outputs[i]);
    if (m->compiled) api.DestroyCompiledModel(m->compiled);
    if (m->options) api.DestroyOptions(m->options);
    if (m->model) api.DestroyModel(m->model);
    free(m);
}

static int cpu_options(void *options) {
    char *toml = must_realloc(NULL, 96, 1);  // the options own it
    const char *kernels = own_kernels ? "kernel_mode = \"builtin\"\n" : "";
    int length = snprintf(toml, 80, "%snum_threads = %d\n", kernels, thread_count);
    if (in_fp16) snprintf(toml + length, 16, "flags = %d\n", XNNPACK_QS8 | XNNPACK_QU8 | XNNPACK_FORCE_FP16);
    void *opaque = NULL;
    int status = api.CreateOpaqueOptions("xnnpack", toml, free, &opaque);
    return status ? status : api.AddOpaqueOptions(options, opaque);
}

static int make_buffer(Model *m, void *signature, size_t i, bool input, uint64_t seed) {
    TensorType type = {0};
    void *tensor = NULL, *needs = NULL, **buffer = input ? &m->inputs[i] : &m->outputs[i], *data = NULL;
    size_t bytes = 0;
    int status = (input ? api.GetSignatureInputTensorByIndex : api.GetSignatureOutputTensorByIndex)(signature, i, &tensor);
    if (!status) status = api.GetRankedTensorType(tensor, &type);
    if (i == 0) *(input ? &m->input_element : &m->output_element) = type.element;
    if (!status)
        status = (input ? api.GetCompiledModelInputBufferRequirements
                        : api.GetCompiledModelOutputBufferRequirements)(m->compiled, 0, i, &needs);
    if (!status) status = api.CreateManagedTensorBufferFromRequirements(environment, &type, needs, buffer);
    if (status || !input) return status;
    status = api.GetTensorBufferPackedSize(*buffer, &bytes);
    if (!status) status = api.LockTensorBuffer(*buffer, &data, LOCK_WRITE);
    if (status) return status;
    fill_random(data, bytes, type.element, seed + i);
    return api.UnlockTensorBuffer(*buffer);
}

static void *load(const char *path, uint64_t seed, char *why) {
    Model *m = must_realloc(NULL, 1, sizeof *m);
    memset(m, 0, sizeof *m);
    void *signature = NULL;
    const char *step = "loading";
    int status = api.CreateModelFromFile(environment, path, &m->model);
    if (!status) {
        step = "options";
        status = api.CreateOptions(&m->options);
        if (!status)
            status = api.SetOptionsHardwareAccelerators(m->options, on_gpu ? ACCELERATOR_GPU : ACCELERATOR_CPU);
        if (!status && !on_gpu) status = cpu_options(m->options);
    }
    if (!status) {
        step = "compiling";
        status = api.CreateCompiledModel(environment, m->model, m->options, &m->compiled);
    }
    if (!status) {
        step = "signature";
        status = api.GetModelSignature(m->model, 0, &signature);
        if (!status) status = api.GetNumSignatureInputs(signature, &m->input_count);
        if (!status) status = api.GetNumSignatureOutputs(signature, &m->output_count);
        if (!status && (m->input_count > MOST_BUFFERS || m->output_count > MOST_BUFFERS)) {
            m->input_count = m->output_count = 0;
            status = 5;
        }
    }
    if (!status) step = "buffers";
    for (size_t i = 0; !status && i < m->input_count; i++) status = make_buffer(m, signature, i, true, seed);
    for (size_t i = 0; !status && i < m->output_count; i++) status = make_buffer(m, signature, i, false, seed);
    if (!status) return m;
    snprintf(why, WHY_SIZE, "LiteRT, %s: status %d (%s)", step, status, meaning(status));
    unload(m);
    return NULL;
}

static int run(void *loaded) {
    Model *m = loaded;
    return api.RunCompiledModel(m->compiled, 0, m->input_count, m->inputs, m->output_count, m->outputs);
}

static bool first_tensor(void *loaded, bool input, size_t *bytes, int *element) {
    Model *m = loaded;
    *element = input ? m->input_element : m->output_element;
    return (input ? m->input_count : m->output_count) > 0 &&
           !api.GetTensorBufferPackedSize(input ? m->inputs[0] : m->outputs[0], bytes);
}

static int hand_on(void *from, void *to) {
    void *source = ((Model *)from)->outputs[0], *target = ((Model *)to)->inputs[0], *given = NULL, *taken = NULL;
    size_t bytes = 0;
    int status = api.GetTensorBufferPackedSize(source, &bytes);
    if (!status) status = api.LockTensorBuffer(source, &given, LOCK_READ);
    if (status) return status;
    status = api.LockTensorBuffer(target, &taken, LOCK_WRITE);
    if (!status) {
        memcpy(taken, given, bytes);
        status = api.UnlockTensorBuffer(target);
    }
    int unlocked = api.UnlockTensorBuffer(source);
    return status ? status : unlocked;
}

static float *output(void *loaded, size_t *count) {
    Model *m = loaded;
    void *data = NULL;
    size_t bytes = 0;
    if (m->output_count == 0 || m->output_element != ELEMENT_FLOAT32 ||
        api.GetTensorBufferPackedSize(m->outputs[0], &bytes) || api.LockTensorBuffer(m->outputs[0], &data, LOCK_READ))
        return NULL;
    float *values = must_realloc(NULL, bytes ? bytes : 1, 1);
    memcpy(values, data, bytes);
    *count = bytes / sizeof *values;
    api.UnlockTensorBuffer(m->outputs[0]);
    return values;
}

// The library does not tell its version; the bundle's bundle.json does.
static const char *version(void) { return NULL; }

const Backend litert_backend = {"litert", "./libLiteRt.so", start, load, run, unload, first_tensor, hand_on, output, version};
