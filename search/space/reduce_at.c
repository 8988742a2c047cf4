#include "search/space/network.h"

spx_status spx_reduce_at_parse(const json_t *a, int64_t layers, int at[SPX_MAX_REDUCE], int *n)
{
    const size_t count = json_array_size(a);
    if (!json_is_array(a) || count > SPX_MAX_REDUCE) {
        return SPX_FAIL(SPX_EFORMAT, "reduce_at: a list of at most %d cells expected",
                        SPX_MAX_REDUCE);
    }
    for (size_t i = 0; i < count; i++) {
        const json_int_t cell = json_integer_value(json_array_get(a, i)),
                         least = i > 0 ? at[i - 1] + 1 : 0;
        if (!json_is_integer(json_array_get(a, i))) {
            return SPX_FAIL(SPX_EFORMAT, "reduce_at: numbers of cells expected");
        }
        if (cell < least || cell >= layers) {
            return SPX_FAIL(SPX_EFORMAT,
                            "reduce_at: cell %lld, expected %lld to %lld in ascending order",
                            (long long)cell, (long long)least, (long long)layers - 1);
        }
        at[i] = (int)cell;
    }
    *n = (int)count;
    return SPX_OK;
}

json_t *spx_reduce_at_json(const int *at, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(a, json_integer(at[i]));
    }
    return a;
}
