#ifndef SPX_CONV2D_CASES_H
#define SPX_CONV2D_CASES_H
/*
 * Convolution shapes that every implementation must get right: first the corner cases, small
 * because the reference is slow; then those of the search and of the final networks, which
 * bench_conv2d times too (and tests take with one image).
 */
#include "kernels/nn/conv2d/conv2d.h"

#include <stdbool.h>
#include <stddef.h>

/* n, c, h, w, k, r, s, stride, dilation, pad_begin, pad_end, groups (0: none), (p, q) */
static const spx_conv2d_shape conv2d_cases[] = {
    /* one pixel, one channel, smallest everything */
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {3, 5, 2, 2, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 3, 4, 4, 5, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    /* widths around a vector, whole and not */
    {2, 4, 7, 7, 4, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 3, 8, 8, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 16, 8, 8, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 5, 9, 9, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 8, 14, 14, 8, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 4, 16, 16, 4, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    {1, 3, 28, 28, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 4, 32, 32, 4, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 2, 33, 33, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 3, 5, 24, 2, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 3, 24, 5, 2, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 2, 3, 40, 9, 1, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 2, 16, 3, 6, 3, 1, 1, 1, 1, 1, 0, 0, 0},
    /* channel counts that fill no block */
    {3, 20, 8, 8, 20, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {4, 5, 16, 16, 20, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {5, 48, 8, 8, 7, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {2, 7, 8, 8, 48, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 11, 8, 8, 13, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    /* 1x1: read in place, and not (odd area) */
    {2, 16, 8, 8, 16, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 9, 7, 7, 10, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 64, 4, 4, 5, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {5, 200, 2, 2, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {3, 4, 8, 8, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0},
    /* dilation */
    {2, 4, 16, 16, 4, 3, 3, 1, 2, 2, 2, 0, 0, 0},
    {2, 5, 8, 8, 5, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {1, 3, 14, 14, 2, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {1, 2, 20, 19, 2, 3, 3, 1, 8, 8, 8, 0, 0, 0},
    /* stride 2: padded, unpadded, cropped as in factorised reductions, dilated, odd sizes */
    {2, 4, 32, 32, 4, 3, 3, 2, 1, 1, 1, 0, 0, 0},
    {2, 5, 16, 16, 5, 5, 5, 2, 1, 2, 2, 0, 0, 0},
    {2, 5, 16, 16, 3, 3, 3, 2, 2, 2, 2, 0, 0, 0},
    {2, 3, 16, 16, 4, 5, 5, 2, 2, 4, 4, 0, 0, 0},
    {2, 16, 16, 16, 8, 1, 1, 2, 1, 0, 0, 0, 0, 0},
    {2, 16, 16, 16, 8, 1, 1, 2, 1, -1, 0, 0, 0, 0},
    {2, 6, 7, 7, 3, 1, 1, 2, 1, -1, 1, 0, 0, 0},
    {1, 3, 9, 11, 4, 3, 3, 2, 1, 1, 1, 0, 0, 0},
    {1, 3, 33, 31, 4, 3, 3, 2, 1, 0, 1, 0, 0, 0},
    {2, 3, 64, 64, 6, 3, 3, 2, 1, 1, 1, 0, 0, 0},
    /* larger strides; strides beyond the filter leave inputs unread */
    {1, 2, 17, 16, 3, 3, 3, 3, 1, 1, 1, 0, 0, 0},
    {1, 2, 17, 23, 3, 2, 2, 4, 1, 0, 0, 0, 0, 0},
    {1, 2, 3, 3, 3, 1, 1, 4, 1, 0, 0, 0, 0, 0},
    {1, 2, 21, 35, 3, 5, 5, 3, 2, 3, 2, 0, 0, 0},
    /* crops, uneven and excessive padding, the largest filter */
    {2, 3, 12, 12, 3, 3, 3, 1, 1, -2, -1, 0, 0, 0},
    {2, 3, 12, 12, 3, 3, 3, 1, 1, -4, 3, 0, 0, 0},
    {1, 3, 6, 6, 3, 3, 3, 1, 1, 9, 5, 0, 0, 0},
    {1, 2, 6, 7, 3, 2, 2, 2, 3, 12, 0, 0, 0, 0},
    {1, 2, 13, 12, 2, 11, 11, 1, 1, 5, 5, 0, 0, 0},
    {1, 3, 40, 40, 2, 11, 11, 4, 1, 2, 2, 0, 0, 0},
    /* enough channels for several blocks of them */
    {1, 300, 8, 8, 6, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {1, 40, 32, 32, 4, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    {2, 260, 16, 16, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {1, 3, 130, 130, 2, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    /* batches around multiples of 8 images of small maps, and blocks of channels there */
    {8, 16, 8, 8, 16, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {9, 5, 7, 7, 6, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {15, 4, 8, 8, 5, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {14, 5, 9, 7, 3, 5, 5, 2, 1, 2, 2, 0, 0, 0},
    {17, 6, 4, 4, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {8, 20, 14, 14, 7, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {16, 7, 7, 9, 9, 5, 5, 2, 1, 2, 2, 0, 0, 0},
    {8, 12, 16, 16, 12, 5, 5, 2, 2, 4, 4, 0, 0, 0},
    {8, 300, 3, 3, 11, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {8, 140, 7, 7, 9, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {8, 150, 5, 5, 9, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {9, 130, 5, 5, 3, 1, 1, 1, 1, 2, 1, 0, 0, 0},
    {10, 9, 6, 6, 4, 1, 1, 2, 1, -1, 0, 0, 0, 0},
    {8, 4, 6, 5, 4, 3, 3, 3, 1, 4, -1, 0, 0, 0},
    {15, 3, 1, 1, 4, 3, 3, 1, 1, 1, 1, 0, 0, 0},
    {8, 10, 2, 2, 10, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    /* square 3x3 and 5x5 filters: tiles cut by the edge, phases of unequal size, blocks of lines */
    {9, 18, 13, 11, 14, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {3, 7, 7, 5, 13, 3, 3, 1, 2, 2, 2, 0, 0, 0},
    {17, 1, 1, 1, 2, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {2, 3, 2, 3, 1, 5, 5, 1, 2, 4, 5, 0, 0, 0},
    {10, 2, 6, 6, 3, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    {2, 33, 28, 28, 7, 5, 5, 1, 1, 2, 2, 0, 0, 0},
    {2, 24, 27, 30, 5, 3, 3, 1, 2, 2, 2, 0, 0, 0},
    {2, 4, 64, 64, 3, 5, 5, 1, 2, 4, 4, 0, 0, 0},
    {3, 3, 20, 20, 2, 5, 5, 1, 1, -3, -1, 0, 0, 0},
    {3, 3, 20, 20, 2, 5, 5, 1, 2, -3, 2, 0, 0, 0},
    {2, 3, 5, 6, 2, 5, 5, 1, 2, 11, 9, 0, 0, 0},
    {2, 2, 5, 6, 2, 3, 3, 1, 1, 9, -4, 0, 0, 0},
    /* groups: depthwise, several filters a channel, between; whole rows of vectors and not */
    {3, 6, 8, 8, 6, 3, 3, 1, 1, 1, 1, 6, 0, 0},
    {2, 5, 7, 9, 10, 5, 5, 1, 2, 4, 4, 5, 0, 0},
    {9, 4, 16, 16, 4, 3, 3, 2, 1, 1, 1, 4, 0, 0},
    {2, 7, 13, 13, 7, 5, 5, 2, 2, 4, 4, 7, 0, 0},
    {2, 8, 6, 6, 8, 1, 1, 1, 1, 0, 0, 8, 0, 0},
    {2, 12, 9, 9, 8, 3, 3, 1, 1, 1, 1, 4, 0, 0},
    {2, 34, 8, 8, 52, 3, 3, 1, 2, 2, 2, 2, 0, 0},
    {1, 6, 12, 12, 9, 3, 3, 3, 1, -1, 2, 3, 0, 0},
    {1, 4, 7, 7, 4, 1, 1, 4, 1, 0, 0, 4, 0, 0},
};

#define CONV2D_CASES (sizeof conv2d_cases / sizeof conv2d_cases[0])

typedef struct conv2d_network_case {
    const char *name;
    spx_conv2d_shape d;
    bool relu;
} conv2d_network_case;

/* images, channels in, height and width, channels out, filter, stride, dilation; zero-padded to
 * keep the size */
#define CONV(N, C, HW, K, F, ST, DIL)                                                              \
    {                                                                                              \
        N, C, HW, HW, K, F, F, ST, DIL, (F) / 2 * (DIL), (F) / 2 * (DIL), 0, 0, 0                  \
    }

/* As many channels out as in. */
#define GROUPED(N, C, HW, F, ST, DIL, G)                                                           \
    {                                                                                              \
        N, C, HW, HW, C, F, F, ST, DIL, (F) / 2 * (DIL), (F) / 2 * (DIL), G, 0, 0                  \
    }

static const conv2d_network_case conv2d_network_cases[] = {
    {"3x3 c16 32x32", CONV(64, 16, 32, 16, 3, 1, 1), false},
    {"3x3 c32 16x16", CONV(64, 32, 16, 32, 3, 1, 1), false},
    {"3x3 c64 8x8", CONV(64, 64, 8, 64, 3, 1, 1), false},
    {"3x3 c4 32x32", CONV(64, 4, 32, 4, 3, 1, 1), false},
    {"3x3 c8 16x16", CONV(64, 8, 16, 8, 3, 1, 1), false},
    {"3x3 c16 8x8", CONV(64, 16, 8, 16, 3, 1, 1), false},
    {"3x3 c16 k64 32x32", CONV(64, 16, 32, 64, 3, 1, 1), false},
    {"3x3 c64 k256 8x8", CONV(64, 64, 8, 256, 3, 1, 1), false},
    {"3x3 c4 k16 32x32", CONV(64, 4, 32, 16, 3, 1, 1), false},
    {"5x5 c16 32x32", CONV(64, 16, 32, 16, 5, 1, 1), false},
    {"5x5 c32 16x16", CONV(64, 32, 16, 32, 5, 1, 1), false},
    {"5x5 c64 8x8", CONV(64, 64, 8, 64, 5, 1, 1), false},
    {"5x5 c4 32x32", CONV(64, 4, 32, 4, 5, 1, 1), false},
    {"3x3 dil c16 32x32", CONV(64, 16, 32, 16, 3, 1, 2), false},
    {"3x3 dil c64 8x8", CONV(64, 64, 8, 64, 3, 1, 2), false},
    {"5x5 dil c16 32x32", CONV(64, 16, 32, 16, 5, 1, 2), false},
    {"5x5 dil c32 16x16", CONV(64, 32, 16, 32, 5, 1, 2), false},
    {"5x5 dil c64 8x8", CONV(64, 64, 8, 64, 5, 1, 2), false},
    {"5x5 dil c4 32x32", CONV(64, 4, 32, 4, 5, 1, 2), false},
    {"3x3/2 c16 k32 32x32", CONV(64, 16, 32, 32, 3, 2, 1), false},
    {"5x5/2 c32 k64 16x16", CONV(64, 32, 16, 64, 5, 2, 1), false},
    {"5x5/2 dil c4 k8 32x32", CONV(64, 4, 32, 8, 5, 2, 2), false},
    {"1x1 c16 32x32", CONV(64, 16, 32, 16, 1, 1, 1), false},
    {"1x1 relu c64 k16 32x32", CONV(64, 64, 32, 16, 1, 1, 1), true},
    {"1x1 c128 k32 16x16", CONV(64, 128, 16, 32, 1, 1, 1), false},
    {"1x1 c256 k64 8x8", CONV(64, 256, 8, 64, 1, 1, 1), false},
    {"1x1/2 c32 k16 32x32", CONV(64, 32, 32, 16, 1, 2, 1), false},
    {"stem 3x3 c3 k48 32x32", CONV(64, 3, 32, 48, 3, 1, 1), false},
    {"final 3x3 c5 32x32", CONV(96, 5, 32, 5, 3, 1, 1), false},
    {"final 5x5 c10 32x32", CONV(96, 10, 32, 10, 5, 1, 1), false},
    {"final 5x5 c20 16x16", CONV(96, 20, 16, 20, 5, 1, 1), false},
    {"final 5x5 c80 8x8", CONV(96, 80, 8, 80, 5, 1, 1), false},
    {"final 5x5 dil c20 8x8", CONV(96, 20, 8, 20, 5, 1, 2), false},
    {"final 5x5 c1 28x28", CONV(32, 2, 28, 2, 5, 1, 1), false},
    {"imagenet 3x3 c48 28x28", CONV(16, 48, 28, 48, 3, 1, 1), false},
    {"imagenet 5x5 c96 14x14", CONV(16, 96, 14, 96, 5, 1, 1), false},
    {"imagenet 5x5 dil c192 7x7", CONV(16, 192, 7, 192, 5, 1, 2), false},
    {"imagenet 1x1 c960 k240 7x7", CONV(16, 960, 7, 240, 1, 1, 1), true},
    {"imagenet 1x1 c480 k120 14x14", CONV(16, 480, 14, 120, 1, 1, 1), true},
    {"depthwise 3x3 c32 32x32", GROUPED(64, 32, 32, 3, 1, 1, 32), false},
    {"depthwise 3x3 c192 16x16", GROUPED(64, 192, 16, 3, 1, 1, 192), false},
    {"depthwise 3x3/2 c96 32x32", GROUPED(64, 96, 32, 3, 2, 1, 96), false},
    {"depthwise 3x3 c384 8x8", GROUPED(64, 384, 8, 3, 1, 1, 384), false},
    {"depthwise 3x3 c960 7x7", GROUPED(16, 960, 7, 3, 1, 1, 960), false},
    {"depthwise 3x3 dil c16 32x32", GROUPED(64, 16, 32, 3, 1, 2, 16), false},
    {"depthwise 5x5 dil c64 8x8", GROUPED(64, 64, 8, 5, 1, 2, 64), false},
    {"groups 4 3x3 c64 16x16", GROUPED(64, 64, 16, 3, 1, 1, 4), false},
    {"single 5x5 c20 16x16", CONV(1, 20, 16, 20, 5, 1, 1), false},
};
#define CONV2D_NETWORK_CASES (sizeof conv2d_network_cases / sizeof conv2d_network_cases[0])

/* Whether no case before i takes the same way through the code: filter, stride, dilation, ReLU, and
 * whether channels fill blocks of 16. */
static inline bool conv2d_network_case_is_first(size_t i)
{
    const conv2d_network_case *a = &conv2d_network_cases[i];
    for (size_t j = 0; j < i; j++) {
        const conv2d_network_case *b = &conv2d_network_cases[j];
        if (a->d.r == b->d.r && a->d.stride == b->d.stride && a->d.dilation == b->d.dilation &&
            a->relu == b->relu && a->d.groups == b->d.groups &&
            (a->d.c % 16 == 0) == (b->d.c % 16 == 0)) {
            return false;
        }
    }
    return true;
}

#endif
