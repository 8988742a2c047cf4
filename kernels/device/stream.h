#ifndef SPX_DEVICE_STREAM_H
#define SPX_DEVICE_STREAM_H

#include "kernels/base/pool.h"
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/** Kinds of device; the columns of the op table. */
typedef enum spx_device { SPX_DEVICE_CPU, SPX_DEVICE_CUDA, SPX_DEVICE_COUNT } spx_device;

/** Arithmetic of convolutions and matrix products; storage of activations. The CPU knows F32 only.
 * Weights, statistics, losses, gradients of weights and optimiser state are f32 always. */
typedef enum spx_precision {
    SPX_PRECISION_TF32, /* CUDA's default: f32 storage, TF32 products, f32 sums */
    SPX_PRECISION_F32,  /* f32 throughout */
    SPX_PRECISION_BF16, /* bf16 activations and products, f32 sums */
    SPX_PRECISION_COUNT
} spx_precision;

const char *spx_device_name(spx_device d);       /* "cpu", "cuda" */
const char *spx_precision_name(spx_precision p); /* "tf32", "f32", "bf16" */

/** Devices of a kind that this build and machine can use: 1 for the CPU, 0 without
 * a CUDA driver. */
int spx_device_count(spx_device d);

typedef struct spx_device_info {
    char name[128];      /* "NVIDIA H100 80GB HBM3"; the CPU: its instruction set */
    int major, minor;    /* compute capability; CPU 0 */
    int multiprocessors; /* CPU: processors this process may use */
    size_t memory_bytes;
    int driver, runtime; /* CUDA versions as 1000*major + 10*minor; CPU 0 */
} spx_device_info;

/** @return SPX_OK, SPX_EINVAL (no such device), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_device_describe(spx_device d, int index, spx_device_info *out);

/**
 * An ordered queue of work on one device. On the CPU work is done when the call returns. On CUDA it
 * is queued; a later call on the stream returns its failure, at the latest spx_stream_sync, with
 * the name set by spx_stream_label. Where one ends all work of the device, what fails after it
 * gives the first one's name again.
 */
typedef struct spx_stream spx_stream;

typedef struct spx_stream_options {
    spx_device device;
    int index;   /* which device of that kind, from 0 */
    int threads; /* CPU workers, 1..SPX_POOL_MAX_THREADS; 0 = one per processor this process may
                    use, up to that many. A CUDA stream has them for host work */
    spx_precision precision; /* CUDA only */
    bool deterministic;      /* CUDA: bit-equal from run to run on the same device and library, as
                                long as measured choices of algorithms are kept */
} spx_stream_options;

/** Whether there is such a device, before anything is made.
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE, SPX_EUNSUPPORTED (a build without CUDA) */
SPX_MUST_CHECK spx_status spx_stream_check(const spx_stream_options *o);
/**
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EDEVICE (with what the driver says),
 * SPX_EUNSUPPORTED (a build without CUDA)
 */
SPX_MUST_CHECK spx_status spx_stream_open(spx_stream **out, const spx_stream_options *o);
/** spx_stream_open of device 0 of that kind, TF32, not deterministic. */
SPX_MUST_CHECK spx_status spx_stream_create(spx_stream **out, spx_device device, int threads);
/** Waits for the work first; NULL is a no-op. */
void spx_stream_destroy(spx_stream *s);
spx_device spx_stream_device(const spx_stream *s);
int spx_stream_index(const spx_stream *s);               /* which device of its kind, from 0 */
spx_precision spx_stream_precision(const spx_stream *s); /* F32 on the CPU */
bool spx_stream_deterministic(const spx_stream *s);
spx_pool *spx_stream_pool(spx_stream *s); /* borrowed */
int spx_stream_threads(const spx_stream *s);
/** Waits until all work queued so far is done (on every lane). @return SPX_OK, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_stream_sync(spx_stream *s);
/** Names what is queued next, for error messages and NVTX ranges; borrowed until the next call;
 * NULL ends the range. Free of cost on the CPU. */
void spx_stream_label(spx_stream *s, const char *name);

/**
 * A library's handle that lives with a stream: opened when it is first asked for, closed before the
 * stream is. @param open  called then, not while recording; its failure is returned
 */
typedef enum spx_stream_part {
    SPX_STREAM_CUDNN,
    SPX_STREAM_CUBLAS,
    SPX_STREAM_PARTS
} spx_stream_part;
SPX_MUST_CHECK spx_status spx_stream_library(spx_stream *s, spx_stream_part part,
                                             spx_status (*open)(spx_stream *s, void **out),
                                             void (*close)(void *library), void **out);

/*
 * Lanes: parts of a stream that may run at the same time. Lane 0 is the stream itself; ops queue on
 * the current one. The caller orders lanes by events. On the CPU there is one lane.
 */
#define SPX_LANES_MAX 8
/* 1 on the CPU; SPX_LANES_MAX on CUDA, or what SPX_LANES in the environment says */
int spx_stream_lanes(const spx_stream *s);
void spx_stream_set_lane(spx_stream *s, int lane);
int spx_stream_lane(const spx_stream *s);

typedef struct spx_event spx_event;
SPX_MUST_CHECK spx_status spx_event_create(spx_event **out, spx_stream *s);
void spx_event_destroy(spx_event *e); /* NULL is a no-op */
/** Marks the end of what the current lane of s has queued. */
SPX_MUST_CHECK spx_status spx_event_record(spx_event *e, spx_stream *s);
/** What the current lane of s queues from now on waits for the mark; s may be another stream of the
 * same device. */
SPX_MUST_CHECK spx_status spx_event_wait(const spx_event *e, spx_stream *s);
/** The host waits for the mark. */
SPX_MUST_CHECK spx_status spx_event_sync(const spx_event *e);
/** Seconds between two marks that are done. */
SPX_MUST_CHECK spx_status spx_event_seconds(const spx_event *from, const spx_event *to,
                                            double *seconds);

/*
 * Replay: a recorded sequence of queued work (a CUDA graph), queued again as one. While recording
 * nothing runs; every pointer and number that ops were given is frozen, so what varies lies in
 * device memory. Synchronising, allocating and pageable copies are errors while recording.
 */
typedef struct spx_replay spx_replay;
bool spx_stream_can_record(const spx_stream *s); /* false on the CPU */
SPX_MUST_CHECK spx_status spx_replay_begin(spx_stream *s);
/** Ends recording, also after a failure (then *out is NULL and the failure is returned). */
SPX_MUST_CHECK spx_status spx_replay_end(spx_stream *s, spx_replay **out);
/** Queues the recorded work, of all lanes, behind what lane 0 of s has queued. Beside it the stream
 * may copy and do nothing else.
 * @return SPX_OK, SPX_EINVAL (not the stream it was made on, or not its lane 0), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_replay_run(spx_replay *r, spx_stream *s);
void spx_replay_destroy(spx_replay *r); /* NULL is a no-op */

#endif
