#ifndef SPX_AUTODIFF_H
#define SPX_AUTODIFF_H

#include "host/graph/program.h"

/**
 * Appends the nodes that compute gradients of sum(weight*loss) to a training graph: of all weights
 * (WEIGHT_GRAD tensors at the weights' offsets), of all architecture parameters (ARCH_GRAD) and of
 * the tensors wrt[0..n_wrt-1], whose gradients' ids go to wrt_grad. Needs spx_graph_layout first.
 * Parameters the losses do not depend on get zeros.
 * @return SPX_OK, SPX_EINVAL (not a training graph, a loss that is none), SPX_EUNSUPPORTED (logits
 * that something beside their loss reads), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_differentiate(spx_graph *g, const spx_loss_seed *loss, int n_loss,
                                            bool weights, bool arch, const spx_tid *wrt, int n_wrt,
                                            spx_tid *wrt_grad);

#endif
