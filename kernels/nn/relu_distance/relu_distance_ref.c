#include "kernels/nn/relu_distance/relu_distance_private.h"

#include <math.h>

void spx_relu_distance_ref(const spx_distance_args *a)
{
    const int64_t count = a->c * a->hw;
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t n = 0; n < a->n; n++) {
            sum += fabs((double)spx_image(a->y, n)[i] - (double)a->target[n * count + i]);
        }
        a->sum[i] = (float)sum;
    }
}
