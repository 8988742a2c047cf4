#include "host/cli/preprocess_talk.h"

#include "kernels/base/text.h"

#include <stdio.h>

static void warn(void *unused, const char *text)
{
    (void)unused;
    (void)fprintf(stderr, "sphynx: warning: %s\n", text);
}

spx_status spx_talk_fit(const spx_preprocess *model, const char *model_name, const spx_pack *pack,
                        const char *pack_name, bool allow_changed)
{
    const spx_preprocess_rules rules = {.allow_changed = allow_changed, .warn = warn};
    spx_preprocess data;
    spx_status st;
    SPX_RETURN_IF(spx_fail_context(spx_preprocess_of_pack(&data, pack), "%s", pack_name));
    st = spx_preprocess_fit(model, model_name, &data, pack_name, &rules);
    spx_preprocess_clear(&data);
    return st;
}

void spx_talk_unknown_size(const spx_preprocess *model, const char *model_name)
{
    if (model->height == 0 && !spx_preprocess_any_size(model)) {
        (void)fprintf(stderr,
                      "sphynx: warning: %s does not say the size of its images: smaller ones than "
                      "%dx%d are padded with black\n",
                      model_name, model->rows, model->columns);
    }
}

static void print_reals(const char *what, int n, const double *x)
{
    char real[SPX_REAL_CHARS];
    (void)printf("%s", what);
    for (int i = 0; i < n; i++) {
        (void)printf("%s%s", i > 0 ? ", " : " ", spx_real_text(x[i], real));
    }
}

void spx_preprocess_print(const spx_preprocess *p)
{
    enum { NAMES = 10 };
    (void)printf("images   ");
    if (spx_preprocess_any_size(p)) {
        (void)printf("%d channels, any size: the middle %d of %d pixels scaled to %dx%d",
                     p->channels, p->centre_crop, p->centre_resize, p->rows, p->columns);
    } else if (p->height > 0) {
        (void)printf("%dx%dx%d", p->channels, p->height, p->width);
    } else {
        (void)printf("%d channels, size not known", p->channels);
    }
    if (!spx_preprocess_any_size(p) && p->rows > 0 &&
        (p->rows != p->height || p->columns != p->width)) {
        (void)printf(", centred on %dx%d", p->rows, p->columns);
    }
    if (p->normalised) {
        print_reals("; mean", p->channels, p->mean);
        print_reals("; std", p->channels, p->std);
    } else {
        (void)printf("; normalisation not known");
    }
    (void)printf("\nclasses  %d%s", p->classes, p->name != NULL ? ":" : ", names not known");
    for (int k = 0; p->name != NULL && k < p->classes && k < NAMES; k++) {
        (void)printf("%s %s", k > 0 ? "," : "", p->name[k]);
    }
    (void)printf("%s\ndata     %s%s%s\n", p->name != NULL && p->classes > NAMES ? ", ..." : "",
                 p->dataset[0] != '\0' ? p->dataset : "not known",
                 p->data_hash[0] != '\0' ? ", pack " : "", p->data_hash);
}
