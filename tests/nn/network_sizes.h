#ifndef SPX_NETWORK_SIZES_H
#define SPX_NETWORK_SIZES_H
/*
 * Operands of the search and of the final networks: bench_ops times the light ops at these sizes,
 * and their tests take the same with fewer images.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct network_size {
    int64_t n, c, side; /* images, channels, rows = columns */
} network_size;

static const network_size network_sizes[] = {{64, 16, 32}, {64, 32, 16}, {64, 64, 8}, {96, 5, 32}};
#define NETWORK_SIZES (sizeof network_sizes / sizeof network_sizes[0])

/* images, features, outputs */
static const int64_t network_linears[][3] = {{96, 80, 100}, {64, 256, 10}, {256, 512, 1000}};
#define NETWORK_LINEARS (sizeof network_linears / sizeof network_linears[0])

/* terms of a weighted sum: a norm, a residual sum, a mixed edge, a node of the supernet */
static const int network_terms[] = {1, 2, 6, 30};
#define NETWORK_TERMS (sizeof network_terms / sizeof network_terms[0])

#endif
