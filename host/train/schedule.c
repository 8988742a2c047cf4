#include "host/train/schedule.h"

#include "kernels/base/text.h"

#include <assert.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

spx_status spx_schedule_check(const spx_schedule *s)
{
    char real[SPX_REAL_CHARS], most[SPX_REAL_CHARS];
    if (!(s->lr > 0 && s->lr <= 1e3)) {
        return SPX_FAIL(SPX_EINVAL, "schedule: learning rate %s, expected above 0, at most 1000",
                        spx_real_text(s->lr, real));
    }
    if (s->epochs < 1) {
        return SPX_FAIL(SPX_EINVAL, "schedule: %lld epochs", (long long)s->epochs);
    }
    if (!(s->warmup >= 0 && s->warmup < (double)s->epochs)) {
        return SPX_FAIL(SPX_EINVAL, "schedule: warm-up of %s epochs, expected fewer than the %lld",
                        spx_real_text(s->warmup, real), (long long)s->epochs);
    }
    if (s->kind != SPX_SCHEDULE_STEP && !(s->lr_min >= 0 && s->lr_min <= s->lr)) {
        return SPX_FAIL(SPX_EINVAL, "schedule: smallest rate %s, expected 0..%s",
                        spx_real_text(s->lr_min, real), spx_real_text(s->lr, most));
    }
    if (s->kind == SPX_SCHEDULE_STEP) {
        if (!(s->factor >= 0 && s->factor <= 1)) {
            return SPX_FAIL(SPX_EINVAL, "schedule: decay factor %s, expected 0..1",
                            spx_real_text(s->factor, real));
        }
        if (s->n_milestones < 0 || s->n_milestones > SPX_SCHEDULE_MILESTONES) {
            return SPX_FAIL(SPX_EINVAL, "schedule: %d milestones, at most %d", s->n_milestones,
                            SPX_SCHEDULE_MILESTONES);
        }
        for (int i = 1; i < s->n_milestones; i++) {
            if (s->milestone[i] <= s->milestone[i - 1]) {
                return SPX_FAIL(SPX_EINVAL, "schedule: milestones must ascend");
            }
        }
    }
    return SPX_OK;
}

/* The rate at an epoch and a part of one, 0..1 of it, after the warm-up. */
static double rate_at(const spx_schedule *s, int64_t e, double part)
{
    const double epochs = (double)s->epochs, at = (double)e + part, range = s->lr - s->lr_min;
    double lr = s->lr;
    switch (s->kind) {
    case SPX_SCHEDULE_COSINE:
        return s->lr_min + 0.5 * range * (1.0 + cos(pi * (double)e / epochs));
    case SPX_SCHEDULE_COSINE_STEPS:
        return s->lr_min + 0.5 * range * (1.0 + cos(pi * at / epochs));
    case SPX_SCHEDULE_ONE_CYCLE:
        return at < s->warmup ? lr : s->lr_min + range * (epochs - at) / (epochs - s->warmup);
    case SPX_SCHEDULE_STEP:
        break;
    }
    for (int i = 0; i < s->n_milestones && s->milestone[i] <= e; i++) {
        lr *= s->factor;
    }
    return lr;
}

float spx_schedule_lr(const spx_schedule *s, int64_t e, int64_t done, int64_t steps)
{
    const double part = (double)done / (double)steps;
    const double after =
        (double)e + (double)(done + 1) / (double)steps; /* epochs, with this step */
    assert(e >= 0 && e < s->epochs && done >= 0 && done < steps);
    return (float)(after < s->warmup ? rate_at(s, e, part) * (after / s->warmup)
                                     : rate_at(s, e, part));
}

float spx_drop_path_ramp(double p, int64_t e, int64_t epochs)
{
    assert(e >= 0 && e < epochs);
    return (float)(p * (double)e / (double)epochs);
}
