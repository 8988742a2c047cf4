#ifndef SPX_TESTS_PACK_LIST_CHECK_H
#define SPX_TESTS_PACK_LIST_CHECK_H
/* Lists of pictures compared with what they must be, item for item. */
#include "data/pack/pack_list.h"
#include "kernels/base/alloc.h"
#include "tests/data/pack_bytes.h"

/* One item; its bytes are `contents`, or where that is NULL its name. */
typedef struct expected {
    const char *name;
    int label, split;
    const char *contents;
} expected;

/* A file whose bytes are its name. */
static inline void put_file(const char *name)
{
    assert_int_equal(spx_scratch_write(place(name), name, strlen(name)), 0);
}

static inline spx_pack_list *open_list(const char *kind, const char *src,
                                       const spx_pack_build_options *o)
{
    spx_pack_list *l;
    CHECK_OK(spx_pack_list_open(&l, kind, src, o));
    return l;
}

/* The items are those of right, in that order, with these bytes. */
static inline void check_items(const spx_pack_list *l, const expected *right, size_t n)
{
    size_t counts[SPX_SPLIT_COUNT] = {0};
    for (size_t i = 0; i < spx_pack_list_count(l) && i < n; i++) {
        const spx_pack_item item = spx_pack_list_item(l, i);
        const char *contents = right[i].contents != NULL ? right[i].contents : right[i].name;
        void *bytes;
        size_t size;
        assert_string_equal(item.name, right[i].name);
        assert_int_equal(item.label, right[i].label);
        assert_int_equal(item.split, right[i].split);
        counts[item.split]++;
        CHECK_OK(spx_pack_list_read(l, i, &bytes, &size));
        assert_int_equal(((char *)bytes)[size], 0);
        if (strstr((char *)bytes, contents) == NULL) { /* wherever the set lies */
            assert_string_equal(contents, (char *)bytes);
        }
        spx_free(bytes);
    }
    assert_int_equal(spx_pack_list_count(l), n);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        assert_int_equal(spx_pack_list_about(l)->split[s].count, counts[s]);
    }
}

static inline void check_list_refused(const char *kind, const char *src,
                                      const spx_pack_build_options *o, const char *expect)
{
    spx_pack_list *l;
    const spx_status st = spx_pack_list_open(&l, kind, src, o);
    assert_null(l);
    if (st == SPX_OK || strstr(spx_error_message(), expect) == NULL ||
        strchr(spx_error_message(), '\n') != NULL) {
        fail_msg("%s: %s: '%s', expected '%s'", kind, spx_status_text(st),
                 st != SPX_OK ? spx_error_message() : "", expect);
    }
}

#endif
