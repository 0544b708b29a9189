/* Stands where the GPU's driver library stands, for the contract only: the calls of the "CUDA Driver API" reference
 * (docs.nvidia.com/cuda/cuda-driver-api) that the engine makes. "GPU" memory is memory.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static __thread void* current; /* every thread must set its context, as with the real one */
static int context;

int cuInit(unsigned flags) { (void)flags; return getenv("NO_GPU") ? 100 : 0; }
int cuDeviceGet(int* device, int n) { *device = n; return 0; }
int cuDeviceGetName(char* name, int size, int device) { (void)device; strncpy(name, getenv("GPU_NAME") ? getenv("GPU_NAME") : "Orin", size); return 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) { (void)device; *value = attribute == 75 ? 8 : 7; return 0; }
int cuDevicePrimaryCtxRetain(void** found, int device) { (void)device; *found = &context; return 0; }
int cuCtxSetCurrent(void* wanted) { current = wanted; return wanted ? 0 : 201; }
int cuStreamCreate(void** stream, unsigned flags) { (void)flags; *stream = malloc(1); return current ? 0 : 201; }
int cuStreamDestroy_v2(void* stream) { free(stream); return 0; }
int cuStreamSynchronize(void* stream) { (void)stream; return current ? 0 : 201; }
int cuMemAlloc_v2(uint64_t* address, size_t size) { *address = (uint64_t)(uintptr_t)calloc(1, size); return current ? 0 : 201; }
int cuMemFree_v2(uint64_t address) { free((void*)(uintptr_t)address); return 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t size, void* stream) { (void)stream; memcpy((void*)(uintptr_t)to, from, size); return current ? 0 : 201; }
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t size, void* stream) { (void)stream; memcpy(to, (void*)(uintptr_t)from, size); return current ? 0 : 201; }
