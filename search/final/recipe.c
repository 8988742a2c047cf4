#include "search/final/recipe.h"

#include "search/final/recipe_private.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *find(const char *name)
{
    const spx_recipe *r = spx_recipes;
    while (r->name != NULL && strcmp(r->name, name) != 0) {
        r++;
    }
    return r->text;
}

const char *spx_recipe_text(const char *name, bool imagenet)
{
    char whole[64];
    const char *text = NULL;
    if (imagenet && snprintf(whole, sizeof whole, "%s-imagenet", name) < (int)sizeof whole) {
        text = find(whole);
    }
    return text != NULL ? text : find(name);
}
