#ifndef SPX_NN_DISTILL_H
#define SPX_NN_DISTILL_H
/*
 * What a network learns from another one, its teacher, beside labels: the teacher's logits (Hinton,
 * Vinyals and Dean, arXiv 1503.02531, section 2) and where its activations are large (Zagoruyko and
 * Komodakis, arXiv 1612.03928, section 3.1). No gradient goes to the teacher.
 *
 * Pointers are memory of the stream's device; matrices are dense f32 on every device. Sums of
 * losses are in double.
 */
#include "kernels/nn/operand.h"

/**
 * *loss = T^2 * mean over n of KL(p || q), p = softmax(target[n]/T), q = softmax(logits[n]/T). The
 * factor T^2 keeps the gradient's size whatever the temperature T.
 * @param logits, target (n, classes)
 * @param temperature T > 0, finite
 * @param loss one float, overwritten; a rounding below 0 where p and q agree
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_distillation_forward(spx_stream *s, int64_t n, int64_t classes,
                                                   const float *logits, const float *target,
                                                   float temperature, float *loss);

/** dlogits (n, classes) = (accumulate ? dlogits : 0) + weight * d loss / d logits, which is
 * weight*T/n * (q - p). @return as spx_distillation_forward */
SPX_MUST_CHECK spx_status spx_distillation_backward(spx_stream *s, int64_t n, int64_t classes,
                                                    const float *logits, const float *target,
                                                    float temperature, float weight,
                                                    bool accumulate, float *dlogits);

/** Maps of a smaller norm are zero, and hand no gradient on: those of an activation that is off. */
#define SPX_ATTENTION_MIN_NORM 1e-12

/**
 * The attention map of each image: map[n] = a / |a|, a[i] = sum over c of x[n,c,i]^2, |a| its
 * 2-norm.
 * @param x       (n, c, hw)
 * @param map     (n, hw), overwritten
 * @param inverse [n], 1/|a| or 0, for the backward pass; overwritten
 * @return SPX_OK, SPX_EINVAL (a size or an operand), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_attention_map_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                                    spx_operand x, float *map, float *inverse);

/**
 * dx = (accumulate ? dx : 0) + 2*inverse[n]*x[n,c,i] * (dmap[n,i] - map[n,i]*(map[n] . dmap[n])).
 * @param x, map, inverse  of the forward pass
 * @param dmap             (n, hw)
 * @param dx               (n, c, hw); must not overlap x
 * @return as spx_attention_map_forward
 */
SPX_MUST_CHECK spx_status spx_attention_map_backward(spx_stream *s, int64_t n, int64_t c,
                                                     int64_t hw, spx_operand x, const float *map,
                                                     const float *inverse, const float *dmap,
                                                     bool accumulate, spx_operand dx);

/**
 * *loss = (accumulate ? *loss : 0) + mean over count of (x - y)^2.
 * @param x, y [count]
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_squared_difference_forward(spx_stream *s, int64_t count,
                                                         const float *x, const float *y,
                                                         bool accumulate, float *loss);

/** dx = (accumulate ? dx : 0) + 2*weight/count * (x - y), [count].
 * @return as spx_squared_difference_forward */
SPX_MUST_CHECK spx_status spx_squared_difference_backward(spx_stream *s, int64_t count,
                                                          const float *x, const float *y,
                                                          float weight, bool accumulate, float *dx);

#endif
