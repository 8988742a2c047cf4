#ifndef SPX_LOCATION_PRIVATE_H
#define SPX_LOCATION_PRIVATE_H
/* The networks of a location search, one a pair, over one arena a role. */
#include "search/location/location.h"

#define SPX_LOCATION_STEM_MAX 24 /* entries of a stem; the ImageNet stem has 15 */

/* An array of the stem: where it lies in the shared part and in each network's. */
typedef struct spx_location_stem {
    spx_role role;
    int64_t shared, own, count; /* floats */
} spx_location_stem;

struct spx_location_network {
    int64_t base[SPX_ROLE_COUNT], floats[SPX_ROLE_COUNT]; /* its part of the arenas */
    spx_location_stem stem[SPX_LOCATION_STEM_MAX];
    int n_stem;
    spx_program *program[SPX_LOCATION_PASSES]; /* owned; all or none */
    uint64_t used;                             /* x->clock when they were */
};

/** Makes x->pair, x->network and x->layout; *room is the largest workspace. */
SPX_MUST_CHECK spx_status spx_location_networks(spx_location *x, size_t *room);
void spx_location_networks_clear(spx_location *x);

/** Makes a network's programs where they are not ready, letting go of those longest unused. */
SPX_MUST_CHECK spx_status spx_location_ready(spx_location *x, int pair);

/** A network's part of an arena. */
spx_buffer spx_location_part(const spx_location *x, int pair, const spx_buffer *arena,
                             spx_role role);

/** Copies the shared stem's arrays into a network's part (in), or back. */
SPX_MUST_CHECK spx_status spx_location_stem_copy(const spx_location *x, int pair,
                                                 const spx_buffer *arena, spx_role role, bool in);

#endif
