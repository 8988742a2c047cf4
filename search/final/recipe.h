#ifndef SPX_RECIPE_H
#define SPX_RECIPE_H
/* Recipes: the options of a whole training under a name. They are the INI files of recipes/, which
 * are compiled in, and which an installed tree has to be copied from. */
#include <stdbool.h>

/**
 * The text of a recipe that comes with the program, as --config reads it.
 * @param name      of the file, without .ini
 * @param imagenet  the network is one for 224x224 images: NAME then stands for NAME-imagenet, where
 *                  there is that
 * @return NULL where there is none of this name
 */
const char *spx_recipe_text(const char *name, bool imagenet);

#endif
