#include "kernels/nn/softmax/softmax_private.h"

#include <math.h>

void spx_softmax_forward_ref(size_t rows, size_t cols, const float *x, float *y)
{
    for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
        double max = x[0], sum = 0;
        for (size_t k = 1; k < cols; k++) {
            max = (double)x[k] > max ? (double)x[k] : max;
        }
        for (size_t k = 0; k < cols; k++) {
            sum += exp((double)x[k] - max);
        }
        for (size_t k = 0; k < cols; k++) {
            y[k] = (float)(exp((double)x[k] - max) / sum);
        }
    }
}

void spx_softmax_backward_ref(size_t rows, size_t cols, const float *y, const float *dy,
                              bool accumulate, float *dx)
{
    for (size_t r = 0; r < rows; r++, y += cols, dy += cols, dx += cols) {
        double dot = 0;
        for (size_t k = 0; k < cols; k++) {
            dot += (double)y[k] * (double)dy[k];
        }
        for (size_t k = 0; k < cols; k++) {
            const double g = (double)y[k] * ((double)dy[k] - dot);
            dx[k] = (float)((accumulate ? (double)dx[k] : 0.0) + g);
        }
    }
}
