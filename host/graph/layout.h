#ifndef SPX_LAYOUT_H
#define SPX_LAYOUT_H
/*
 * Where a network's parameters and states lie: one arena of weights, one of architecture
 * parameters, one of states. Host arenas are NCHW f32 always; on CUDA weights that span pixels lie
 * with the channels innermost (kernels/nn/operand.h), and spx_layout_upload and spx_layout_download
 * turn them.
 */
#include "host/graph/graph.h"
#include "kernels/device/buffer.h"

/** One named parameter, architecture parameter or state, and where it lies in its arena. */
typedef struct spx_layout_entry {
    const char *name;
    spx_role role; /* WEIGHT, ARCH or STATE */
    int rank;
    int64_t dim[SPX_MAX_RANK];
    int64_t offset, count; /* floats into the role's arena; elements, dense */
    int64_t pixels; /* above 1: weights (rows, channels, pixels), on CUDA (rows, pixels, channels);
                   masks (rank 3) are of one row */
    spx_init init;
} spx_layout_entry;

/** Arenas of a network. The same network at another batch size or in evaluation has an equal
 * layout. */
typedef struct spx_layout {
    spx_layout_entry *entry; /* in the order the builder created them */
    int n;
    int64_t floats[SPX_ROLE_COUNT]; /* arena sizes (gaps included): WEIGHT, ARCH, STATE */
} spx_layout;

const spx_layout_entry *spx_layout_find(const spx_layout *l, const char *name); /* or NULL */
bool spx_layout_equal(const spx_layout *a, const spx_layout *b);
/**
 * A zeroed arena of l's size for a role: WEIGHT, ARCH or STATE; gradients take the same.
 * @param s    whose device's memory; NULL: host memory
 * @param out  free with spx_buffer_free; empty where the network has nothing of that role
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_layout_arena(const spx_layout *l, spx_stream *s, spx_role role,
                                           spx_buffer *out);
size_t spx_layout_bytes(const spx_layout *l, spx_role role); /* of such an arena */
/** spx_buffer_check of an arena of weights and one of states, on the host. */
SPX_MUST_CHECK spx_status spx_layout_check_host(const spx_layout *l, const spx_buffer *weights,
                                                const spx_buffer *state, const char *what);
/**
 * Copies a whole arena of l to the stream's device, in the device's order of elements.
 * @param role    WEIGHT, ARCH or STATE; for gradients and momenta, the one they are laid out like
 * @param host    in host memory, as spx_layout_init and checkpoints have it; may be changed after
 *                the call
 * @param device  in the memory of the stream's device; neither is touched where the arena is empty
 * @return SPX_OK, SPX_EINVAL (memory of another device), SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_layout_upload(const spx_layout *l, spx_stream *s, spx_role role,
                                            const spx_buffer *host, const spx_buffer *device);
/** The way back. Waits for the stream. */
SPX_MUST_CHECK spx_status spx_layout_download(const spx_layout *l, spx_stream *s, spx_role role,
                                              const spx_buffer *device, const spx_buffer *host);
/**
 * Fills arenas in host memory (any may be NULL or empty) with initial values; gaps become 0. Each
 * entry draws from (seed, hash of its name), so values do not depend on the layout.
 * @return SPX_OK, SPX_EINVAL (memory of another device)
 */
SPX_MUST_CHECK spx_status spx_layout_init(const spx_layout *l, uint64_t seed,
                                          const spx_buffer *weights, const spx_buffer *arch,
                                          const spx_buffer *state);

#endif
