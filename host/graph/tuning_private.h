#ifndef SPX_TUNING_PRIVATE_H
#define SPX_TUNING_PRIVATE_H
/* Private to host/graph: the table's two sections. */
#include "host/graph/tuning.h"

#define SPX_TUNING_KEY 13 /* pass, threads, n c h w k r s stride dilation pad_begin pad_end */

typedef struct spx_tuning_cpu {
    int64_t key[SPX_TUNING_KEY];
    spx_conv2d_algo algo;
} spx_tuning_cpu;

typedef struct spx_tuning_cuda {
    char *key, *choice; /* a line before its last word, and that word */
} spx_tuning_cuda;

struct spx_shared_plan;

struct spx_tuning {
    spx_tuning_cpu *cpu;
    spx_tuning_cuda *cuda;
    struct spx_shared_plan **plan; /* made so far */
    int n_cpu, n_cuda, n_plans;
    size_t room_cpu, room_cuda, room_plans;
    int measured;
    bool described; /* device is that of this index */
    int device_index;
    spx_device_info device;
};

/** The choice kept for a key, or NULL. */
const char *spx_tuning_cuda_find(const spx_tuning *t, const char *key);
/** Keeps a choice, in place of an older one of the same key. */
SPX_MUST_CHECK spx_status spx_tuning_cuda_put(spx_tuning *t, const char *key, const char *choice);
/** Lets go of the plans made (conv_plans.c). */
void spx_tuning_release_plans(spx_tuning *t);

#endif
