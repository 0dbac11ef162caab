// A stand-in for Android's libneuralnetworks.so (NNAPI) that executes: one "accelerator" with the operations that image
// classifiers are made of, for float32 and 8-bit tensors.
//
// It checks that TensorFlow Lite's NNAPI delegate hands over the right graph; it says nothing about any vendor's driver.
// Every tensor is computed in float; one of 8 bits is then rounded to the values that its type can hold.

#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { OK = 0, BAD_DATA = 4, ACCELERATOR = 4, FEATURE_LEVEL = 31 };

enum {
    ADD = 0,
    AVERAGE_POOL = 1,
    CONV = 3,
    DEPTHWISE_CONV = 4,
    DEQUANTIZE = 6,
    FULLY_CONNECTED = 9,
    LOGISTIC = 14,
    MUL = 18,
    RESHAPE = 22,
    SOFTMAX = 25,
    MEAN = 31,
    QUANTIZE = 72,
};

enum {
    SCALAR_FLOAT = 0,
    SCALAR_INT = 1,
    FLOATS = 3,
    INTS = 4,
    BYTES = 5,  // unsigned, with a zero point
    BOOL = 6,
    SYMMETRIC_CHANNELS = 11,  // signed, a scale for each channel
    SYMMETRIC = 13,
    SIGNED_BYTES = 14,
};

#define MOST_RANK 6
#define MOST_OPERANDS 4096
#define MOST_OPERATIONS 1024
#define MOST_ENDS 16

typedef struct {
    int32_t type;
    uint32_t rank;
    const uint32_t *dims;
    float scale;
    int32_t zero_point;
} OperandType;

typedef struct {
    uint32_t dimension;
    uint32_t count;
    const float *scales;
} ChannelScales;

typedef struct {
    int32_t type;
    uint32_t rank;
    uint32_t dims[MOST_RANK];
    float scale;
    int32_t zero_point;
    float *channel_scales;
    uint32_t channel_dimension;
    const void *data;  // constants, and inputs while they are executed
    float *values;     // the same as numbers
} Operand;

typedef struct {
    int32_t type;
    uint32_t inputs[MOST_ENDS];
    uint32_t input_count;
    uint32_t output;
} Operation;

typedef struct {
    Operand operands[MOST_OPERANDS];
    uint32_t operand_count;
    Operation operations[MOST_OPERATIONS];
    uint32_t operation_count;
    uint32_t inputs[MOST_ENDS], outputs[MOST_ENDS];
    uint32_t input_count, output_count;
} Model;

typedef struct {
    Model *model;
} Compilation;

typedef struct {
    Model *model;
    const void *inputs[MOST_ENDS];
    void *outputs[MOST_ENDS];
} Execution;

typedef struct {
    char *data;
    size_t size;
} Memory;

// ---- Tensors as numbers

static size_t count(const Operand *operand) {
    size_t product = 1;
    for (uint32_t i = 0; i < operand->rank; i++)
        product *= operand->dims[i];
    return product;
}

static float channel_scale(const Operand *operand, size_t index) {
    if (!operand->channel_scales)
        return operand->scale;
    size_t inner = 1;
    for (uint32_t i = operand->channel_dimension + 1; i < operand->rank; i++)
        inner *= operand->dims[i];
    return operand->channel_scales[index / inner % operand->dims[operand->channel_dimension]];
}

// The operand's values from its bytes.
static void decode(Operand *operand) {
    const size_t n = count(operand);
    if (!operand->values)
        operand->values = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        switch (operand->type) {
            case FLOATS:
                operand->values[i] = ((const float *)operand->data)[i];
                break;
            case INTS:
                operand->values[i] = ((const int32_t *)operand->data)[i];
                break;
            case BYTES:
                operand->values[i] = (((const uint8_t *)operand->data)[i] - operand->zero_point) * operand->scale;
                break;
            default:
                operand->values[i] =
                    (((const int8_t *)operand->data)[i] - operand->zero_point) * channel_scale(operand, i);
        }
    }
}

static int quantized(const Operand *operand, float value) {
    const int low = operand->type == BYTES ? 0 : -128;
    const float number = roundf(value / operand->scale) + operand->zero_point;
    return (int)fminf(fmaxf(number, low), low + 255);
}

// Rounds the values to what the operand's type can hold.
static void settle(Operand *operand) {
    if (operand->type == FLOATS)
        return;
    const size_t n = count(operand);
    for (size_t i = 0; i < n; i++)
        operand->values[i] = (quantized(operand, operand->values[i]) - operand->zero_point) * operand->scale;
}

// The operand's bytes from its values.
static void encode(const Operand *operand, void *out) {
    const size_t n = count(operand);
    if (operand->type == FLOATS) {
        memcpy(out, operand->values, n * sizeof(float));
        return;
    }
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)quantized(operand, operand->values[i]);
}

// ---- Operations

static Operand *argument(Model *model, const Operation *operation, int number) {
    return &model->operands[operation->inputs[number]];
}

static int integer(Model *model, const Operation *operation, int number) {
    return *(const int32_t *)argument(model, operation, number)->data;
}

static float activated(float value, int activation) {
    switch (activation) {
        case 1:
            return fmaxf(value, 0);
        case 2:
            return fminf(fmaxf(value, -1), 1);
        case 3:
            return fminf(fmaxf(value, 0), 6);
        default:
            return value;
    }
}

// A bias of 8-bit operations counts in products of the input's and the weights' scales.
static float bias(Model *model, const Operation *operation, int channel) {
    const Operand *operand = argument(model, operation, 2);
    if (!operand->data)
        return 0;
    if (operand->type == FLOATS)
        return ((const float *)operand->data)[channel];
    const Operand *weights = argument(model, operation, 1);
    const float scale = weights->channel_scales ? weights->channel_scales[channel] : weights->scale;
    return ((const int32_t *)operand->data)[channel] * argument(model, operation, 0)->scale * scale;
}

typedef struct {
    int top, left, stride_y, stride_x;
    int next;  // the number of the next argument
} Window;

// How a window moves: either a padding scheme and the strides, or four paddings and the strides.
static Window window(Model *model, const Operation *operation, int first, bool scheme, int height, int width,
                     const Operand *from, const Operand *to) {
    Window found;
    if (!scheme) {
        found.left = integer(model, operation, first);
        found.top = integer(model, operation, first + 2);
        found.stride_x = integer(model, operation, first + 4);
        found.stride_y = integer(model, operation, first + 5);
        found.next = first + 6;
        return found;
    }
    const bool same = integer(model, operation, first) == 1;
    found.stride_x = integer(model, operation, first + 1);
    found.stride_y = integer(model, operation, first + 2);
    found.next = first + 3;
    const int more_y = ((int)to->dims[1] - 1) * found.stride_y + height - (int)from->dims[1];
    const int more_x = ((int)to->dims[2] - 1) * found.stride_x + width - (int)from->dims[2];
    found.top = same && more_y > 0 ? more_y / 2 : 0;
    found.left = same && more_x > 0 ? more_x / 2 : 0;
    return found;
}

static void convolve(Model *model, const Operation *operation, const Operand *x, Operand *y) {
    const bool depthwise = operation->type == DEPTHWISE_CONV;
    const Operand *weights = argument(model, operation, 1);
    const int height = weights->dims[1], width = weights->dims[2];
    const int channels = x->dims[3], results = y->dims[3];
    const uint32_t shortest = 7 + depthwise;
    const bool scheme = operation->input_count == shortest ||
                        (operation->input_count > shortest && argument(model, operation, shortest)->type == BOOL);
    const Window move = window(model, operation, 3, scheme, height, width, x, y);
    const int multiplier = depthwise ? integer(model, operation, move.next) : 1;
    const int activation = integer(model, operation, move.next + depthwise);
    float *result = y->values;
    for (uint32_t row = 0; row < y->dims[1]; row++) {
        for (uint32_t column = 0; column < y->dims[2]; column++) {
            for (int channel = 0; channel < results; channel++) {
                float sum = bias(model, operation, channel);
                for (int v = 0; v < height; v++) {
                    const int from_y = (int)row * move.stride_y - move.top + v;
                    if (from_y < 0 || from_y >= (int)x->dims[1])
                        continue;
                    for (int u = 0; u < width; u++) {
                        const int from_x = (int)column * move.stride_x - move.left + u;
                        if (from_x < 0 || from_x >= (int)x->dims[2])
                            continue;
                        const float *pixel = x->values + (from_y * x->dims[2] + from_x) * channels;
                        if (depthwise) {
                            sum += pixel[channel / multiplier] * weights->values[(v * width + u) * results + channel];
                            continue;
                        }
                        const float *weight = weights->values + ((channel * height + v) * width + u) * channels;
                        for (int k = 0; k < channels; k++)
                            sum += pixel[k] * weight[k];
                    }
                }
                *result++ = activated(sum, activation);
            }
        }
    }
}

static void average(Model *model, const Operation *operation, const Operand *x, Operand *y) {
    const bool scheme = operation->input_count == 7 || argument(model, operation, 7)->type == BOOL;
    const int sizes = scheme ? 4 : 7;
    const int width = integer(model, operation, sizes), height = integer(model, operation, sizes + 1);
    const Window move = window(model, operation, 1, scheme, height, width, x, y);
    const int activation = integer(model, operation, sizes + 2);
    const int channels = x->dims[3];
    float *result = y->values;
    for (uint32_t row = 0; row < y->dims[1]; row++) {
        for (uint32_t column = 0; column < y->dims[2]; column++) {
            for (int channel = 0; channel < channels; channel++) {
                float sum = 0;
                int pixels = 0;
                for (int v = 0; v < height; v++) {
                    for (int u = 0; u < width; u++) {
                        const int from_y = (int)row * move.stride_y - move.top + v;
                        const int from_x = (int)column * move.stride_x - move.left + u;
                        if (from_y < 0 || from_y >= (int)x->dims[1] || from_x < 0 || from_x >= (int)x->dims[2])
                            continue;
                        sum += x->values[(from_y * x->dims[2] + from_x) * channels + channel];
                        pixels++;
                    }
                }
                *result++ = activated(sum / pixels, activation);
            }
        }
    }
}

static void connect(Model *model, const Operation *operation, const Operand *x, Operand *y) {
    const Operand *weights = argument(model, operation, 1);
    const int activation = integer(model, operation, 3);
    const uint32_t width = weights->dims[1];
    for (uint32_t row = 0; row < weights->dims[0]; row++) {
        float sum = bias(model, operation, row);
        for (uint32_t k = 0; k < width; k++)
            sum += x->values[k] * weights->values[row * width + k];
        y->values[row] = activated(sum, activation);
    }
}

// Over height and width.
static void mean(const Operand *x, Operand *y) {
    const int area = x->dims[1] * x->dims[2], channels = x->dims[3];
    for (int channel = 0; channel < channels; channel++) {
        float sum = 0;
        for (int k = 0; k < area; k++)
            sum += x->values[k * channels + channel];
        y->values[channel] = sum / area;
    }
}

static void softmax(Model *model, const Operation *operation, const Operand *x, Operand *y) {
    const float beta = *(const float *)argument(model, operation, 1)->data;
    const size_t n = count(y);
    float most = x->values[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = fmaxf(most, x->values[i]);
    for (size_t i = 0; i < n; i++)
        sum += y->values[i] = expf(beta * (x->values[i] - most));
    for (size_t i = 0; i < n; i++)
        y->values[i] /= sum;
}

// Where in a tensor that is broadcast to the shape of `y` the value for the element `index` of `y` lies.
static size_t broadcast(const Operand *x, const Operand *y, size_t index) {
    size_t found = 0, step = 1;
    for (int k = 1; k <= (int)y->rank; k++) {
        const size_t size = y->dims[y->rank - k];
        const size_t own = k <= (int)x->rank ? x->dims[x->rank - k] : 1;
        if (own > 1)
            found += index % size * step;
        index /= size;
        step *= own;
    }
    return found;
}

static void combine(Model *model, const Operation *operation, const Operand *x, Operand *y) {
    const Operand *other = argument(model, operation, 1);
    const int activation = integer(model, operation, 2);
    const size_t n = count(y);
    for (size_t i = 0; i < n; i++) {
        const float a = x->values[broadcast(x, y, i)], b = other->values[broadcast(other, y, i)];
        y->values[i] = activated(operation->type == ADD ? a + b : a * b, activation);
    }
}

static int execute(Model *model, const Operation *operation) {
    const Operand *x = argument(model, operation, 0);
    Operand *y = &model->operands[operation->output];
    if (!y->values)
        y->values = malloc(count(y) * sizeof(float));
    switch (operation->type) {
        case CONV:
        case DEPTHWISE_CONV:
            convolve(model, operation, x, y);
            break;
        case AVERAGE_POOL:
            average(model, operation, x, y);
            break;
        case FULLY_CONNECTED:
            connect(model, operation, x, y);
            break;
        case MEAN:
            mean(x, y);
            break;
        case SOFTMAX:
            softmax(model, operation, x, y);
            break;
        case ADD:
        case MUL:
            combine(model, operation, x, y);
            break;
        case LOGISTIC:
            for (size_t i = 0; i < count(y); i++)
                y->values[i] = 1 / (1 + expf(-x->values[i]));
            break;
        case RESHAPE:
        case QUANTIZE:
        case DEQUANTIZE:
            memcpy(y->values, x->values, count(y) * sizeof(float));
            break;
        default:
            return BAD_DATA;
    }
    settle(y);
    return OK;
}

static bool known(const Model *model, const Operation *operation) {
    const Operand *x = &model->operands[operation->inputs[0]], *y = &model->operands[operation->output];
    for (uint32_t i = 0; i <= operation->input_count; i++) {
        switch (i < operation->input_count ? model->operands[operation->inputs[i]].type : y->type) {
            case SCALAR_FLOAT:
            case SCALAR_INT:
            case FLOATS:
            case INTS:
            case BYTES:
            case BOOL:
            case SYMMETRIC_CHANNELS:
            case SYMMETRIC:
            case SIGNED_BYTES:
                break;
            default:
                return false;
        }
    }
    switch (operation->type) {
        case ADD:
        case AVERAGE_POOL:
        case CONV:
        case DEPTHWISE_CONV:
        case DEQUANTIZE:
        case FULLY_CONNECTED:
        case LOGISTIC:
        case MUL:
        case RESHAPE:
        case SOFTMAX:
        case QUANTIZE:
            return true;
        case MEAN:
            return x->rank == 4 && count(y) == x->dims[3];
        default:
            return false;
    }
}

// ---- Devices

static int accelerator;

int ANeuralNetworks_getDeviceCount(uint32_t *devices) {
    *devices = 1;
    return OK;
}

int ANeuralNetworks_getDevice(uint32_t number, void **device) {
    *device = &accelerator;
    return OK;
}

int64_t ANeuralNetworks_getRuntimeFeatureLevel(void) { return FEATURE_LEVEL; }

int ANeuralNetworksDevice_getName(const void *device, const char **name) {
    *name = "stand-in";
    return OK;
}

int ANeuralNetworksDevice_getType(const void *device, int32_t *type) {
    *type = ACCELERATOR;
    return OK;
}

int ANeuralNetworksDevice_getVersion(const void *device, const char **version) {
    *version = "1";
    return OK;
}

int ANeuralNetworksDevice_getFeatureLevel(const void *device, int64_t *level) {
    *level = FEATURE_LEVEL;
    return OK;
}

// ---- Memory

int ANeuralNetworksMemory_createFromFd(size_t size, int protection, int file, size_t offset, Memory **memory) {
    *memory = malloc(sizeof **memory);
    (*memory)->size = size;
    (*memory)->data = mmap(NULL, size, protection, MAP_SHARED, file, (off_t)offset);
    return (*memory)->data == MAP_FAILED ? BAD_DATA : OK;
}

void ANeuralNetworksMemory_free(Memory *memory) {
    if (memory)
        munmap(memory->data, memory->size);
    free(memory);
}

// ---- Models

int ANeuralNetworksModel_create(Model **model) {
    *model = calloc(1, sizeof **model);
    return OK;
}

void ANeuralNetworksModel_free(Model *model) {
    for (uint32_t i = 0; model && i < model->operand_count; i++) {
        free(model->operands[i].values);
        free(model->operands[i].channel_scales);
    }
    free(model);
}

int ANeuralNetworksModel_addOperand(Model *model, const OperandType *type) {
    if (model->operand_count == MOST_OPERANDS || type->rank > MOST_RANK)
        return BAD_DATA;
    Operand *operand = &model->operands[model->operand_count++];
    operand->type = type->type;
    operand->rank = type->rank;
    operand->scale = type->scale;
    operand->zero_point = type->zero_point;
    for (uint32_t i = 0; i < type->rank; i++)
        operand->dims[i] = type->dims[i];
    return OK;
}

int ANeuralNetworksModel_setOperandSymmPerChannelQuantParams(Model *model, int32_t index, const ChannelScales *said) {
    Operand *operand = &model->operands[index];
    operand->channel_dimension = said->dimension;
    operand->channel_scales = malloc(said->count * sizeof(float));
    memcpy(operand->channel_scales, said->scales, said->count * sizeof(float));
    return OK;
}

int ANeuralNetworksModel_setOperandValue(Model *model, int32_t index, const void *data, size_t size) {
    Operand *operand = &model->operands[index];
    if (!data)
        return OK;
    void *copy = malloc(size);  // lives as long as the process
    memcpy(copy, data, size);
    operand->data = copy;
    if (operand->rank && operand->type != INTS)
        decode(operand);
    return OK;
}

int ANeuralNetworksModel_setOperandValueFromMemory(Model *model, int32_t index, const Memory *memory, size_t offset,
                                                   size_t size) {
    return ANeuralNetworksModel_setOperandValue(model, index, memory->data + offset, size);
}

int ANeuralNetworksModel_addOperation(Model *model, int32_t type, uint32_t input_count, const uint32_t *inputs,
                                      uint32_t output_count, const uint32_t *outputs) {
    if (model->operation_count == MOST_OPERATIONS || input_count > MOST_ENDS || output_count != 1)
        return BAD_DATA;
    Operation *operation = &model->operations[model->operation_count++];
    operation->type = type;
    operation->input_count = input_count;
    operation->output = outputs[0];
    memcpy(operation->inputs, inputs, input_count * sizeof *inputs);
    return OK;
}

int ANeuralNetworksModel_identifyInputsAndOutputs(Model *model, uint32_t input_count, const uint32_t *inputs,
                                                  uint32_t output_count, const uint32_t *outputs) {
    if (input_count > MOST_ENDS || output_count > MOST_ENDS)
        return BAD_DATA;
    model->input_count = input_count;
    model->output_count = output_count;
    memcpy(model->inputs, inputs, input_count * sizeof *inputs);
    memcpy(model->outputs, outputs, output_count * sizeof *outputs);
    return OK;
}

int ANeuralNetworksModel_relaxComputationFloat32toFloat16(Model *model, bool allow) { return OK; }

int ANeuralNetworksModel_finish(Model *model) { return OK; }

int ANeuralNetworksModel_getSupportedOperationsForDevices(const Model *model, const void *const *devices,
                                                          uint32_t device_count, bool *supported) {
    for (uint32_t i = 0; i < model->operation_count; i++)
        supported[i] = known(model, &model->operations[i]);
    return OK;
}

// ---- Compilation

int ANeuralNetworksCompilation_create(Model *model, Compilation **compilation) {
    *compilation = malloc(sizeof **compilation);
    (*compilation)->model = model;
    return OK;
}

int ANeuralNetworksCompilation_createForDevices(Model *model, const void *const *devices, uint32_t device_count,
                                                Compilation **compilation) {
    fprintf(stderr, "stand-in NNAPI: %u operations\n", model->operation_count);
    return ANeuralNetworksCompilation_create(model, compilation);
}

void ANeuralNetworksCompilation_free(Compilation *compilation) { free(compilation); }

int ANeuralNetworksCompilation_setPreference(Compilation *compilation, int32_t preference) { return OK; }

int ANeuralNetworksCompilation_setPriority(Compilation *compilation, int priority) { return OK; }

int ANeuralNetworksCompilation_setTimeout(Compilation *compilation, uint64_t nanoseconds) { return OK; }

int ANeuralNetworksCompilation_setCaching(Compilation *compilation, const char *folder, const uint8_t *token) {
    return OK;
}

int ANeuralNetworksCompilation_finish(Compilation *compilation) { return OK; }

// ---- Execution

int ANeuralNetworksExecution_create(Compilation *compilation, Execution **execution) {
    *execution = calloc(1, sizeof **execution);
    (*execution)->model = compilation->model;
    return OK;
}

void ANeuralNetworksExecution_free(Execution *execution) { free(execution); }

int ANeuralNetworksExecution_setReusable(Execution *execution, bool reusable) { return OK; }

int ANeuralNetworksExecution_setTimeout(Execution *execution, uint64_t nanoseconds) { return OK; }

int ANeuralNetworksExecution_setLoopTimeout(Execution *execution, uint64_t nanoseconds) { return OK; }

int ANeuralNetworksExecution_setMeasureTiming(Execution *execution, bool measure) { return OK; }

int ANeuralNetworksExecution_enableInputAndOutputPadding(Execution *execution, bool enable) { return OK; }

int ANeuralNetworksExecution_setInput(Execution *execution, int32_t index, const OperandType *type, const void *data,
                                      size_t size) {
    execution->inputs[index] = data;
    return OK;
}

int ANeuralNetworksExecution_setInputFromMemory(Execution *execution, int32_t index, const OperandType *type,
                                                const Memory *memory, size_t offset, size_t size) {
    execution->inputs[index] = memory->data + offset;
    return OK;
}

int ANeuralNetworksExecution_setOutput(Execution *execution, int32_t index, const OperandType *type, void *data,
                                       size_t size) {
    execution->outputs[index] = data;
    return OK;
}

int ANeuralNetworksExecution_setOutputFromMemory(Execution *execution, int32_t index, const OperandType *type,
                                                 const Memory *memory, size_t offset, size_t size) {
    execution->outputs[index] = memory->data + offset;
    return OK;
}

int ANeuralNetworksExecution_compute(Execution *execution) {
    Model *model = execution->model;
    for (uint32_t i = 0; i < model->input_count; i++) {
        Operand *input = &model->operands[model->inputs[i]];
        input->data = execution->inputs[i];
        decode(input);
    }
    for (uint32_t i = 0; i < model->operation_count; i++) {
        const int error = execute(model, &model->operations[i]);
        if (error)
            return error;
    }
    for (uint32_t i = 0; i < model->output_count; i++)
        encode(&model->operands[model->outputs[i]], execution->outputs[i]);
    return OK;
}

int ANeuralNetworksExecution_startCompute(Execution *execution, void **event) {
    *event = execution;
    return ANeuralNetworksExecution_compute(execution);
}

int ANeuralNetworksEvent_wait(void *event) { return OK; }

void ANeuralNetworksEvent_free(void *event) {}

int ANeuralNetworksBurst_create(Compilation *compilation, void **burst) {
    *burst = compilation;
    return OK;
}

void ANeuralNetworksBurst_free(void *burst) {}

int ANeuralNetworksExecution_burstCompute(Execution *execution, void *burst) {
    return ANeuralNetworksExecution_compute(execution);
}

int ANeuralNetworksExecution_getOutputOperandRank(Execution *execution, int32_t index, uint32_t *rank) {
    *rank = execution->model->operands[execution->model->outputs[index]].rank;
    return OK;
}

int ANeuralNetworksExecution_getOutputOperandDimensions(Execution *execution, int32_t index, uint32_t *dims) {
    const Operand *operand = &execution->model->operands[execution->model->outputs[index]];
    memcpy(dims, operand->dims, operand->rank * sizeof *dims);
    return OK;
}
