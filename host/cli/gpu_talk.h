#ifndef SPX_GPU_TALK_H
#define SPX_GPU_TALK_H
/* What doctor says of GPUs. */
#include <jansson.h>

/** {driver, runtime, nvcc, devices: [...], cudnn, cublas, nccl}; null where there is none. Nothing
 * of it fails where CUDA is absent. @param nvcc  taken over */
json_t *spx_gpu_json(json_t *nvcc);

/** Appends {name, without, get} for what a GPU that is there would need. */
void spx_gpu_lacks(const json_t *gpu, json_t *list);

/** "cuda:0 NAME, compute capability 9.0, 132 multiprocessors, 79.2 GiB" on stdout. */
void spx_gpu_print(const json_t *device);

#endif
