#ifndef SPX_MUON_H
#define SPX_MUON_H
/*
 * Muon: momentum whose every matrix is orthogonalised before it is applied (Jordan et al. 2024,
 * kellerjordan.github.io/posts/muon, with the settings of the airbench CIFAR-10 trainings).
 * For a matrix W of R rows with gradient G:
 *   D = clip * G; B = momentum * B + D; U = D + momentum * B (Nesterov)
 *   X = U / (|U| + 1e-7), then three times X = a X + (b X X' + c (X X')^2) X
 *   W = W * sqrt(R) / |W| - lr * X
 * with Frobenius norms and a, b, c = 3.4445, -4.7750, 2.0315, which bring singular values from
 * wide about 0.7 to 1.2. Rescaling W suits weights whose scale a norm behind them takes away; it
 * stands in for weight decay. The order of a matrix's columns does not matter.
 */
#include "kernels/base/status.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"

#include <stddef.h>

/** A matrix (rows, columns), dense, that begins at offset in each of the arrays of a step. A
 * convolution's weights are one of `outputs` rows. */
typedef struct spx_muon_matrix {
    size_t offset; /* floats */
    int rows, columns;
} spx_muon_matrix;

/** The matrices of a network, with the scratch memory of a step. */
typedef struct spx_muon spx_muon;

/**
 * @param s       borrowed
 * @param matrix  [n], copied; none overlaps another
 * @return SPX_OK, SPX_EINVAL (an empty matrix), SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_muon_create(spx_muon **out, spx_stream *s,
                                          const spx_muon_matrix *matrix, size_t n);
void spx_muon_destroy(spx_muon *m); /* NULL is a no-op; waits for the stream */

/**
 * Queues a step of all matrices, with lr = scale * *rate. What lies between them stays, and all of
 * it where guard->ok is 0. The same bits whatever the number of threads.
 * @param rate, guard, g, buf, w  memory of the stream's device; the last three do not overlap
 * @return SPX_OK, SPX_EINVAL (one is missing), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_muon_step(spx_muon *m, const float *rate, float scale, float momentum,
                                        const spx_guard *guard, const float *g, float *buf,
                                        float *w);

/** The same for one matrix by the formula's loops in double; buf and w are rounded at the end.
 * @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_muon_ref(const spx_muon_matrix *matrix, double lr, double momentum,
                                       double clip, const float *g, float *buf, float *w);

#endif
