// The classic TensorFlow Lite C API: libtensorflowlite_c.so of a user's own build, or libLiteRtRuntimeCApi.so of
// ai-edge-litert 1.4.0. GPU and NNAPI delegates were never tried on a device.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "runtime.h"

// Options structs are returned by value and grow with every version. All are larger than two registers, so the callee
// writes to memory that the caller gives: give more than any version needs.
typedef struct {
    int32_t first;  // num_threads, for XNNPACK
    char rest[1020];
} DelegateOptions;

static struct {
    void *(*ModelCreateFromFile)(const char *);
    void (*ModelDelete)(void *);
    void *(*InterpreterOptionsCreate)(void);
    void (*InterpreterOptionsDelete)(void *);
    void (*InterpreterOptionsSetNumThreads)(void *, int32_t);
    void (*InterpreterOptionsAddDelegate)(void *, void *);
    void *(*InterpreterCreate)(void *, void *);
    void (*InterpreterDelete)(void *);
    int (*InterpreterAllocateTensors)(void *);
    int (*InterpreterInvoke)(void *);
    int32_t (*InterpreterGetInputTensorCount)(void *);
    void *(*InterpreterGetInputTensor)(void *, int32_t);
    const void *(*InterpreterGetOutputTensor)(const void *, int32_t);
    void *(*TensorData)(const void *);
    size_t (*TensorByteSize)(const void *);
    int (*TensorType)(const void *);
    const char *(*Version)(void);
} api;

#define SYMBOL(name) {(void **)&api.name, "TfLite" #name}
static const Symbol symbols[] = {
    SYMBOL(ModelCreateFromFile),
    SYMBOL(ModelDelete),
    SYMBOL(InterpreterOptionsCreate),
    SYMBOL(InterpreterOptionsDelete),
    SYMBOL(InterpreterOptionsSetNumThreads),
    SYMBOL(InterpreterOptionsAddDelegate),
    SYMBOL(InterpreterCreate),
    SYMBOL(InterpreterDelete),
    SYMBOL(InterpreterAllocateTensors),
    SYMBOL(InterpreterInvoke),
    SYMBOL(InterpreterGetInputTensorCount),
    SYMBOL(InterpreterGetInputTensor),
    SYMBOL(InterpreterGetOutputTensor),
    SYMBOL(TensorData),
    SYMBOL(TensorByteSize),
    SYMBOL(TensorType),
    SYMBOL(Version),
};

// The delegate, if any, by the names of its functions
static const struct {
    const char *name, *options, *create, *destroy;
} delegates[] = {
    {"xnnpack", "TfLiteXNNPackDelegateOptionsDefault", "TfLiteXNNPackDelegateCreate", "TfLiteXNNPackDelegateDelete"},
    {"gpu", "TfLiteGpuDelegateOptionsV2Default", "TfLiteGpuDelegateV2Create", "TfLiteGpuDelegateV2Delete"},
    {"nnapi", "TfLiteNnapiDelegateOptionsDefault", "TfLiteNnapiDelegateCreate", "TfLiteNnapiDelegateDelete"},
};

enum { ERROR = 1 };  // kTfLiteError

static DelegateOptions (*default_options)(void);
static void *(*create_delegate)(const DelegateOptions *);
static void (*destroy_delegate)(void *);
static int thread_count;
static bool with_xnnpack;

typedef struct {
    void *model, *delegate, *interpreter;
} Model;

static bool start(const char *library, const char *delegate, const char *delegate_library, int threads, bool fp16,
                  int *xnnpack, char *why) {
    if (fp16) {
        // where the flags lie in the delegate's options differs between versions, and none tells its own
        snprintf(why, WHY_SIZE, "the classic C API cannot be told to force float16: use a runtime of LiteRT 2");
        return false;
    }
    void *handle = open_library(library, symbols, sizeof symbols / sizeof *symbols, why);
    if (!handle) return false;
    void *delegates_handle = handle;
    if (delegate_library && strcmp(delegate, "gpu") == 0 && !(delegates_handle = open_other(delegate_library, why)))
        return false;
    if (strcmp(delegate, "nnapi") == 0 && !dlopen("libneuralnetworks.so", RTLD_NOW)) {
        // without it the delegate takes no operator, and the CPU would be timed under NNAPI's name
        snprintf(why, WHY_SIZE, "no NNAPI here (%.200s): it needs Android, and an agent built by the NDK", dlerror());
        return false;
    }
    thread_count = threads;
    // without a delegate of ours, some builds apply XNNPACK themselves and some do not, and none tells
    *xnnpack = -1;
    for (size_t i = 0; i < sizeof delegates / sizeof *delegates; i++) {
        if (strcmp(delegate, delegates[i].name) != 0) continue;
        *(void **)&default_options = dlsym(delegates_handle, delegates[i].options);
        *(void **)&create_delegate = dlsym(delegates_handle, delegates[i].create);
        *(void **)&destroy_delegate = dlsym(delegates_handle, delegates[i].destroy);
        if (!default_options || !create_delegate || !destroy_delegate) {
            snprintf(why, WHY_SIZE, "%s has no %s delegate (%s): use a build that has, or another delegate",
                     delegates_handle == handle ? library : delegate_library, delegate, delegates[i].create);
            return false;
        }
        with_xnnpack = i == 0;
        *xnnpack = with_xnnpack;
    }
    return true;
}

static void unload(void *loaded) {
    Model *m = loaded;
    if (m->interpreter) api.InterpreterDelete(m->interpreter);
    if (m->delegate) destroy_delegate(m->delegate);
    if (m->model) api.ModelDelete(m->model);
    free(m);
}

// NULL, or what failed.
static const char *prepare(Model *m, const char *path, uint64_t seed) {
    if (!(m->model = api.ModelCreateFromFile(path))) return "the file cannot be read or is no valid .tflite file";
    void *options = api.InterpreterOptionsCreate();
    api.InterpreterOptionsSetNumThreads(options, thread_count);
    if (create_delegate) {
        DelegateOptions settings = default_options();
        if (with_xnnpack) settings.first = thread_count;
        if ((m->delegate = create_delegate(&settings))) api.InterpreterOptionsAddDelegate(options, m->delegate);
    }
    bool ready = !create_delegate || m->delegate;
    if (ready) m->interpreter = api.InterpreterCreate(m->model, options);
    api.InterpreterOptionsDelete(options);
    if (!ready) return "the delegate cannot be made";
    if (!m->interpreter) return "no interpreter can be made of it, or the delegate refuses it";
    if (api.InterpreterAllocateTensors(m->interpreter)) return "its tensors cannot be allocated";
    for (int32_t i = 0; i < api.InterpreterGetInputTensorCount(m->interpreter); i++) {
        void *tensor = api.InterpreterGetInputTensor(m->interpreter, i), *data = tensor ? api.TensorData(tensor) : NULL;
        if (!data) return "an input has no memory";
        fill_random(data, api.TensorByteSize(tensor), api.TensorType(tensor), seed + (uint64_t)i);
    }
    return NULL;
}

static void *load(const char *path, uint64_t seed, char *why) {
    Model *m = must_realloc(NULL, 1, sizeof *m);
    memset(m, 0, sizeof *m);
    const char *failed = prepare(m, path, seed);
    if (!failed) return m;
    snprintf(why, WHY_SIZE, "TFLite: %s", failed);
    unload(m);
    return NULL;
}

static int run(void *loaded) { return api.InterpreterInvoke(((Model *)loaded)->interpreter); }

static bool first_tensor(void *loaded, bool input, size_t *bytes, int *element) {
    void *interpreter = ((Model *)loaded)->interpreter;
    if (input && api.InterpreterGetInputTensorCount(interpreter) < 1) return false;
    const void *tensor = input ? api.InterpreterGetInputTensor(interpreter, 0) : api.InterpreterGetOutputTensor(interpreter, 0);
    if (!tensor) return false;
    *bytes = api.TensorByteSize(tensor);
    *element = api.TensorType(tensor);
    return true;
}

static int hand_on(void *from, void *to) {
    const void *source = api.InterpreterGetOutputTensor(((Model *)from)->interpreter, 0);
    void *target = api.InterpreterGetInputTensor(((Model *)to)->interpreter, 0);
    // asked for anew: a run may have moved them
    const void *given = api.TensorData(source);
    void *taken = api.TensorData(target);
    if (!given || !taken) return ERROR;
    memcpy(taken, given, api.TensorByteSize(source));
    return 0;
}

static float *output(void *loaded, size_t *count) {
    const void *tensor = api.InterpreterGetOutputTensor(((Model *)loaded)->interpreter, 0);
    const void *data = tensor && api.TensorType(tensor) == ELEMENT_FLOAT32 ? api.TensorData(tensor) : NULL;
    if (!data) return NULL;
    size_t bytes = api.TensorByteSize(tensor);
    float *values = must_realloc(NULL, bytes ? bytes : 1, 1);
    memcpy(values, data, bytes);
    *count = bytes / sizeof *values;
    return values;
}

static const char *version(void) { return api.Version(); }

const Backend tflite_backend = {"tflite", "./libtensorflowlite_c.so", start, load, run, unload, first_tensor, hand_on, output, version};
