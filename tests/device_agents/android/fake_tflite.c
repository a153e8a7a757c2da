// A stand-in for the classic C API whose "models" add: after the 8 bytes that begin any .tflite file, "add N" puts the
// input, and N, into the output, or "refuse" fails. Inputs and outputs are 16 floats.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char text[64];
    float input[16], output[16];
} Fake;

typedef float Tensor[16];

void *TfLiteModelCreateFromFile(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    Fake *fake = calloc(1, sizeof *fake);
    fseek(file, 8, SEEK_SET);
    fake->text[fread(fake->text, 1, sizeof fake->text - 1, file)] = 0;
    fclose(file);
    return fake;
}

void TfLiteModelDelete(void *model) { free(model); }
void *TfLiteInterpreterOptionsCreate(void) { return malloc(1); }
void TfLiteInterpreterOptionsDelete(void *options) { free(options); }
void TfLiteInterpreterOptionsSetNumThreads(void *options, int32_t threads) { (void)options, (void)threads; }
void TfLiteInterpreterOptionsAddDelegate(void *options, void *delegate) { (void)options, (void)delegate; }

void *TfLiteInterpreterCreate(void *model, void *options) {
    (void)options;
    return model;
}

void TfLiteInterpreterDelete(void *interpreter) { (void)interpreter; }
int TfLiteInterpreterAllocateTensors(void *interpreter) { return interpreter == NULL; }

int TfLiteInterpreterInvoke(void *interpreter) {
    Fake *fake = interpreter;
    if (strstr(fake->text, "refuse")) return 1;
    for (int i = 0; i < 16; i++) fake->output[i] = fake->input[i] + (float)atoi(fake->text + strlen("add "));
    return 0;
}

int32_t TfLiteInterpreterGetInputTensorCount(void *interpreter) { return interpreter != NULL; }

void *TfLiteInterpreterGetInputTensor(void *interpreter, int32_t index) {
    return index ? NULL : (Tensor *)((Fake *)interpreter)->input;
}

const void *TfLiteInterpreterGetOutputTensor(const void *interpreter, int32_t index) {
    return index ? NULL : (const Tensor *)((const Fake *)interpreter)->output;
}

void *TfLiteTensorData(const void *tensor) { return (void *)tensor; }
size_t TfLiteTensorByteSize(const void *tensor) { return tensor ? sizeof(Tensor) : 0; }
int TfLiteTensorType(const void *tensor) { return tensor != NULL; }
const char *TfLiteVersion(void) { return "0.0"; }
