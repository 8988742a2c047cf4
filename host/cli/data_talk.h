#ifndef SPX_DATA_TALK_H
#define SPX_DATA_TALK_H
/* The sub-commands of sphynx data, and what they say of packs. */
#include "data/pack/pack.h"
#include "host/cli/cli.h"

extern const spx_command spx_data_pack, spx_data_check, spx_data_info, spx_data_preview,
    spx_data_batches;

/** One line: what is in the pack at path. */
void spx_pack_print_summary(const spx_pack *p, const char *path);

/**
 * Warns of classes without an image, a line for each split that is there.
 * @param empty  how many there are, of all splits
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pack_warn_classes(const spx_cli *cli, const spx_pack *p,
                                                size_t *empty);

/** The whole report of `data info --json`. @return SPX_OK, SPX_EFORMAT (no UTF-8 text), SPX_EIO */
SPX_MUST_CHECK spx_status spx_pack_print_json(const spx_pack *p);

#endif
