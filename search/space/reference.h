#ifndef SPX_REFERENCE_H
#define SPX_REFERENCE_H
/*
 * Networks that others published, in the same graph as ours: what ours are compared with, teachers,
 * and what pruning and private inference work on. Said as "NAME[,key=value...]"; in parentheses a
 * network's keys and what they are by default.
 *
 * - resnet18, resnet34 (stem_relu=1, width=64, pool=max): arXiv 1512.03385, as torchvision has
 *   them: basic blocks of widths w, 2w, 4w, 8w. resnet50 (the same): bottlenecks, the stride in the
 *   3x3 convolution. resnet32 (stem_relu=1, width=16): its section 4.2, but 1x1 shortcuts.
 * - wrn-22-8 (last_relu=0, width=16): arXiv 1605.07146: pre-activation, widths w, 8w, 16w, 32w;
 *   with last_relu=0 as NYU-DICE-Lab/selective_network_linearization has it.
 * - vgg16 (bn=1, width=64, pool=max): arXiv 1409.1556, configuration D; form 224 has three linear
 *   layers and bn=0, as torchvision, the others one layer on the mean of the map.
 * - densenet121 (pool=max): arXiv 1608.06993, as torchvision has it; form 224 only.
 * - squeezenet1_1 (pool=max): arXiv 1602.07360, as torchvision has its smaller form 1.1: a 1x1
 *   convolution squeezes, two beside each other expand; the logits are the mean of a last
 *   convolution's map, rectified. Form 224 only.
 * - mobilenet_v2: arXiv 1801.04381, as torchvision has it, with ReLU6; form 224 only.
 * - deepreduce (cull=none, thin=0, alpha=1, rho=1, blocks=2+2+2+2): arXiv 2103.01396: ResNet-18
 *   without stem ReLU; cull=1+4: stages 1 and 4 have none; thin=1: none after additions; alpha: of
 *   the widths; rho: of the resolution, the stem's stride is 1/rho.
 * - hybrenet (m=16, alpha=5, beta=5, gamma=3, stem_relu=1): arXiv 2304.10593: ResNet-18 of widths
 *   m, m alpha, m alpha beta, m alpha beta gamma.
 * - cnet1, cnet2, cnet3 (width, kernels, skips): arXiv 2006.08733, as zghodsi/CryptoNAS has them
 *   for CIFAR-100. kernels: a digit a layer, or one for all; 0 and 1: 3x3, 2 and 3: 5x5. skips:
 *   none, all, or a file that has for each layer a line: the kernel's digit, then a bit for each
 *   earlier state but its input, with blanks between; it sets kernels, too.
 * - cnet (layers=6, width=14, kernels=0, skips=none): a chain of 1 to 24 layers of the same kind.
 *   It has layers * width * rows * columns ReLUs: each halving of the map is one to four times the
 *   channels, after a third and after two thirds of the layers.
 *
 * Besides all have form=32|64|224, by default the first that takes the input: 32 and 64 begin with
 * a 3x3 convolution of stride 1 (CIFAR, Tiny ImageNet), 224 as published for ImageNet. pool=avg
 * has average pools in place of max pools.
 *
 * Parameters are called as in torchvision where the network is torchvision's. A linear layer with a
 * ReLU behind it is a convolution of its map's size: vgg16's classifier.0 and .3. No dropout.
 */
#include "search/space/spec.h"

/**
 * Reads such a text.
 * @param out    receives the canonical form: NAME, then all keys of the network in their order
 * @param text   as a user gave it
 * @param input  what it is for: chooses the form where none is given
 * @return SPX_OK; SPX_EINVAL naming network or key and what is possible, also where the form does
 *         not take the input; of skips=FILE what spx_text_read returns, SPX_EFORMAT naming the line
 */
SPX_MUST_CHECK spx_status spx_reference_parse(char out[SPX_REFERENCE_CHARS], const char *text,
                                              const spx_input_shape *input);

/**
 * Tells of the i-th network: its name, its keys and what they are by default, its forms.
 * @return false: there are no more
 */
bool spx_reference_describe(size_t i, char out[SPX_REFERENCE_CHARS]);

/**
 * Builds it; spx_build_spec comes here. n->stage are the outputs of its stages: what lies between
 * two halvings of the map.
 * @param canonical  spx_reference_parse's; any text is safe
 * @param c          genotype's numbers and drop-path are not read
 * @return as spx_build_final; SPX_EINVAL where an auxiliary head is asked for: there is none
 */
SPX_MUST_CHECK spx_status spx_build_reference(spx_network *out, const char *canonical,
                                              const spx_final_config *c);

#endif
