#ifndef SPX_DEPLOY_TALK_H
#define SPX_DEPLOY_TALK_H
/* What the commands that handle deployed models share: printing what such a model is. */
#include "host/model/deploy.h"
#include "search/space/audit.h"

#include <jansson.h>

/** Its ReLUs, and of a masked network that the model names, all there were. */
spx_relu_count spx_deploy_relu_count(const spx_deploy *m);

/** {"schema", "hash", "relus", "depth", "relu_layers": [...], "exchanges": [...], "values": [...],
 * ...}; NULL when out of memory. */
json_t *spx_deploy_json(const spx_deploy *m);

/** A table of ReLU layers: size, l, f, a, and the exchanges in front of them. */
void spx_deploy_print(const spx_deploy *m);

#endif
