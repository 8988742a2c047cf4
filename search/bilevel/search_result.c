/* What a search leaves: its genotype as files, its result as JSON. */
#include "search/bilevel/search_run.h"

#include <stdlib.h>

spx_status spx_genotype_save(const spx_session *session, const spx_genotype *g,
                             const spx_cell_masks *m)
{
    char *json = spx_genotype_masked_json(g, m), *text = spx_genotype_text(g);
    spx_status st = SPX_OK;
    if (json == NULL || text == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "genotype: text");
    }
    if (st == SPX_OK) {
        st = spx_session_write(session, "genotype.json", json);
    }
    if (st == SPX_OK) {
        st = spx_session_write(session, "genotype.txt", text);
    }
    free(json);
    free(text);
    return st;
}

json_t *spx_search_result_json(const spx_search_result *r)
{
    json_t *j =
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "steps", (json_int_t)r->steps, "epoch",
                  (json_int_t)r->epoch, "val_top1", r->top1, "skip_share", r->collapse.skip_share,
                  "none_share", r->collapse.none_share, "alpha_entropy", r->collapse.entropy,
                  "genotype", spx_genotype_value(&r->genotype));
    if (j != NULL && r->masks.n > 0) {
        (void)json_object_set_new(j, "masks", spx_cell_masks_value(&r->masks));
        (void)json_object_set_new(j, "expected_relus", json_real(r->relus));
        (void)json_object_set_new(j, "lambda", json_real(r->lambda));
    }
    return j;
}
