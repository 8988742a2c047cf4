/*
 * Pictures in folders: one a class, its name the class's, in train/ and val/, valid/ or test/, or
 * of one level, from which a share of each class is held out. As torchvision's ImageFolder reads
 * them: folders of a class at any depth, classes by rising bytes of their names.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_list_private.h"

#include <string.h>

static const char *const test_folders[] = {"test", "val", "valid"};
#define TESTS (sizeof test_folders / sizeof *test_folders)

static bool has_folders(const char *path)
{
    spx_folder_entry *entries;
    size_t n;
    bool has = false;
    if (spx_folder_read(path, &entries, &n, NULL) != SPX_OK) {
        return true; /* the walk will say why */
    }
    for (size_t i = 0; i < n; i++) {
        has = has || entries[i].folder;
    }
    spx_folder_free(entries, n);
    return has;
}

/* Whether src/name is a part of the set, and no class that happens to have its name. */
static bool is_part(const char *src, const char *name)
{
    char path[PATH_MAX];
    return spx_path_join(path, src, name) && spx_is_folder(path) && has_folders(path);
}

spx_status spx_list_imagefolder(spx_pack_list *l, const char *src, const spx_pack_build_options *o)
{
    bool tests = false;
    const bool split = is_part(src, "train");
    spx_list_rules rules = {.depth = split ? 1 : 0};
    if (!spx_is_folder(src)) {
        return spx_pack_not_found(src, "a folder a class, or train and test (or val) of such");
    }
    SPX_RETURN_IF(spx_list_root(l, src));
    SPX_RETURN_IF(spx_list_walk(l, src, split ? "train" : ".", SPX_SPLIT_TRAIN, true));
    for (size_t i = 0; i < TESTS; i++) {
        if (is_part(src, test_folders[i])) {
            tests = true;
            if (!split) {
                return spx_pack_not_found(src, "train beside its test, val or valid");
            }
            SPX_RETURN_IF(spx_list_walk(l, src, test_folders[i], SPX_SPLIT_TEST, true));
        }
    }
    if (tests) {
        SPX_RETURN_IF(spx_pack_no_share(o, src));
    }
    SPX_RETURN_IF(spx_list_number_classes(l));
    rules.hold = tests ? NULL : o;
    return spx_list_finish(l, &rules);
}
