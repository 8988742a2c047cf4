#ifndef SPX_EMULATED_IMPL_H
#define SPX_EMULATED_IMPL_H
/* What the emulation's files share. */
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace emulated {

enum class order { forward, reverse, shuffled };

/** SPX_EMULATION_ORDER: "forward" (default), "reverse", or a number, the seed of a shuffle. */
order order_asked();

/** 0..n-1 in the order asked for; shuffles differ from call to call. */
void arrange(std::vector<int> &out, int n);
uint64_t random_bits();

/** Runs a grid; false if its threads wait at different barriers for ever. */
bool run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &thread);

} // namespace emulated

#endif
