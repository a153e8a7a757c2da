// What runs the models: one table of functions a C API, found in a library that is loaded when the agent starts.
#ifndef OFA_RUNTIME_H
#define OFA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WHY_SIZE = 512 };

typedef struct {
    const char *name;             // as manifests call it
    const char *default_library;  // expected in the folder the agent is started in
    // Loads the library; false and the reason in `why`. xnnpack: 1 on, 0 off, -1 not known.
    // delegate_library: where the delegate is, if it is not in the library; NULL: nowhere else.
    // fp16: XNNPACK is to compute in float16; whether it does is seen from what comes out.
    bool (*start)(const char *library, const char *delegate, const char *delegate_library, int threads, bool fp16,
                  int *xnnpack, char *why);
    // A model with its inputs set, ready to run; NULL and the reason in `why`.
    void *(*load)(const char *path, uint64_t seed, char *why);
    // One run; 0, or the runtime's own error number.
    int (*run)(void *model);
    void (*unload)(void *model);
    // Bytes and element type of a model's first input, or of its first output; false where it has none.
    bool (*first_tensor)(void *model, bool input, size_t *bytes, int *element);
    // Copies the first output of a model that was run into the first input of another, which is as large; 0, or the
    // runtime's own error number.
    int (*hand_on)(void *from, void *to);
    // A copy of the first output of a model that was run, to free; NULL where it is not of float32.
    float *(*output)(void *model, size_t *count);
    // What the library says its version is, or NULL.
    const char *(*version)(void);
} Backend;

extern const Backend litert_backend, tflite_backend;

// Element types, as TFLite and LiteRT number them. Of others the inputs are zeros.
enum { ELEMENT_FLOAT32 = 1, ELEMENT_UINT8 = 3, ELEMENT_INT8 = 9 };

// Random values: floats about normal with mean 0 and variance 1, bytes uniform. A seed gives the same on any machine.
void fill_random(void *data, size_t bytes, int element, uint64_t seed);

// Whether a file begins as a .tflite file does; the reason in `why` if not. Runtimes do not look: given anything else,
// some crash.
bool is_model_file(const char *path, char *why);

// One function of a library, to be looked up by name.
typedef struct {
    void **function;
    const char *name;
} Symbol;

// Opens a library, such as one that another needs; NULL and the reason in `why`.
void *open_other(const char *path, char *why);
// Opens a library and finds all its functions; NULL and the reason in `why`.
void *open_library(const char *path, const Symbol *symbols, size_t count, char *why);

#endif
