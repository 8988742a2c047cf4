/* What is spent, as each party remembers it: before the first byte that depends on a unit's secret
 * leaves, it is recorded, durably, and the unit's file is gone. */
#include "host/secure/infer/pi_client_private.h"
#include "host/secure/infer/pi_server_private.h"

#include <stdio.h>
#include <string.h>

/* ---- the server's: a ledger for each client ---- */

void spx_pi_ledger_fields(spx_wire *w, void *ledger)
{
    spx_pi_ledger *l = ledger;
    spx_wire_u64(w, &l->spent);
    spx_wire_u64(w, &l->next);
    spx_wire_u64(w, &l->answered);
    spx_wire_bytes(w, l->peer, sizeof l->peer);
}

spx_status spx_pi_ledger_put(spx_pi_session_state *t)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, 'l', t->client, t->s->model->hash, -1);
    t->known = true;
    return spx_pi_record_put(t->s->vault, name, spx_pi_ledger_fields, &t->ledger);
}

/* One that is not known, or not any more, is not written because somebody came, but when numbers
 * are given out: and those lie above all that it may hold. */
spx_status spx_pi_ledger_get(spx_pi_session_state *t)
{
    const char *peer = spx_channel_peer(t->channel);
    char name[SPX_PI_NAME];
    uint64_t version;
    spx_status st;
    spx_pi_name(name, 'l', t->client, t->s->model->hash, -1);
    st = spx_pi_record_get(t->s->vault, name, spx_pi_ledger_fields, &t->ledger, &version);
    if (st == SPX_ENOTFOUND) {
        memset(&t->ledger, 0, sizeof t->ledger);
        t->ledger.spent = t->ledger.next = spx_pi_server_floor(t->s);
        (void)snprintf(t->ledger.peer, sizeof t->ledger.peer, "%s", peer);
        return SPX_OK;
    }
    SPX_RETURN_IF(st);
    t->known = true;
    if (strncmp(t->ledger.peer, peer, sizeof t->ledger.peer - 1) != 0) {
        return SPX_FAIL(SPX_EINVAL, "this client's material belongs to another identity");
    }
    if (version != SPX_PI_VERSION) { /* what its numbers stand for cannot be used: it is spent */
        t->ledger.spent = t->ledger.next;
        SPX_RETURN_IF(spx_pi_ledger_put(t));
    }
    return SPX_OK;
}

/* As high as the client says, where this vault was put back to an earlier state; and units go that
 * a crash has left. */
spx_status spx_pi_ledger_agree(spx_pi_session_state *t, uint64_t theirs)
{
    spx_pi_ledger *l = &t->ledger;
    if (theirs > l->spent) {
        l->spent = theirs;
        l->next = theirs > l->next ? theirs : l->next;
        if (t->known) {
            SPX_RETURN_IF(spx_pi_ledger_put(t));
        }
    }
    return spx_pi_units_remove_below(t->s->units,
                                     spx_pi_item_at(t->client, t->s->model->hash, l->spent));
}

spx_status spx_pi_ledger_spend(spx_pi_session_state *t, uint64_t number)
{
    spx_pi_ledger *l = &t->ledger;
    l->spent = number + 1;
    l->next = l->spent > l->next ? l->spent : l->next;
    SPX_RETURN_IF(spx_pi_ledger_put(t));
    return spx_pi_units_remove_to(t->s->units,
                                  spx_pi_item_at(t->client, t->s->model->hash, number));
}

/* ---- the client's: a number for each server ---- */

spx_pi_item spx_pi_client_units(const spx_pi_client *p, uint64_t number)
{
    return spx_pi_item_at(p->home, p->model->hash, number);
}

static spx_status put_spent(spx_pi_client *p, uint64_t spent)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, 's', p->home, p->model->hash, -1);
    SPX_RETURN_IF(spx_pi_record_put(p->vault, name, spx_pi_number_fields, &spent));
    p->spent = spent;
    return SPX_OK;
}

/* A record of this version is written before any unit: where there is none, the units that lie
 * there are of an earlier program, whose seeds mean something else. They count as spent. */
spx_status spx_pi_spent_get(spx_pi_client *p)
{
    char name[SPX_PI_NAME];
    uint64_t version = 0, end;
    spx_pi_name(name, 's', p->home, p->model->hash, -1);
    p->spent = 0;
    const spx_status st =
        spx_pi_record_get(p->vault, name, spx_pi_number_fields, &p->spent, &version);
    if (st == SPX_OK && version == SPX_PI_VERSION) {
        return SPX_OK;
    }
    if (st != SPX_OK && st != SPX_ENOTFOUND) {
        return st;
    }
    end = p->spent;
    for (spx_pi_item x = spx_pi_client_units(p, end); spx_pi_units_next_own(p->units, &x);
         x.number++) {
        p->removed++;
        end = x.number + 1;
    }
    return put_spent(p, end);
}

spx_status spx_pi_spent_agree(spx_pi_client *p, uint64_t theirs)
{
    if (theirs > p->spent) {
        SPX_RETURN_IF(put_spent(p, theirs));
    }
    return spx_pi_units_remove_below(p->units, spx_pi_client_units(p, p->spent));
}

spx_status spx_pi_spent_spend(spx_pi_client *p, uint64_t number)
{
    SPX_RETURN_IF(put_spent(p, number + 1));
    return spx_pi_units_remove_to(p->units, spx_pi_client_units(p, number));
}
