#ifndef SPX_TUNING_CACHE_H
#define SPX_TUNING_CACHE_H
/*
 * Measured choices of algorithms, kept for the next program of the same user on this machine. Two
 * runs of the same options then add in the same order and give the same numbers, and nothing is
 * measured twice.
 *
 * The file is $XDG_CACHE_HOME/sphynx/tuning-VERSION-COMMIT-ISA.txt (else under ~/.cache), in the
 * form of host/graph/tuning.h; another build may have other algorithms, hence the commit. It may be
 * deleted at any time. It is a convenience: what cannot be read or written is ignored, and choices
 * already in a table win.
 */
#include "host/graph/tuning.h"

/** Adds the kept choices to an empty table. */
void spx_tuning_cache_load(spx_tuning *t);

/** Keeps the table's choices where some were measured; those of other runs stay. */
void spx_tuning_cache_store(const spx_tuning *t);

#endif
