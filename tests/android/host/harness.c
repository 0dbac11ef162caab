// Runs a model through the C API that Android's libtensorflowlite_jni.so exports.
//
//     harness LIBRARY MODEL INPUTS OUTPUTS [DELEGATE CREATE]
//
// Inputs are tensors one after the other, outputs the same. CREATE is the function of the library DELEGATE that makes a
// delegate with its default options.

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// bionic keeps its stack guard in the thread's memory at tpidr_el0 + 0x28: room for it in glibc's.
static __thread volatile char guard[512];

static void *library;

static void *function(const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no %s\n", name);
        exit(1);
    }
    return found;
}

static char *content(const char *path, long *size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *bytes = aligned_alloc(64, (size_t)(*size + 63) / 64 * 64);
    if (fread(bytes, 1, (size_t)*size, file) != (size_t)*size)
        exit(1);
    fclose(file);
    return bytes;
}

int main(int count, char **arguments) {
    guard[0] = 1;
    if (count != 5 && count != 7)
        return 2;
    library = dlopen(arguments[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const char *(*version)(void) = function("TfLiteVersion");
    void *(*new_model)(const void *, size_t) = function("TfLiteModelCreate");
    void *(*new_options)(void) = function("TfLiteInterpreterOptionsCreate");
    void *(*new_interpreter)(void *, void *) = function("TfLiteInterpreterCreate");
    int (*allocate)(void *) = function("TfLiteInterpreterAllocateTensors");
    void *(*input_of)(void *, int) = function("TfLiteInterpreterGetInputTensor");
    void *(*output_of)(void *, int) = function("TfLiteInterpreterGetOutputTensor");
    size_t (*bytes_of)(void *) = function("TfLiteTensorByteSize");
    int (*invoke)(void *) = function("TfLiteInterpreterInvoke");
    int (*copy_in)(void *, const void *, size_t) = function("TfLiteTensorCopyFromBuffer");
    int (*copy_out)(void *, void *, size_t) = function("TfLiteTensorCopyToBuffer");

    long model_size, input_size;
    const char *model = content(arguments[2], &model_size), *inputs = content(arguments[3], &input_size);
    void *interpreter = new_interpreter(new_model(model, (size_t)model_size), new_options());
    if (!interpreter)
        return 1;
    if (count == 7) {
        void *(*create)(const void *) = dlsym(dlopen(arguments[5], RTLD_NOW), arguments[6]);
        int (*modify)(void *, void *) = function("TfLiteInterpreterModifyGraphWithDelegate");
        printf("delegate %s\n", modify(interpreter, create(NULL)) ? "refuses" : "applied");
    }
    if (allocate(interpreter))
        return 1;
    void *input = input_of(interpreter, 0), *output = output_of(interpreter, 0);
    const size_t step = bytes_of(input), answer = bytes_of(output);
    char *scores = malloc(answer);
    FILE *file = fopen(arguments[4], "wb");
    for (long start = 0; start < input_size; start += (long)step) {
        if (copy_in(input, inputs + start, step) || invoke(interpreter) || copy_out(output, scores, answer))
            return 1;
        fwrite(scores, 1, answer, file);
    }
    fclose(file);
    printf("TensorFlow Lite %s, pointers of %zu bits\n", version(), 8 * sizeof(void *));
    return 0;
}
