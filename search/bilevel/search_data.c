#include "search/bilevel/search_data_private.h"

#include "kernels/base/alloc.h"

static spx_status open_halves(spx_search_data *d, spx_stream *s, const spx_search_options *o,
                              const uint32_t *const index[2], const size_t n[2])
{
    for (int i = 0; i < SPX_HALF_COUNT; i++) {
        const bool train = i != SPX_HALF_CHECK;
        const int half = i == SPX_HALF_WEIGHTS ? 0 : 1;
        const spx_loader_options lo = {.split = SPX_SPLIT_TRAIN,
                                       .subset = index[half],
                                       .subset_count = n[half],
                                       .train = train,
                                       .batch = (size_t)o->net.batch,
                                       .height = (int)o->net.input.rows,
                                       .width = (int)o->net.input.columns,
                                       .augment = o->augment,
                                       .seed = o->run.seed,
                                       .threads = train ? 1 : 0};
        SPX_RETURN_IF(spx_device_source_open(&d->batches[i], s, d->split, o->pack, &lo));
        d->source[i] = spx_device_source_of(d->batches[i]);
    }
    return SPX_OK;
}

spx_status spx_search_data_open(spx_search_data *d, spx_stream *s, const spx_search_options *o)
{
    const spx_pack_split *all = &o->pack->split[SPX_SPLIT_TRAIN];
    const size_t most = (all->count + 1) / 2;
    size_t n[2];
    void *room = NULL;
    uint32_t *first, *second;
    spx_status st;
    SPX_RETURN_IF(
        spx_device_split_open(&d->split, s, o->pack, SPX_SPLIT_TRAIN, SPX_DEVICE_SPLIT_SHARE));
    SPX_RETURN_IF(spx_calloc(&room, 2 * most, sizeof(uint32_t)));
    first = room;
    second = first + most;
    st = spx_split_halves(all->labels, all->count, o->pack->classes, o->run.seed, first, &n[0],
                          second, &n[1]);
    if (st == SPX_OK) {
        st = open_halves(d, s, o, (const uint32_t *const[2]){first, second}, n);
    }
    spx_free(room);
    return st;
}

void spx_search_data_close(spx_search_data *d)
{
    for (int i = 0; i < SPX_HALF_COUNT; i++) {
        spx_device_source_close(d->batches[i]);
    }
    spx_device_split_close(d->split);
}
