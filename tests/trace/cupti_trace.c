/*
 * A tracer that the CUDA driver loads into any program:
 *
 *     CUDA_INJECTION64_PATH=.../libcupti_trace.so SPX_TRACE=trace.txt sphynx bench ...
 *
 * Times come from the device (CUPTI's activity records), so that what the host takes to launch is
 * not in them. Only replays of recorded graphs count: planning and the first, eager steps are left
 * out. The report is written when the program ends.
 */
#include "tests/trace/trace_report.h"

#include <cupti.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define BUFFER_BYTES ((size_t)8 << 20)
#define MOST 200 /* lines of kernels */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static spx_trace_span *span;
static size_t count, room;
static bool lost; /* no memory for a record */

static void keep(const spx_trace_span *s)
{
    if (count == room) {
        const size_t more = room == 0 ? 4096 : 2 * room;
        spx_trace_span *list = realloc(span, more * sizeof *list);
        if (list == NULL) {
            lost = true;
            return;
        }
        span = list;
        room = more;
    }
    span[count++] = *s;
}

/* Later versions' records begin like these. Names live until the process ends. */
static void take(const CUpti_Activity *record)
{
    spx_trace_span s = {.graph = 0};
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const CUpti_ActivityKernel9 *k = (const void *)record;
        s = (spx_trace_span){.name = k->name != NULL ? k->name : "?",
                             .grid = {k->gridX, k->gridY, k->gridZ},
                             .graph = k->graphId,
                             .replay = k->correlationId,
                             .begin = k->start,
                             .end = k->end};
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const CUpti_ActivityMemcpy5 *m = (const void *)record;
        s = (spx_trace_span){.name = "copy",
                             .graph = m->graphId,
                             .replay = m->correlationId,
                             .begin = m->start,
                             .end = m->end};
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const CUpti_ActivityMemset4 *m = (const void *)record;
        s = (spx_trace_span){.name = "fill",
                             .graph = m->graphId,
                             .replay = m->correlationId,
                             .begin = m->start,
                             .end = m->end};
    }
    if (s.graph != 0) {
        keep(&s);
    }
}

static void CUPTIAPI give_buffer(uint8_t **buffer, size_t *size, size_t *most)
{
    *buffer = aligned_alloc(8, BUFFER_BYTES);
    *size = *buffer != NULL ? BUFFER_BYTES : 0;
    *most = 0;
}

static void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                                 size_t valid)
{
    CUpti_Activity *record = NULL;
    (void)context;
    (void)stream;
    (void)size;
    (void)pthread_mutex_lock(&lock);
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        take(record);
    }
    (void)pthread_mutex_unlock(&lock);
    free(buffer);
}

static void finish(void)
{
    const char *path = getenv("SPX_TRACE");
    (void)cuptiActivityFlushAll(1);
    FILE *out = path != NULL ? fopen(path, "w") : stderr;
    if (out == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    spx_trace_print(out, span, count, MOST);
    if (lost) {
        (void)fprintf(out, "out of memory: records were lost\n");
    }
    (void)pthread_mutex_unlock(&lock);
    if (out != stderr) {
        (void)fclose(out);
    }
}

/* The driver calls it by this name. 1: tracing. */
int InitializeInjection(void);
int InitializeInjection(void)
{
    static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                               CUPTI_ACTIVITY_KIND_MEMCPY,
                                               CUPTI_ACTIVITY_KIND_MEMSET};
    CUptiResult r = cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
    for (size_t i = 0; r == CUPTI_SUCCESS && i < sizeof kinds / sizeof kinds[0]; i++) {
        r = cuptiActivityEnable(kinds[i]);
    }
    if (r != CUPTI_SUCCESS) {
        const char *text = "?";
        (void)cuptiGetResultString(r, &text);
        (void)fprintf(stderr, "cupti_trace: %s\n", text);
        return 0;
    }
    return atexit(finish) == 0;
}
