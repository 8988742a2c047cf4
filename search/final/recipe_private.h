#ifndef SPX_RECIPE_PRIVATE_H
#define SPX_RECIPE_PRIVATE_H
/* The recipes as CMakeLists.txt writes them into the build folder. */

typedef struct spx_recipe {
    const char *name, *text;
} spx_recipe;

extern const spx_recipe spx_recipes[]; /* ends with {0} */

#endif
