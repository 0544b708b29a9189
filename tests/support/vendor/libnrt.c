/* Stands where libnrt stands, for the contract only: the functions of nrt.h and nrt_experimental.h that the engine
 * calls, with the signatures of the Neuron SDK's "Neuron Runtime API" pages
 * (https://awsdocs-neuron.readthedocs-hosted.com/en/latest/neuron-runtime/api/nrt.html). A "NEFF" is the text
 * "NEFF-FOR-TESTS" with a byte behind it: 'f' computes y = x * (1, 2, 3, 4) + 0.5, 'r' gives another answer at
 * every run, 'n' gives NaN.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char name[256]; int usage; size_t size; int dtype; uint32_t* shape; uint32_t ndim; } info_t;
typedef struct { uint64_t count; info_t infos[2]; } infos_t;
typedef struct { char name[256]; size_t size; unsigned char* bytes; } tensor_t;
typedef struct { tensor_t* tensors[4]; int count; } set_t;
typedef struct { char kind; int runs; } model_t;

static uint32_t shape[2] = {1, 4};
static const char magic[] = "NEFF-FOR-TESTS";

int nrt_init(int framework, const char* a, const char* b) {
  (void)a; (void)b;
  if (getenv("NO_NEURON_DEVICE")) return 13;
  return framework == 1 ? 0 : 2;
}
int nrt_get_version(uint64_t* numbers, size_t size) {
  memset(numbers, 0, size);
  numbers[0] = 2; numbers[1] = 29; numbers[2] = 3;
  return 0;
}
int nrt_load(const void* bytes, size_t size, int32_t start, int32_t count, model_t** model) {
  (void)start; (void)count;
  if (size != sizeof magic || memcmp(bytes, magic, sizeof magic - 1)) return 10;
  *model = calloc(1, sizeof **model);
  (*model)->kind = ((const char*)bytes)[size - 1];
  return 0;
}
int nrt_unload(model_t* model) { free(model); return 0; }
int nrt_get_model_tensor_info(model_t* model, infos_t** found) {
  (void)model;
  *found = calloc(1, sizeof **found);
  (*found)->count = 2;
  for (int n = 0; n < 2; n++) {
    info_t* info = &(*found)->infos[n];
    strcpy(info->name, n ? "y" : "x");
    info->usage = n; info->size = 16; info->dtype = 0xA; info->shape = shape; info->ndim = 2;
  }
  return 0;
}
int nrt_free_model_tensor_info(infos_t* infos) { free(infos); return 0; }
int nrt_allocate_tensor_set(set_t** set) { *set = calloc(1, sizeof **set); return 0; }
void nrt_destroy_tensor_set(set_t** set) { free(*set); *set = 0; }
int nrt_add_tensor_to_tensor_set(set_t* set, const char* name, tensor_t* tensor) {
  strcpy(tensor->name, name);
  set->tensors[set->count++] = tensor;
  return 0;
}
int nrt_tensor_allocate(int placement, int core, size_t size, const char* name, tensor_t** tensor) {
  (void)core; (void)name;
  if (placement) return 2;
  *tensor = calloc(1, sizeof **tensor);
  (*tensor)->size = size;
  (*tensor)->bytes = calloc(1, size);
  return 0;
}
void nrt_tensor_free(tensor_t** tensor) { free((*tensor)->bytes); free(*tensor); *tensor = 0; }
int nrt_tensor_write(tensor_t* tensor, const void* bytes, size_t at, size_t size) {
  if (at + size > tensor->size) return 2;
  memcpy(tensor->bytes + at, bytes, size);
  return 0;
}
int nrt_tensor_read(const tensor_t* tensor, void* bytes, size_t at, size_t size) {
  if (at + size > tensor->size) return 2;
  memcpy(bytes, tensor->bytes + at, size);
  return 0;
}
int nrt_execute(model_t* model, const set_t* in, set_t* out) {
  const float* x = (const float*)in->tensors[0]->bytes;
  float* y = (float*)out->tensors[0]->bytes;
  model->runs++;
  for (int n = 0; n < 4; n++) y[n] = x[n] * (n + 1) + 0.5f;
  if (model->kind == 'r') y[0] += model->runs;
  if (model->kind == 'n') y[3] = NAN;
  return 0;
}
