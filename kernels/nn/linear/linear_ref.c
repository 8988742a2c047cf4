#include "kernels/nn/linear/linear_private.h"

void spx_linear_forward_ref(const spx_linear_args *a)
{
    for (size_t n = 0; n < a->n; n++) {
        for (size_t o = 0; o < a->o; o++) {
            double sum = a->b != NULL ? (double)a->b[o] : 0.0;
            for (size_t f = 0; f < a->f; f++) {
                sum += (double)a->x[n * a->f + f] * (double)a->w[o * a->f + f];
            }
            a->out[n * a->o + o] = (float)sum;
        }
    }
}

void spx_linear_backward_data_ref(const spx_linear_args *a)
{
    for (size_t n = 0; n < a->n; n++) {
        for (size_t f = 0; f < a->f; f++) {
            float *dx = &a->out[n * a->f + f];
            double sum = a->accumulate ? (double)*dx : 0.0;
            for (size_t o = 0; o < a->o; o++) {
                sum += (double)a->dy[n * a->o + o] * (double)a->w[o * a->f + f];
            }
            *dx = (float)sum;
        }
    }
}

void spx_linear_backward_weights_ref(const spx_linear_args *a)
{
    for (size_t o = 0; o < a->o; o++) {
        double db = a->accumulate && a->db != NULL ? (double)a->db[o] : 0.0;
        for (size_t n = 0; n < a->n; n++) {
            db += (double)a->dy[n * a->o + o];
        }
        for (size_t f = 0; f < a->f; f++) {
            float *dw = &a->out[o * a->f + f];
            double sum = a->accumulate ? (double)*dw : 0.0;
            for (size_t n = 0; n < a->n; n++) {
                sum += (double)a->dy[n * a->o + o] * (double)a->x[n * a->f + f];
            }
            *dw = (float)sum;
        }
        if (a->db != NULL) {
            a->db[o] = (float)db;
        }
    }
}
