/*
 * A grid on one processor: its blocks one after the other, and a block's threads as fibers that
 * change only at barriers and warp primitives. A fiber runs threads one by one until one has to
 * wait, so a kernel without barriers costs no more than a loop.
 */
#include "tests/support/cuda_emulation/emulated_private.h"

#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* Saves the callee's registers on the stack, leaves its top in *save, goes on at `to`. x86-64. */
extern "C" void spx_emulated_switch(void **save, void *to);
asm(R"(
.text
.globl spx_emulated_switch
.type spx_emulated_switch, @function
spx_emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size spx_emulated_switch, .-spx_emulated_switch
)");

namespace emulated {
namespace {

constexpr size_t stack_bytes = 256 * 1024;
constexpr int poison = 0xff; /* NaN in f32 and bf16, -1 in integers */

struct fiber {
    char *stack;
    void *top;        /* where it goes on */
    void *fake_stack; /* AddressSanitizer's */
    int thread;
};

struct warp {
    int live;
    unsigned lanes; /* not yet returned from the kernel */
    std::vector<fiber *> waiting;
    uint64_t value[2][32]; /* two in turn, so that one barrier an exchange is enough */
    int side;
};

/* The block that runs. */
struct running {
    const std::function<void()> *body;
    std::vector<int> order; /* of its threads */
    size_t next;            /* of order */
    int live;
    std::vector<warp> warps;
    std::vector<fiber *> waiting; /* at __syncthreads */
    std::deque<fiber *> ready;
    std::vector<unsigned char> shared;
    int any, any_before; /* __syncthreads_or */
    bool misuse;         /* a warp primitive with part of a warp */
};

running block;
/* never destroyed: fibers outlive everything */
std::vector<fiber *> &idle = *new std::vector<fiber *>;
std::vector<fiber *> &stuck = *new std::vector<fiber *>;
fiber *current;
void *scheduler_top;
#if defined(__SANITIZE_ADDRESS__)
void *scheduler_fake;
const void *scheduler_bottom;
size_t scheduler_size;
#endif

/* In a fiber: back to the scheduler, until it enters again. */
void leave()
{
    fiber *const f = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&f->fake_stack, scheduler_bottom, scheduler_size);
#endif
    spx_emulated_switch(&f->top, scheduler_top);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->fake_stack, &scheduler_bottom, &scheduler_size);
#endif
}

/* In the scheduler: runs f until it leaves. */
void enter(fiber *f)
{
    const unsigned t = (unsigned)f->thread;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    current = f;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, f->stack, stack_bytes);
#endif
    spx_emulated_switch(&scheduler_top, f->top);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
    current = nullptr;
}

warp &current_warp()
{
    return block.warps[(size_t)current->thread / 32];
}

void release_warp(warp &w)
{
    if (w.live > 0 && (int)w.waiting.size() == w.live) {
        block.ready.insert(block.ready.end(), w.waiting.begin(), w.waiting.end());
        w.waiting.clear();
        w.side ^= 1;
    }
}

void release_block()
{
    if (block.live > 0 && (int)block.waiting.size() == block.live) {
        block.ready.insert(block.ready.end(), block.waiting.begin(), block.waiting.end());
        block.waiting.clear();
        block.any_before = block.any;
        block.any = 0;
    }
}

void run_threads()
{
    fiber *const f = current;
    for (;;) {
        while (block.next < block.order.size()) {
            const unsigned t = (unsigned)block.order[block.next++];
            f->thread = (int)t;
            threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
            (*block.body)();
            warp &w = current_warp();
            w.live--;
            w.lanes &= ~(1u << t % 32);
            block.live--;
            release_warp(w);
            release_block();
        }
        idle.push_back(f);
        leave();
    }
}

extern "C" void emulated_fiber_start()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
    run_threads();
}

fiber *new_fiber()
{
    void *stack =
        mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) {
        throw std::bad_alloc();
    }
    fiber *f = new fiber{(char *)stack, nullptr, nullptr, 0};
    /* six registers, the entry, and a return address that is never used: at the entry the stack is
     * aligned as after a call */
    void **top = (void **)((char *)stack + stack_bytes - 64);
    std::memset(top, 0, 64);
    top[6] = (void *)emulated_fiber_start;
    f->top = top;
    return f;
}

/* False if some threads wait for ever. */
bool run_block(int threads)
{
    block.next = 0;
    block.live = threads;
    block.any = block.any_before = 0;
    block.waiting.clear();
    block.warps.resize((size_t)(threads + 31) / 32);
    for (size_t i = 0; i < block.warps.size(); i++) {
        warp &w = block.warps[i];
        w.live = std::min(32, threads - 32 * (int)i);
        w.lanes = w.live == 32 ? 0xffffffffu : (1u << w.live) - 1u;
        w.side = 0;
        w.waiting.clear();
    }
    std::fill(block.shared.begin(), block.shared.end(), (unsigned char)poison);
    arrange(block.order, threads);
    while (block.live > 0) {
        fiber *f;
        if (block.next < block.order.size()) {
            f = idle.empty() ? new_fiber() : idle.back();
            if (!idle.empty()) {
                idle.pop_back();
            }
        } else if (!block.ready.empty()) {
            f = block.ready.front();
            block.ready.pop_front();
        } else { /* fibers that never end are kept, so that nothing they hold is reused */
            stuck.insert(stuck.end(), block.waiting.begin(), block.waiting.end());
            for (warp &w : block.warps) {
                stuck.insert(stuck.end(), w.waiting.begin(), w.waiting.end());
            }
            return false;
        }
        enter(f);
    }
    return !block.misuse;
}

} // namespace

bool run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &thread)
{
    std::vector<int> blocks;
    gridDim = grid;
    blockDim = size;
    block.body = &thread;
    block.misuse = false;
    block.shared.assign(shared_bytes, (unsigned char)poison);
    block.shared.shrink_to_fit();
    arrange(blocks, (int)(grid.x * grid.y * grid.z));
    for (const int b : blocks) {
        const unsigned u = (unsigned)b;
        blockIdx = {u % grid.x, u / grid.x % grid.y, u / grid.x / grid.y};
        if (!run_block((int)(size.x * size.y * size.z))) {
            return false;
        }
    }
    return true;
}

} // namespace emulated

using namespace emulated;

void *spx_emulated_shared()
{
    return block.shared.data();
}

void __syncthreads()
{
    block.waiting.push_back(current);
    release_block();
    leave();
}

int spx_emulated_or(int v)
{
    block.any |= v != 0;
    __syncthreads();
    return block.any_before;
}

void __syncwarp(unsigned mask)
{
    warp &w = current_warp();
    block.misuse |= mask != 0xffffffffu;
    w.waiting.push_back(current);
    release_warp(w);
    leave();
}

int spx_emulated_lane()
{
    return current->thread % 32;
}

const uint64_t *spx_emulated_exchange(uint64_t value, unsigned mask, unsigned *live)
{
    warp &w = current_warp();
    w.value[w.side][current->thread % 32] = value;
    __syncwarp(mask);
    *live = w.lanes;
    return w.value[w.side ^ 1];
}
