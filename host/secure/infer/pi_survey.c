/* What a server finds in its vault when it starts: of other models, of an earlier program. */
#include "host/secure/infer/pi_server_private.h"

#include <sodium.h>
#include <string.h>

#define MODEL_AT (2 + 2 * (size_t)SPX_PI_ID + 1) /* where a name says which model */
#define MODEL_BYTES ((size_t)8)                  /* what it says of its hash */

/* Fills in when x was made. @return whether it can be used: one that is damaged cannot, nor one of
 * another version, whose heads may have been shorter */
static bool date(spx_pi_server *s, spx_pi_item *x)
{
    char name[SPX_PI_NAME];
    spx_vault_reader *r;
    spx_pi_server_unit u;
    spx_status st;
    spx_pi_units_name(s->units, x, name);
    st = spx_vault_reader_open(&r, s->vault, name);
    if (st == SPX_OK) {
        st = spx_pi_read(r, spx_pi_server_unit_fields, &u);
        spx_vault_reader_close(r);
    }
    x->made_ms = st == SPX_OK ? u.head.made_ms : UINT64_MAX; /* what cannot be read stays */
    spx_pi_units_date(s->units, x);
    return st == SPX_OK ? u.head.version == SPX_PI_VERSION : st != SPX_EFORMAT;
}

/* Counts other models' units; where material expires, looks when each was made. */
static spx_status survey_units(spx_pi_server *s)
{
    for (spx_pi_item x = {0}; spx_pi_units_next(s->units, &x); x.number++) {
        const bool other = memcmp(x.model, s->model->hash, sizeof x.model) != 0;
        s->others.units += other;
        s->others.bytes += other ? x.bytes : 0;
        if ((other && s->options.remove_others) ||
            (s->options.expire_seconds > 0 && !date(s, &x))) {
            SPX_RETURN_IF(spx_pi_units_remove(s->units, &x));
        }
    }
    return SPX_OK;
}

/* Ledgers of an earlier program stood by the id that a client states; now what belongs to a name
 * stands by both. What they counted goes on counting, their material cannot be used any more. */
static spx_status adopt(void *ctx, const char *name, uint64_t bytes)
{
    spx_pi_server *s = ctx;
    uint8_t client[SPX_PI_ID], key[SPX_PI_ID], model[SPX_PI_HASH] = {0};
    spx_pi_ledger old;
    uint64_t version;
    size_t n, k;
    (void)bytes;
    if (strlen(name) != MODEL_AT + 2 * MODEL_BYTES ||
        sodium_hex2bin(client, sizeof client, name + 2, 2 * sizeof client, NULL, &n, NULL) != 0 ||
        sodium_hex2bin(model, MODEL_BYTES, name + MODEL_AT, 2 * MODEL_BYTES, NULL, &k, NULL) != 0 ||
        spx_pi_record_get(s->vault, name, spx_pi_ledger_fields, &old, &version) != SPX_OK ||
        version == SPX_PI_VERSION) {
        return SPX_OK;
    }
    old.peer[sizeof old.peer - 1] = '\0';
    spx_pi_account_key(old.peer, client, key);
    SPX_RETURN_IF(spx_pi_account_adopt(s, key, model, client, &old));
    if (old.peer[0] == '\0') {
        return SPX_OK; /* the ledger serves on; its numbers are spent when the client comes */
    }
    SPX_RETURN_IF(spx_pi_units_remove_below(s->units, spx_pi_item_at(client, model, UINT64_MAX)));
    return spx_vault_remove(s->vault, name);
}

spx_status spx_pi_server_survey(spx_pi_server *s)
{
    bool fresh;
    SPX_RETURN_IF(spx_pi_server_load(s, &fresh));
    if (fresh) {
        SPX_RETURN_IF(spx_vault_list(s->vault, "l-", adopt, s));
        SPX_RETURN_IF(spx_pi_server_save(s));
    }
    SPX_RETURN_IF(survey_units(s));
    SPX_RETURN_IF(spx_pi_server_expire_units(s));
    return spx_pi_server_expire_accounts(s);
}
