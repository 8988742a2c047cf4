"""PyTorch equivalents of the networks and steps the engine implements.

The measured peer of scripts/bench/cpu and the maker of tests/golden: what a PyTorch user of the
published Sphynx configuration runs, written from the description of the method. Module names are
chosen so that `named_parameters()` and `named_buffers()` give the names the golden files use.
Runs on PyTorch 1.13 and later. Shapes: images (N, C, H, W); alphas (edges of the node, primitives).
"""
import ast
import copy
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

PRIMITIVES = ("avg_pool_3x3", "skip_connect_NR", "van_conv_3x3_NR", "van_conv_5x5_NR",
              "van_dil_conv_3x3_NR", "van_dil_conv_5x5_NR", "none")
# The same positions of the space with ReLUs on primitives' inputs.
RELU_PRIMITIVES = ("avg_pool_3x3", "skip_connect", "van_conv_3x3", "van_conv_5x5",
                   "dil_conv_3x3", "dil_conv_5x5", "none")
NODES = 4

# Per node two (primitive, source state): the genotype every published network uses.
PUBLISHED_TEXT = (
    "Genotype(normal=[[('skip_connect_NR', 0), ('skip_connect_NR', 1)], "
    "[('skip_connect_NR', 2), ('van_dil_conv_5x5_NR', 0)], "
    "[('van_conv_5x5_NR', 2), ('van_dil_conv_3x3_NR', 0)], "
    "[('van_conv_3x3_NR', 1), ('skip_connect_NR', 2)]], normal_concat=range(2, 6), "
    "reduce=[[('van_conv_3x3_NR', 0), ('van_conv_3x3_NR', 1)], "
    "[('skip_connect_NR', 0), ('van_conv_3x3_NR', 2)], "
    "[('van_dil_conv_3x3_NR', 0), ('skip_connect_NR', 2)], "
    "[('van_conv_5x5_NR', 0), ('skip_connect_NR', 4)]], reduce_concat=range(2, 6))")


def parse_genotype(text):
    """The published text form -> {'normal': [[(primitive, source), ...] per node], 'reduce': .}."""
    found = {}
    for kind in ("normal", "reduce"):
        body = re.search(kind + r"=(\[\[.*?\]\])", text)
        found[kind] = ast.literal_eval(body.group(1))
    return found


# ---------------------------------------------------------------- primitives


def conv(c_in, c_out, kernel, stride=1, dilation=1, bias=False):
    """A convolution padded so that stride 1 keeps the size."""
    pad = dilation * (kernel - 1) // 2
    return nn.Conv2d(c_in, c_out, kernel, stride, pad, dilation, bias=bias)


class Layers(nn.Module):
    """A sequence held under the name `net`."""

    def __init__(self, *modules):
        super().__init__()
        self.net = nn.Sequential(*modules)

    def forward(self, x):
        return self.net(x)


class AvgPool(nn.Module):
    def __init__(self, channels, stride, affine):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        self.bn = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x):
        return self.bn(self.pool(x))


class FactorizedReduce(nn.Module):
    """Halves H and W with two 1x1 convolutions, the second one pixel off."""

    def __init__(self, c_in, c_out, affine):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.conv2 = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x):
        return self.bn(torch.cat([self.conv1(x), self.conv2(x[:, :, 1:, 1:])], dim=1))


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        if self.stride > 1:
            x = x[:, :, ::self.stride, ::self.stride]
        return x * 0.0


def std_conv(c_in, c_out, affine):
    """1x1 convolution and BN: what turns a cell's inputs into C channels."""
    return Layers(conv(c_in, c_out, 1), nn.BatchNorm2d(c_out, affine=affine))


def search_output(c_in, c_out):
    """The search cell's output block. The identity only keeps the published positions in `net`."""
    return Layers(nn.ReLU(), nn.Identity(), conv(c_in, c_out, 1, bias=True),
                  nn.BatchNorm2d(c_out, affine=False))


def stem(c_in, c_out):
    return nn.Sequential(conv(c_in, c_out, 3), nn.BatchNorm2d(c_out))


# A cell of the space with ReLUs on primitives' inputs: each primitive once with stride 1 and 2.
RELU_OPS_TEXT = (
    "Genotype(normal=[[('van_conv_3x3', 0), ('dil_conv_5x5', 1)], "
    "[('dil_conv_3x3', 0), ('skip_connect', 2)], [('van_conv_5x5', 3), ('avg_pool_3x3', 1)], "
    "[('van_conv_3x3', 3), ('skip_connect', 0)]], normal_concat=range(2, 6), "
    "reduce=[[('skip_connect', 0), ('dil_conv_5x5', 1)], "
    "[('dil_conv_3x3', 0), ('van_conv_5x5', 1)], [('avg_pool_3x3', 1), ('skip_connect', 2)], "
    "[('dil_conv_5x5', 4), ('van_conv_3x3', 2)]], reduce_concat=range(2, 6))")


def rectifies(name, stride):
    """Whether the primitive has a ReLU on its input."""
    return not (name.endswith("_NR") or name in ("avg_pool_3x3", "none")
                or (name == "skip_connect" and stride == 1))


def make_op(name, channels, stride, affine):
    """Without its ReLU: the cell rectifies each state once."""
    if name.startswith("dil_conv"):
        kernel = int(re.search(r"(\d)x\d", name).group(1))
        return Layers(nn.Conv2d(channels, channels, kernel, stride, kernel - 1, 2, channels,
                                bias=False),
                      conv(channels, channels, 1), nn.BatchNorm2d(channels, affine=affine))
    name = name if name.endswith("_NR") or not rectifies(name, 2) else name + "_NR"
    if name == "avg_pool_3x3":
        return AvgPool(channels, stride, affine)
    if name == "skip_connect_NR":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "none":
        return Zero(stride)
    kernel = int(re.search(r"(\d)x\d", name).group(1))
    norm = nn.BatchNorm2d(channels, affine=affine)
    if name.startswith("van_dil_conv"):
        return Layers(conv(channels, channels, kernel, stride, dilation=2), norm)
    return Layers(conv(channels, channels, kernel, stride), norm,
                  conv(channels, channels, kernel), nn.BatchNorm2d(channels, affine=affine))


def preprocess(c_in, c_out, halve):
    return FactorizedReduce(c_in, c_out, False) if halve else std_conv(c_in, c_out, False)


# ------------------------------------------------------------------ supernet


class MixedOp(nn.Module):
    def __init__(self, channels, stride, primitives=PRIMITIVES):
        super().__init__()
        self._ops = nn.ModuleList(make_op(p, channels, stride, False) for p in primitives)
        self.rectified = [rectifies(p, stride) for p in primitives]

    def forward(self, x, weights):
        relu = F.relu(x) if any(self.rectified) else None
        return sum(w * op(relu if rectified else x)
                   for w, op, rectified in zip(weights, self._ops, self.rectified))


class SearchCell(nn.Module):
    def __init__(self, c_pp, c_p, c, reduction_p, reduction, nodes=NODES, primitives=PRIMITIVES):
        super().__init__()
        self.preproc0 = preprocess(c_pp, c, reduction_p)
        self.preproc1 = preprocess(c_p, c, False)
        self.dag = nn.ModuleList(
            nn.ModuleList(MixedOp(c, 2 if reduction and source < 2 else 1, primitives)
                          for source in range(2 + node))
            for node in range(nodes))
        self.proproc = search_output(nodes * c, c)

    def forward(self, s0, s1, w_dag):
        states = [self.preproc0(s0), self.preproc1(s1)]
        for edges, w_node in zip(self.dag, w_dag):
            states.append(sum(edge(s, w) for edge, s, w in zip(edges, states, w_node)))
        return self.proproc(torch.cat(states[2:], dim=1))


class SearchCNN(nn.Module):
    def __init__(self, c_in, channels, classes, layers, reduce_loc=(2, 4)):
        super().__init__()
        width = 3 * channels
        self.stem = stem(c_in, width)
        self.reduction_cells = [r * layers // 6 for r in reduce_loc]
        self.cells = nn.ModuleList()
        c_pp, c_p, c, reduction_p = width, width, channels, False
        for i in range(layers):
            reduction = i in self.reduction_cells
            c = 2 * c if reduction else c
            self.cells.append(SearchCell(c_pp, c_p, c, reduction_p, reduction))
            c_pp, c_p, reduction_p = c_p, c, reduction
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(c_p, classes)

    def forward(self, x, w_normal, w_reduce):
        s0 = s1 = self.stem(x)
        for i, cell in enumerate(self.cells):
            weights = w_reduce if i in self.reduction_cells else w_normal
            s0, s1 = s1, cell(s0, s1, weights)
        return self.linear(self.gap(s1).flatten(1))


class Supernet(nn.Module):
    """The search network with the alphas that mix it, shared by all cells of one kind."""

    def __init__(self, c_in, channels, classes, layers, reduce_loc=(2, 4)):
        super().__init__()
        for kind in ("alpha_normal", "alpha_reduce"):
            setattr(self, kind, nn.ParameterList(
                nn.Parameter(1e-3 * torch.randn(node + 2, len(PRIMITIVES)))
                for node in range(NODES)))
        self.criterion = nn.CrossEntropyLoss()
        self.net = SearchCNN(c_in, channels, classes, layers, reduce_loc)

    def forward(self, x):
        w_normal = [F.softmax(a, dim=-1) for a in self.alpha_normal]
        w_reduce = [F.softmax(a, dim=-1) for a in self.alpha_reduce]
        return self.net(x, w_normal, w_reduce)

    def loss(self, x, y):
        return self.criterion(self(x), y)

    def alphas(self):
        return list(self.alpha_normal) + list(self.alpha_reduce)

    def weights(self):
        return list(self.net.parameters())


# ------------------------------------------------------------ bilevel search


class Architect:
    """Sets the alphas' gradients for one step; the virtual weights live in a second network."""

    def __init__(self, net, momentum=0.9, weight_decay=3e-4, published_hessian=False):
        self.net = net
        self.v_net = copy.deepcopy(net)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.published_hessian = published_hessian

    def first_order(self, val_x, val_y):
        loss = self.net.loss(val_x, val_y)
        alphas = self.net.alphas()
        for alpha, grad in zip(alphas, torch.autograd.grad(loss, alphas)):
            alpha.grad = grad

    def second_order(self, trn_x, trn_y, val_x, val_y, xi, w_optim):
        """Returns the intermediate quantities by name."""
        self.virtual_step(trn_x, trn_y, xi, w_optim)
        loss = self.v_net.loss(val_x, val_y)
        v_alphas, v_weights = self.v_net.alphas(), self.v_net.weights()
        grads = torch.autograd.grad(loss, v_alphas + v_weights)
        dalpha, dw = grads[:len(v_alphas)], grads[len(v_alphas):]
        hessian, eps, norm = self.hessian(dw, trn_x, trn_y)
        with torch.no_grad():
            for alpha, d, h in zip(self.net.alphas(), dalpha, hessian):
                alpha.grad = d - xi * h
        return {"dalpha": dalpha, "dw": dw, "hessian": hessian, "eps": eps, "norm": norm}

    def virtual_step(self, trn_x, trn_y, xi, w_optim):
        loss = self.net.loss(trn_x, trn_y)
        weights = self.net.weights()
        grads = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, v, g in zip(weights, self.v_net.weights(), grads):
                step = g + self.weight_decay * w
                buffer = w_optim.state[w].get("momentum_buffer")
                if buffer is not None:
                    step = step + self.momentum * buffer
                v.copy_(w - xi * step)
            for a, v in zip(self.net.alphas(), self.v_net.alphas()):
                v.copy_(a)

    def hessian(self, dw, trn_x, trn_y):
        """(d_alpha L(w + eps dw) - d_alpha L(w - eps dw)) / (2 eps), eps = 0.01 / ||dw||."""
        norm = torch.cat([g.reshape(-1) for g in dw]).norm()
        eps = 0.01 / norm
        alphas = self.net.alphas()
        self.shift(dw, eps)
        loss = self.net.loss(trn_x, trn_y)
        plus = torch.autograd.grad(loss, alphas)
        self.shift(dw, -2.0 * eps)
        # As published: `loss` still holds the first graph, with all that no alpha gradient needed.
        loss = self.net.loss(trn_x, trn_y)
        minus = torch.autograd.grad(loss, alphas)
        self.shift(dw, eps)
        # The published expression multiplies by eps where it should divide by it.
        scale = eps / 2.0 if self.published_hessian else 1.0 / (2.0 * eps)
        return [(p - n) * scale for p, n in zip(plus, minus)], eps, norm

    def shift(self, dw, by):
        with torch.no_grad():
            for w, d in zip(self.net.weights(), dw):
                w += by * d


class Search:
    """A supernet with its two optimisers; `step` is one alpha step and one weight step."""

    def __init__(self, net, order, xi=0.025, clip=5.0, published_hessian=False):
        self.net, self.order, self.xi, self.clip = net, order, xi, clip
        self.w_optim = torch.optim.SGD(net.weights(), xi, momentum=0.9, weight_decay=3e-4)
        self.alpha_optim = torch.optim.Adam(net.alphas(), 3e-4, betas=(0.5, 0.999),
                                            weight_decay=1e-3)
        self.architect = Architect(net, published_hessian=published_hessian)

    def step(self, trn_x, trn_y, val_x, val_y):
        self.net.train()
        self.alpha_step(trn_x, trn_y, val_x, val_y)
        return self.weight_step(trn_x, trn_y)

    def alpha_step(self, trn_x, trn_y, val_x, val_y):
        self.alpha_optim.zero_grad()
        if self.order == 1:
            self.architect.first_order(val_x, val_y)
            told = None
        else:
            told = self.architect.second_order(trn_x, trn_y, val_x, val_y, self.xi, self.w_optim)
        self.alpha_optim.step()
        return told

    def weight_step(self, trn_x, trn_y):
        self.w_optim.zero_grad()
        logits = self.net(trn_x)
        loss = self.net.criterion(logits, trn_y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.net.weights(), self.clip)
        self.w_optim.step()
        return logits, loss, norm


# ------------------------------------------------------------- final network


class DropPath(nn.Module):
    """Zeroes whole samples of an edge in training, in place, and scales up the rest."""

    def __init__(self):
        super().__init__()
        self.p = 0.0

    def draw(self, x):
        return x.new_empty(x.size(0), 1, 1, 1).bernoulli_(1.0 - self.p)

    def forward(self, x):
        if self.training and self.p > 0.0:
            x.div_(1.0 - self.p).mul_(self.draw(x))
        return x


class FinalCell(nn.Module):
    def __init__(self, gene, c_pp, c_p, c, reduction_p, reduction):
        super().__init__()
        self.preproc0 = preprocess(c_pp, c, reduction_p)
        self.preproc1 = preprocess(c_p, c, False)
        self.sources = [[(source, rectifies(name, 2 if reduction and source < 2 else 1))
                         for name, source in node] for node in gene]
        self.dag = nn.ModuleList(
            nn.ModuleList(self.edge(name, source, c, reduction) for name, source in node)
            for node in gene)
        self.proproc = Layers(conv(len(gene) * c, c, 1), nn.BatchNorm2d(c, affine=False),
                              nn.ReLU())

    @staticmethod
    def edge(name, source, c, reduction):
        op = make_op(name, c, 2 if reduction and source < 2 else 1, True)
        if isinstance(op, nn.Identity):
            return op
        return nn.Sequential(op, DropPath())

    def forward(self, s0, s1):
        states = [self.preproc0(s0), self.preproc1(s1)]
        for edges, sources in zip(self.dag, self.sources):
            states.append(sum(edge(F.relu(states[j]) if rectified else states[j])
                              for edge, (j, rectified) in zip(edges, sources)))
        return self.proproc(torch.cat(states[2:], dim=1))


class AuxiliaryHead(nn.Module):
    def __init__(self, size, c, classes):
        super().__init__()
        stride = {32: 3, 64: 6, 224: 2}[size]
        last = [] if size == 224 else [nn.BatchNorm2d(768)]  # the published ImageNet head has none
        self.net = nn.Sequential(
            nn.ReLU(), nn.AvgPool2d(5, stride, 0, count_include_pad=False),
            nn.Conv2d(c, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False), *last, nn.ReLU())
        self.linear = nn.Linear(768, classes)

    def forward(self, x):
        return self.linear(self.net(x).flatten(1))


def halve(c_in, c_out):
    return nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False), nn.BatchNorm2d(c_out)


class FinalCNN(nn.Module):
    """The final network, at size 224 the one for ImageNet with its stem's ReLUs; returns (logits,
    auxiliary logits or None)."""

    def __init__(self, size, c_in, channels, classes, layers, reduce_at, genotype,
                 auxiliary=True):
        super().__init__()
        self.aux_pos = 4 * layers // 6 if auxiliary else -1
        self.halved = size == 224
        c = channels
        if self.halved:
            self.stem0 = nn.Sequential(*halve(c_in, c // 2), nn.ReLU(), *halve(c // 2, c))
            self.stem1 = nn.Sequential(nn.ReLU(), *halve(c, c))
        else:
            self.stem = stem(c_in, 3 * c)
        c_pp = c_p = c if self.halved else 3 * c
        reduction_p = self.halved
        self.cells = nn.ModuleList()
        for i in range(layers):
            reduction = i in reduce_at
            c = 4 * c if reduction else c
            gene = genotype["reduce" if reduction else "normal"]
            self.cells.append(FinalCell(gene, c_pp, c_p, c, reduction_p, reduction))
            c_pp, c_p, reduction_p = c_p, c, reduction
            if i == self.aux_pos:
                self.aux_head = AuxiliaryHead(size, c, classes)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(c_p, classes)

    def forward(self, x):
        s0 = self.stem0(x) if self.halved else self.stem(x)
        s1 = self.stem1(s0) if self.halved else s0
        aux = None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if i == self.aux_pos and self.training:
                aux = self.aux_head(s1)
        return self.linear(self.gap(s1).flatten(1)), aux

    def drop_path_prob(self, p):
        for module in self.modules():
            if isinstance(module, DropPath):
                module.p = p


def final_loss(model, x, y, aux_weight):
    """(total, main, auxiliary, logits, auxiliary logits) in training mode."""
    logits, aux_logits = model(x)
    main = F.cross_entropy(logits, y)
    if aux_logits is None:
        return main, main, None, logits, None
    aux = F.cross_entropy(aux_logits, y)
    return main + aux_weight * aux, main, aux, logits, aux_logits


class Training:
    """A final network with its optimiser; `step` is one training step."""

    def __init__(self, model, aux_weight=0.4, drop_path=0.2, lr=0.025):
        self.model, self.aux_weight = model, aux_weight
        self.optim = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=3e-4)
        model.drop_path_prob(drop_path)

    def step(self, x, y):
        self.model.train()
        self.optim.zero_grad()
        loss = final_loss(self.model, x, y, self.aux_weight)[0]
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optim.step()
        return loss


def evaluate(model, x, y):
    """(loss, top-1 hits) of one batch."""
    model.eval()
    with torch.no_grad():
        logits, _ = model(x)
        return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).sum().item()
