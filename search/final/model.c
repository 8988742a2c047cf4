#include "search/final/model.h"

#include "host/train/evaluate.h"
#include "kernels/base/alloc.h"
#include "search/final/export.h"

#include <assert.h>
#include <string.h>

json_t *spx_model_describe(const spx_final_spec *f, const spx_preprocess *images)
{
    spx_preprocess p = *images; /* a view: the names stay the caller's */
    p.channels = (int)f->input.channels;
    p.rows = (int)f->input.rows;
    p.columns = (int)f->input.columns;
    p.classes = (int)f->classes;
    p.normalised = true;
    memcpy(p.mean, f->mean, sizeof p.mean);
    memcpy(p.std, f->std, sizeof p.std);
    return json_pack("{s:o, s:o}", "network", spx_final_spec_json(f), "preprocessing",
                     spx_preprocess_json(&p));
}

spx_status spx_model_save(const char *path, const spx_final_spec *f, const spx_preprocess *images,
                          const json_t *about, const spx_layout *l, const spx_buffer *weights,
                          const spx_buffer *state)
{
    const spx_ckpt_arena list[] = {
        {"param", SPX_ROLE_WEIGHT, *weights},
        {"buffer", SPX_ROLE_STATE, *state},
    };
    json_t *meta = spx_model_describe(f, images);
    spx_status st;
    if (meta == NULL ||
        (about != NULL && json_object_update(meta, (json_t *)(uintptr_t)about) != 0) ||
        json_object_set_new(meta, "kind", json_string("model")) != 0) {
        st = SPX_FAIL(SPX_ENOMEM, "%s: description", path);
    } else {
        st = spx_ckpt_save(path, meta, l, list, 2, false);
    }
    json_decref(meta);
    return st;
}

/* The description says some things twice, for the network and for the images. */
static spx_status read_images(spx_model *m)
{
    const spx_final_spec *s = &m->spec;
    const spx_preprocess *p = &m->images;
    const size_t bytes = (size_t)s->input.channels * sizeof s->mean[0];
    SPX_RETURN_IF(spx_preprocess_of_meta(&m->images, m->file.meta));
    return p->channels == s->input.channels && p->rows == s->input.rows &&
                   p->columns == s->input.columns && p->classes == s->classes && p->normalised &&
                   memcmp(p->mean, s->mean, bytes) == 0 && memcmp(p->std, s->std, bytes) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "preprocessing: not that of its network");
}

/* Masks that the description keeps quiet about would be left out: another network. */
static spx_status check_masks(const spx_model *m)
{
    static const char *const group[] = {"buffer", "ema_buffer"};
    static const char end[] = ".mask";
    spx_status st = SPX_OK;
    for (int g = 0; g < 2 && !m->spec.masked && st == SPX_OK; g++) {
        spx_h5_names names;
        const spx_status listed = spx_h5_list(m->file.file, group[g], &names);
        st = listed == SPX_ENOTFOUND ? SPX_OK : listed;
        for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
            const size_t n = strlen(names.name[i]);
            if (n >= sizeof end && strcmp(names.name[i] + n + 1 - sizeof end, end) == 0) {
                st = SPX_FAIL(SPX_EFORMAT,
                              "%s/%.128s: a mask, of a network whose description says that it is "
                              "not masked",
                              group[g], names.name[i]);
            }
        }
        spx_h5_names_clear(&names);
    }
    return st;
}

/* Takes f, also on failure. */
static spx_status take(spx_model *out, spx_h5 *f, const char *path)
{
    const char *kind;
    spx_status st;
    SPX_TRY(st, spx_ckpt_take(&out->file, f), fail);
    kind = spx_ckpt_kind(&out->file);
    if (strcmp(kind, "model") != 0 && strcmp(kind, "train") != 0) {
        SPX_TRY(st,
                SPX_FAIL(SPX_EFORMAT, "%s: a checkpoint of %.32s, not a final network", path, kind),
                fail);
    }
    SPX_TRY(st,
            spx_fail_context(
                spx_final_spec_parse(&out->spec, json_object_get(out->file.meta, "network")), "%s",
                path),
            fail);
    SPX_TRY(st, spx_fail_context(read_images(out), "%s", path), fail);
    SPX_TRY(st, spx_fail_context(check_masks(out), "%s", path), fail);
    return SPX_OK;
fail:
    spx_model_close(out);
    return st;
}

spx_status spx_model_open_any(spx_model *out, spx_deploy **deployed, const char *given)
{
    char path[4096];
    spx_h5 *f;
    spx_status st;
    memset(out, 0, sizeof *out);
    *deployed = NULL;
    SPX_RETURN_IF(spx_ckpt_path(given, path, sizeof path));
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_CHECKED));
    if (!spx_deploy_is(f)) {
        return take(out, f, path);
    }
    st = spx_deploy_read_open(deployed, f);
    spx_h5_close(f);
    return st;
}

spx_status spx_model_open(spx_model *out, const char *given)
{
    char path[4096];
    spx_h5 *f;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_ckpt_path(given, path, sizeof path));
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_CHECKED));
    return take(out, f, path);
}

void spx_model_close(spx_model *m)
{
    spx_ckpt_close(&m->file);
    spx_preprocess_clear(&m->images);
    memset(m, 0, sizeof *m);
}

static bool is_mask(const spx_layout_entry *e)
{
    return e->role == SPX_ROLE_STATE && e->rank == 3; /* the only states like that */
}

/* l without masks, its list the caller's to free; the masks of a host's arenas become what a new
 * network begins with. */
static spx_status without_masks(spx_layout *bare, const spx_layout *l, const spx_ckpt_arena *host,
                                size_t n)
{
    *bare = *l;
    bare->n = 0;
    SPX_RETURN_IF(SPX_NEW(bare->entry, (size_t)l->n));
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (!is_mask(e)) {
            bare->entry[bare->n++] = *e;
        }
        for (size_t a = 0; a < n && is_mask(e); a++) {
            float *x = host[a].role == SPX_ROLE_STATE ? host[a].data.data : NULL;
            for (int64_t k = 0; x != NULL && k < e->count; k++) {
                x[e->offset + k] = e->init.value;
            }
        }
    }
    return SPX_OK;
}

/* Masks that are trained (linearizer.h) are the trainer's to begin with. */
static bool trains_masks(const spx_layout *l)
{
    bool any = false;
    for (int i = 0; i < l->n; i++) {
        any = any || (l->entry[i].role == SPX_ROLE_ARCH && l->entry[i].rank == 3);
    }
    return any;
}

spx_status spx_model_load(const spx_model *m, const spx_layout *l, spx_stream *stream,
                          const spx_ckpt_arena *arena, size_t n)
{
    spx_ckpt_arena host[SPX_DEVICE_ARENAS_MAX];
    spx_layout bare = {0};
    spx_status st;
    assert(n <= SPX_DEVICE_ARENAS_MAX);
    SPX_RETURN_IF(spx_host_twins(l, stream, arena, n, false, host));
    SPX_TRY(st, without_masks(&bare, l, host, n), end);
    if (m->spec.masked && bare.n == l->n && !trains_masks(l)) {
        SPX_TRY(st, SPX_FAIL(SPX_EINVAL, "a model with masks for a network without"), end);
    }
    if (json_object_get(m->file.meta, "snl") != NULL) {
        SPX_TRY(st,
                SPX_FAIL(SPX_EINVAL,
                         "%s: a checkpoint whose masks are being trained (--linearize snl); its "
                         "best.h5 or model.h5 can be used",
                         spx_h5_name(m->file.file)),
                end);
    }
    SPX_TRY(st, spx_ckpt_load(&m->file, m->spec.masked ? l : &bare, host, n), end);
    st = spx_host_twins_upload(l, stream, host, n, arena);
end:
    spx_free(bare.entry);
    spx_host_twins_free(arena, host, n);
    return st;
}

spx_status spx_model_arenas(const spx_model *m, const spx_layout *l, spx_stream *stream,
                            spx_buffer *weights, spx_buffer *state)
{
    const bool averaged = json_is_true(json_object_get(m->file.meta, "averaged"));
    spx_status st;
    *weights = *state = (spx_buffer){0};
    SPX_TRY(st, spx_layout_arena(l, stream, SPX_ROLE_WEIGHT, weights), fail);
    SPX_TRY(st, spx_layout_arena(l, stream, SPX_ROLE_STATE, state), fail);
    const spx_ckpt_arena list[2] = {{averaged ? "ema_param" : "param", SPX_ROLE_WEIGHT, *weights},
                                    {averaged ? "ema_buffer" : "buffer", SPX_ROLE_STATE, *state}};
    SPX_TRY(st, spx_model_load(m, l, stream, list, 2), fail);
    return SPX_OK;
fail:
    spx_buffer_free(weights);
    spx_buffer_free(state);
    return st;
}

/* What evaluation uses, in host memory, and a program for its layout. All to be freed, also on
 * failure. */
typedef struct contents {
    spx_stream *cpu;
    spx_program *program;
    spx_buffer weights, state;
} contents;

static spx_status contents_open(contents *x, const spx_model *m)
{
    *x = (contents){0};
    SPX_RETURN_IF(spx_stream_create(&x->cpu, SPX_DEVICE_CPU, 1));
    SPX_RETURN_IF(spx_final_eval_program(&x->program, x->cpu, &m->spec, 1, false, NULL));
    return spx_model_arenas(m, spx_program_layout(x->program), NULL, &x->weights, &x->state);
}

static void contents_clear(contents *x)
{
    spx_buffer_free(&x->weights);
    spx_buffer_free(&x->state);
    spx_program_destroy(x->program);
    spx_stream_destroy(x->cpu);
}

spx_status spx_model_masks(spx_masks *out, const spx_model *m)
{
    contents x = {0};
    spx_status st;
    memset(out, 0, sizeof *out);
    if (!m->spec.masked) {
        return SPX_OK;
    }
    SPX_TRY(st, contents_open(&x, m), end);
    SPX_TRY(st, spx_masks_of(out, &m->spec, spx_program_layout(x.program), &x.state), end);
    out->own = x.state;
    x.state = (spx_buffer){0};
end:
    contents_clear(&x);
    return st;
}

spx_status spx_model_relus(spx_relu_count *out, const spx_model *m)
{
    contents x = {0};
    spx_status st;
    if (!m->spec.masked) {
        return spx_export_relus(out, &m->spec, NULL, NULL, NULL);
    }
    SPX_TRY(st, contents_open(&x, m), end);
    st = spx_export_relus(out, &m->spec, spx_program_layout(x.program), &x.weights, &x.state);
end:
    contents_clear(&x);
    return st;
}

struct spx_model_runner {
    spx_stream *stream;   /* borrowed */
    spx_program *program; /* output 0: logits (batch, classes) */
    spx_buffer weights, state, workspace;
};

spx_status spx_model_runner_create(spx_model_runner **out, spx_stream *stream, const spx_model *m,
                                   int64_t batch, struct spx_tuning *tuning)
{
    spx_model_runner *r;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(r, 1));
    r->stream = stream;
    SPX_TRY(st, spx_final_eval_program(&r->program, stream, &m->spec, batch, false, tuning), fail);
    SPX_TRY(st, spx_model_arenas(m, spx_program_layout(r->program), stream, &r->weights, &r->state),
            fail);
    SPX_TRY(st, spx_buffer_alloc(&r->workspace, stream, spx_program_workspace_bytes(r->program)),
            fail);
    *out = r;
    return SPX_OK;
fail:
    spx_model_runner_destroy(r);
    return st;
}

void spx_model_runner_destroy(spx_model_runner *r)
{
    if (r == NULL) {
        return;
    }
    spx_buffer_free(&r->weights);
    spx_buffer_free(&r->state);
    spx_buffer_free(&r->workspace);
    spx_program_destroy(r->program);
    spx_free(r);
}

static spx_binding runner_binding(const spx_model_runner *r)
{
    return (spx_binding){.weights = r->weights, .state = r->state, .workspace = r->workspace};
}

spx_status spx_model_runner_logits(spx_model_runner *r, const float *images, float *logits)
{
    const void *const input[2] = {images, NULL}; /* labels are not read */
    spx_binding b = runner_binding(r);
    b.input = input;
    SPX_RETURN_IF(spx_program_run(r->program, &b));
    return spx_program_read(r->program, &b, 0, logits);
}

spx_status spx_model_runner_evaluate(spx_model_runner *r, const spx_source *src, spx_metrics *out)
{
    const spx_binding b = runner_binding(r);
    return spx_evaluate(r->stream, r->program, &b, src, 0, NULL, NULL, out);
}
