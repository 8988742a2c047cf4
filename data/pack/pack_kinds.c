/* The published data sets: shapes, class names in label order, customary normalisation. */
#include "data/pack/pack_build.h"
#include "data/pack/pack_private.h"

#include <string.h>

static const char digit_names[] = "0\n1\n2\n3\n4\n5\n6\n7\n8\n9";

static const char fashion_names[] = "T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\n"
                                    "Sneaker\nBag\nAnkle boot";

static const char cifar10_names[] =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\n"
    "truck";

static const char cifar100_names[] =
    "apple\naquarium_fish\nbaby\nbear\nbeaver\nbed\nbee\nbeetle\nbicycle\nbottle\nbowl\nboy\n"
    "bridge\nbus\nbutterfly\ncamel\ncan\ncastle\ncaterpillar\ncattle\nchair\nchimpanzee\nclock\n"
    "cloud\ncockroach\ncouch\ncrab\ncrocodile\ncup\ndinosaur\ndolphin\nelephant\nflatfish\nforest\n"
    "fox\ngirl\nhamster\nhouse\nkangaroo\nkeyboard\nlamp\nlawn_mower\nleopard\nlion\nlizard\n"
    "lobster\nman\nmaple_tree\nmotorcycle\nmountain\nmouse\nmushroom\noak_tree\norange\norchid\n"
    "otter\npalm_tree\npear\npickup_truck\npine_tree\nplain\nplate\npoppy\nporcupine\npossum\n"
    "rabbit\nraccoon\nray\nroad\nrocket\nrose\nsea\nseal\nshark\nshrew\nskunk\nskyscraper\nsnail\n"
    "snake\nspider\nsquirrel\nstreetcar\nsunflower\nsweet_pepper\ntable\ntank\ntelephone\n"
    "television\ntiger\ntractor\ntrain\ntrout\ntulip\nturtle\nwardrobe\nwhale\nwillow_tree\nwolf\n"
    "woman\nworm";

static const char cifar100_coarse_names[] =
    "aquatic_mammals\nfish\nflowers\nfood_containers\nfruit_and_vegetables\n"
    "household_electrical_devices\nhousehold_furniture\ninsects\nlarge_carnivores\n"
    "large_man-made_outdoor_things\nlarge_natural_outdoor_scenes\n"
    "large_omnivores_and_herbivores\nmedium_mammals\nnon-insect_invertebrates\npeople\nreptiles\n"
    "small_mammals\ntrees\nvehicles_1\nvehicles_2";

/* EMNIST's classes; "merge" sets leave out small letters that look like their capitals. */
#define DIGITS "0\n1\n2\n3\n4\n5\n6\n7\n8\n9"
#define CAPITALS "A\nB\nC\nD\nE\nF\nG\nH\nI\nJ\nK\nL\nM\nN\nO\nP\nQ\nR\nS\nT\nU\nV\nW\nX\nY\nZ"
#define SMALL "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nu\nv\nw\nx\ny\nz"
static const char class_names_62[] = DIGITS "\n" CAPITALS "\n" SMALL;
static const char class_names_47[] = DIGITS "\n" CAPITALS "\na\nb\nd\ne\nf\ng\nh\nn\nq\nr\nt";
static const char letter_names[] = CAPITALS;

#define EMNIST_ROW(name, classes, names)                                                           \
    {                                                                                              \
        name, 1, 28, classes, 0, names, NULL, {0}, {0}, spx_pack_read_emnist                       \
    }

const spx_pack_kind spx_pack_kinds[] = {
    {"mnist", 1, 28, 10, 0, digit_names, NULL, {.1307}, {.3081}, spx_pack_read_idx},
    {"fashion-mnist", 1, 28, 10, 0, fashion_names, NULL, {.2860}, {.3530}, spx_pack_read_idx},
    EMNIST_ROW("emnist-balanced", 47, class_names_47),
    EMNIST_ROW("emnist-bymerge", 47, class_names_47),
    EMNIST_ROW("emnist-byclass", 62, class_names_62),
    EMNIST_ROW("emnist-letters", 26, letter_names),
    EMNIST_ROW("emnist-digits", 10, digit_names),
    EMNIST_ROW("emnist-mnist", 10, digit_names),
    {"cifar10",
     3,
     32,
     10,
     0,
     cifar10_names,
     NULL,
     {.4914, .4822, .4465},
     {.2470, .2435, .2616},
     spx_pack_read_cifar},
    {"cifar100",
     3,
     32,
     100,
     20,
     cifar100_names,
     cifar100_coarse_names,
     {.5071, .4867, .4408},
     {.2675, .2565, .2761},
     spx_pack_read_cifar},
    {.name = "folder", .read = spx_pack_read_folder}, /* own pictures: a folder a class */
    {.name = "npz", .read = spx_pack_read_npz},       /* own arrays */
    {.name = NULL},
};

const char *spx_pack_known(size_t i)
{
    return i < sizeof spx_pack_kinds / sizeof *spx_pack_kinds ? spx_pack_kinds[i].name : NULL;
}

int spx_pack_published_side(const char *dataset)
{
    const spx_pack_kind *k = spx_pack_kinds;
    while (k->name != NULL && strcmp(k->name, dataset) != 0) {
        k++;
    }
    return k->side; /* 0 at the end */
}
