/* The published data sets: shapes, class names in label order, customary normalisation. */
#include "data/pack/pack_build.h"
#include "data/pack/pack_list_private.h"

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

/* What sources look like. */
static const char idx_layout[] =
    "a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k (also as\n"
    "idx3.ubyte), plain or .gz; or the folder torchvision downloads to";
static const char emnist_layout[] =
    "a folder with emnist-SET-train-images-idx3-ubyte, emnist-SET-train-labels-idx1-ubyte and the\n"
    "same of test, plain or .gz; or the folder torchvision downloads to";
static const char cifar_layout[] =
    "a folder with the files of the binary version (data_batch_1.bin, ..., test_batch.bin;\n"
    "cifar100: train.bin, test.bin) or the python version (the same without .bin), or one in "
    "which\n"
    "its archive was unpacked; or one .bin file, for that split alone";
static const char tiny_layout[] =
    "tiny-imagenet-200.zip, or its folder: train/CLASS/images, wnids.txt, words.txt, and val with\n"
    "val_annotations.txt or sorted into val/CLASS";
static const char imagenet_layout[] =
    "a folder with ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and\n"
    "ILSVRC2012_devkit_t12.tar.gz (nothing is unpacked); or train/CLASS and val/CLASS; or "
    "train/CLASS\n"
    "and a flat val with val_annotations.txt, val.txt (lines: picture, class or its number),\n"
    "LOC_val_solution.csv, or ILSVRC2012_validation_ground_truth.txt and meta.mat; or Kaggle's "
    "tree\n"
    "with ILSVRC/Data/CLS-LOC, LOC_val_solution.csv and LOC_synset_mapping.txt";
static const char imagefolder_layout[] =
    "a folder with train/CLASS and val/CLASS, valid/CLASS or test/CLASS (all of these become the\n"
    "split test), or with CLASS alone; where there is no test split, --test-fraction of each class "
    "is\n"
    "held out. CLASS is a folder of any name with .jpg, .jpeg or .png files, at any depth; other\n"
    "files are passed over";
static const char arrays_layout[] =
    "a .npz or HDF5 file with x_train, y_train, x_test, y_test, or with x and y, of which\n"
    "--test-fraction is held out: images of u8 as (N, H, W), (N, H, W, C) or (N, C, H, W), C "
    "being\n"
    "1 or 3; labels as whole numbers from 0 on";

/* EMNIST's classes; "merge" sets leave out small letters that look like their capitals. */
#define DIGITS "0\n1\n2\n3\n4\n5\n6\n7\n8\n9"
#define CAPITALS "A\nB\nC\nD\nE\nF\nG\nH\nI\nJ\nK\nL\nM\nN\nO\nP\nQ\nR\nS\nT\nU\nV\nW\nX\nY\nZ"
#define SMALL "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nu\nv\nw\nx\ny\nz"
static const char class_names_62[] = DIGITS "\n" CAPITALS "\n" SMALL;
static const char class_names_47[] = DIGITS "\n" CAPITALS "\na\nb\nd\ne\nf\ng\nh\nn\nq\nr\nt";
static const char letter_names[] = CAPITALS;

#define EMNIST_ROW(row_name, n, names)                                                             \
    .name = row_name, .channels = 1, .side = 28, .classes = n, .class_names = names,               \
    .layout = emnist_layout, .read = spx_pack_read_emnist

static const spx_pack_kind kinds[] = {
    {.name = "mnist",
     .channels = 1,
     .side = 28,
     .classes = 10,
     .class_names = digit_names,
     .mean = {.1307},
     .std = {.3081},
     .home = "MNIST/raw",
     .label_hint = " (or is it a set of EMNIST?)",
     .layout = idx_layout,
     .read = spx_pack_read_idx},
    {.name = "fashion-mnist",
     .channels = 1,
     .side = 28,
     .classes = 10,
     .class_names = fashion_names,
     .mean = {.2860},
     .std = {.3530},
     .home = "FashionMNIST/raw",
     .layout = idx_layout,
     .read = spx_pack_read_idx},
    {EMNIST_ROW("emnist-balanced", 47, class_names_47)},
    {EMNIST_ROW("emnist-bymerge", 47, class_names_47)},
    {EMNIST_ROW("emnist-byclass", 62, class_names_62)},
    {EMNIST_ROW("emnist-letters", 26, letter_names), .first_label = 1},
    {EMNIST_ROW("emnist-digits", 10, digit_names)},
    {EMNIST_ROW("emnist-mnist", 10, digit_names)},
    {.name = "cifar10",
     .channels = 3,
     .side = 32,
     .classes = 10,
     .class_names = cifar10_names,
     .mean = {.4914, .4822, .4465},
     .std = {.2470, .2435, .2616},
     .layout = cifar_layout,
     .read = spx_pack_read_cifar},
    {.name = "cifar100",
     .channels = 3,
     .side = 32,
     .classes = 100,
     .coarse_classes = 20,
     .class_names = cifar100_names,
     .coarse_names = cifar100_coarse_names,
     .mean = {.5071, .4867, .4408},
     .std = {.2675, .2565, .2761},
     .layout = cifar_layout,
     .read = spx_pack_read_cifar},
    {.name = "tiny-imagenet",
     .mean = {.480, .448, .398},
     .std = {.277, .269, .282},
     .layout = tiny_layout,
     .store = "raw:64",
     .list = spx_list_tiny},
    {.name = "imagenet",
     .mean = {.485, .456, .406},
     .std = {.229, .224, .225},
     .layout = imagenet_layout,
     .list = spx_list_imagenet},
    {.name = "imagefolder",
     .old_name = "folder",
     .layout = imagefolder_layout,
     .list = spx_list_imagefolder}, /* own pictures: a folder a class */
    {.name = "arrays",
     .old_name = "npz",
     .layout = arrays_layout,
     .read = spx_pack_read_arrays}, /* own arrays */
};

#define KINDS (sizeof kinds / sizeof kinds[0])

const char *spx_pack_known(size_t i)
{
    if (i < KINDS) {
        return kinds[i].name;
    }
    for (size_t k = 0; k < KINDS; k++) { /* then the old names */
        if (kinds[k].old_name != NULL && i-- == KINDS) {
            return kinds[k].old_name;
        }
    }
    return NULL;
}

const char *spx_pack_layout(size_t i)
{
    return i < KINDS && (i == 0 || kinds[i].layout != kinds[i - 1].layout) ? kinds[i].layout : NULL;
}

const spx_pack_kind *spx_pack_kind_of(const char *name)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0 ||
            (kinds[i].old_name != NULL && strcmp(kinds[i].old_name, name) == 0)) {
            return &kinds[i];
        }
    }
    return NULL;
}

const char *spx_pack_present_name(const char *name)
{
    const spx_pack_kind *k = spx_pack_kind_of(name);
    return k != NULL ? k->name : name;
}

const char *spx_pack_usual_store(const char *kind)
{
    const spx_pack_kind *k = spx_pack_kind_of(kind);
    return k != NULL && k->store != NULL ? k->store : "original";
}

int spx_pack_published_side(const char *dataset)
{
    const spx_pack_kind *k = spx_pack_kind_of(dataset);
    return k != NULL ? k->side : 0;
}
