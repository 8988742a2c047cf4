/* What a server finds in its vault when it starts: of other models, of an earlier program. */
#include "host/secure/infer/pi_server_private.h"

#include <sodium.h>
#include <string.h>

#define MODEL_AT (2 + 2 * (size_t)SPX_PI_ID + 1) /* where a name says which model */
#define MODEL_BYTES ((size_t)8)                  /* what it says of its hash */

static spx_status survey_unit(void *ctx, const char *name, uint64_t bytes)
{
    spx_pi_server *s = ctx;
    char model[2 * MODEL_BYTES + 1];
    if (spx_pi_name_number(name) < 0) {
        return SPX_OK;
    }
    (void)sodium_bin2hex(model, sizeof model, s->model->hash, MODEL_BYTES);
    if (memcmp(name + MODEL_AT, model, 2 * MODEL_BYTES) == 0) {
        return SPX_OK;
    }
    s->others.units++;
    s->others.bytes += bytes;
    return s->options.remove_others ? spx_vault_remove(s->vault, name) : SPX_OK;
}

static spx_status remove_it(void *ctx, const char *name, uint64_t bytes)
{
    (void)bytes;
    return spx_vault_remove(ctx, name);
}

/* Ledgers of an earlier program stood by the id that a client states; now what belongs to a name
 * stands by both. What they counted goes on counting, their material cannot be used any more. */
static spx_status adopt(void *ctx, const char *name, uint64_t bytes)
{
    spx_pi_server *s = ctx;
    uint8_t client[SPX_PI_ID], key[SPX_PI_ID], model[SPX_PI_HASH] = {0};
    char of_model[SPX_PI_NAME];
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
    spx_pi_name(of_model, 't', client, model, -1);
    SPX_RETURN_IF(spx_vault_list(s->vault, of_model, remove_it, s->vault));
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
    SPX_RETURN_IF(spx_vault_list(s->vault, "t-", survey_unit, s));
    return spx_pi_server_expire(s);
}
