#ifndef SPX_HE_PLAN_PRIVATE_H
#define SPX_HE_PLAN_PRIVATE_H
/* The steps of plan creation; each fills its part of the plan from those before. */
#include "host/secure/he/he_private.h"

/* Parameter set, tiles, packing: the cheapest whose noise budget holds. */
SPX_MUST_CHECK spx_status he_choose_layout(spx_he_plan *p, int set);

/* Where every weight lands, and which groups of channels are joined by any. */
SPX_MUST_CHECK spx_status he_list_taps(spx_he_plan *p);

#endif
