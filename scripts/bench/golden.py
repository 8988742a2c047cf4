"""What a golden file records, computed from the PyTorch twin.

Each `record_*` takes modules and tensors (any float type) and returns {dataset path: tensor} of
everything the golden file of that kind derives from its inputs. tests/golden/make_golden.py writes
such records; twin_check.py compares them with files made by others. Format: tests/golden/format.md.
"""
import copy

import torch

import twin

LARGE = 20000  # elements; larger gradients are left out where a file would grow too much


def params(module, prefix):
    return {prefix + "/" + n: p.detach().clone() for n, p in module.named_parameters()}


def buffers(module, prefix):
    return {prefix + "/" + n: b.clone() for n, b in module.named_buffers()
            if not n.endswith("num_batches_tracked")}


def grads(module, prefix):
    return {prefix + "/" + n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for n, p in module.named_parameters()}


def named(prefix, names, tensors):
    return {prefix + "/" + n: t.detach().clone() for n, t in zip(names, tensors)}


def scalar(x):
    return torch.as_tensor(x).detach().reshape(1).clone()


# ------------------------------------------------------------------ operators


def make_named_op(name, c_in, c, stride, affine):
    """The module behind a group of ops.h5; the first four blocks have a c_in of their own."""
    if name == "FactorizedReduce_noReLU":
        return twin.FactorizedReduce(c_in, c, False)
    if name == "StdConv_noReLU":
        return twin.std_conv(c_in, c, False)
    if name == "StdConv":
        return twin.search_output(c_in, c)
    if name == "stem":
        return twin.stem(c_in, 3 * c)
    return twin.make_op(name, c, stride, bool(affine))


def record_op(op, x, grad_output):
    out = buffers(op, "buffer_before")
    out.update(params(op, "param"))
    op.eval()
    with torch.no_grad():
        out["output_eval"] = op(x).clone()
    op.train()
    x = x.clone().requires_grad_()
    y = op(x)
    y.backward(grad_output)
    out.update({"output_train": y.detach().clone(), "grad_input": x.grad})
    out.update(grads(op, "grad_param"))
    out.update(buffers(op, "buffer_after"))
    return out


# ----------------------------------------------------------------- search cell


def record_cell(cell, s0, s1, alphas, grad_output):
    out = buffers(cell, "buffer_before")
    out.update(params(cell, "param"))
    leaves = [t.clone().requires_grad_() for t in [s0, s1] + list(alphas)]
    s0, s1, alphas = leaves[0], leaves[1], leaves[2:]
    w_dag = [torch.softmax(a, dim=-1) for a in alphas]
    cell.eval()
    with torch.no_grad():
        out["output_eval"] = cell(s0, s1, w_dag).clone()
    cell.train()
    for w in w_dag:
        w.retain_grad()
    y = cell(s0, s1, w_dag)
    y.backward(grad_output)
    out.update({"output_train": y.detach().clone(), "grad_s0": s0.grad, "grad_s1": s1.grad})
    for i, (a, w) in enumerate(zip(alphas, w_dag)):
        out["w_dag/%d" % i] = w.detach().clone()
        out["grad_w_dag/%d" % i] = w.grad
        out["grad_alpha/%d" % i] = a.grad
    out.update(grads(cell, "grad_param"))
    out.update(buffers(cell, "buffer_after"))
    return out


# -------------------------------------------------------------------- supernet


def record_supernet(net, trn_x, trn_y):
    """Works on a copy: the caller's statistics stay as they are."""
    net = copy.deepcopy(net)
    out = buffers(net, "buffer_before")
    out.update(params(net, "param"))
    net.train()
    logits = net(trn_x)
    loss = net.criterion(logits, trn_y)
    loss.backward()
    out.update({"logits_train": logits.detach().clone(), "loss_train": scalar(loss)})
    out.update(grads(net, "grad_param"))
    out.update(buffers(net, "buffer_after_one_forward"))
    net.eval()
    with torch.no_grad():
        out["logits_eval_after_that_forward"] = net(trn_x).clone()
    return out


def record_step(search, variant, trn_x, trn_y, val_x, val_y):
    """One full search step; `search` goes on from its result."""
    net = search.net
    net.train()
    alpha_names = [n for n, _ in net.named_parameters() if n.startswith("alpha")]
    weight_names = ["net." + n for n, _ in net.net.named_parameters()]
    probe = copy.deepcopy(net)
    plain = torch.autograd.grad(probe.loss(val_x, val_y), probe.alphas())
    out = named("alpha_grad_first_order", alpha_names, plain)

    told = search.alpha_step(trn_x, trn_y, val_x, val_y)
    v_weights = search.architect.v_net.weights()
    unrolled = [a.grad for a in net.alphas()]
    out.update(named("virtual_weight", weight_names, v_weights))
    out.update(named("dw_val_at_virtual", weight_names, told["dw"]))
    out.update(named("dalpha_val_at_virtual", alpha_names, told["dalpha"]))
    out.update(named("hessian_" + variant, alpha_names, told["hessian"]))
    out.update(named("alpha_grad_unrolled_" + variant, alpha_names, unrolled))
    out.update(named("alpha_after", alpha_names, net.alphas()))
    out.update({"eps": scalar(told["eps"]), "dw_norm": scalar(told["norm"])})

    logits, loss, norm = search.weight_step(trn_x, trn_y)
    momentum = [search.w_optim.state[w]["momentum_buffer"] for w in net.weights()]
    out.update(named("weight_after", weight_names, net.weights()))
    out.update(named("momentum_after", weight_names, momentum))
    out.update({"weight_step_logits": logits.detach().clone(), "weight_step_loss": scalar(loss),
                "weight_grad_norm_before_clip": scalar(norm)})
    out.update(buffers(net, "buffer_after"))
    return out


# --------------------------------------------------------------- final network


def record_final_eval(model, x):
    out = buffers(model, "buffer")
    out.update(params(model, "param"))
    model.eval()
    seen = []
    hooks = [cell.register_forward_hook(lambda _m, _i, y: seen.append(y[0].clone()))
             for cell in model.cells]
    with torch.no_grad():
        out["logits_eval"] = model(x)[0].clone()
    for hook in hooks:
        hook.remove()
    out.update({"eval_cell_output_image0/%d" % i: y for i, y in enumerate(seen)})
    return out


def backward_final(model, x, y, aux_weight):
    model.train()
    model.zero_grad()
    loss, main, aux, logits, aux_logits = twin.final_loss(model, x, y, aux_weight)
    loss.backward()
    out = {"loss": scalar(loss), "logits_train": logits.detach().clone()}
    if aux_logits is not None:
        out["aux_logits"] = aux_logits.detach().clone()
    return out, main, aux


def grad_norms(model):
    return {"grad_norm_param/" + n: scalar(p.grad.norm()) for n, p in model.named_parameters()}


def record_final_train(model, x, y, aux_weight):
    """Drop-path off. Works on a copy."""
    model = copy.deepcopy(model)
    model.drop_path_prob(0.0)
    out, main, aux = backward_final(model, x, y, aux_weight)
    out["loss_main"] = scalar(main)
    if aux is not None:
        out["loss_aux"] = scalar(aux)
    out.update(grads(model, "grad_param"))
    out.update(grad_norms(model))
    out["grad_norm"] = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).norm().reshape(1)
    out.update(buffers(model, "buffer_after"))
    return out


def drop_paths(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, twin.DropPath)}


def record_final_droppath(model, x, y, aux_weight, p, masks):
    """masks: {module name: (N,) of 0 and 1}. Works on a copy."""
    model = copy.deepcopy(model)
    model.drop_path_prob(p)
    for name, module in drop_paths(model).items():
        module.draw = lambda t, m=masks[name]: m.to(t.dtype).reshape(-1, 1, 1, 1)
    out, _, _ = backward_final(model, x, y, aux_weight)
    out.update(grad_norms(model))
    out.update({k: g for k, g in grads(model, "grad_param").items() if g.numel() <= LARGE})
    return out


# ------------------------------------------------------------------- utilities


def load(module, group, param="param", buffer=None):
    """Copies parameters, and buffers where named, from an HDF5 group; names must match exactly."""
    wanted = dict(module.named_parameters())
    check_names(wanted, group[param])
    if buffer is not None:
        named_buffers = {n: b for n, b in module.named_buffers()
                         if not n.endswith("num_batches_tracked")}
        check_names(named_buffers, group[buffer])
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(torch.from_numpy(group[param][name][()]))
        if buffer is not None:
            for name, tensor in named_buffers.items():
                tensor.copy_(torch.from_numpy(group[buffer][name][()]))
    return module


def check_names(wanted, group):
    stored = set(group) if group is not None else set()
    if set(wanted) != stored:
        raise ValueError("names differ: %s" % sorted(set(wanted) ^ stored)[:5])


def to_double(module):
    return copy.deepcopy(module).double()


def rel_l2(a, b):
    """||a - b|| / ||b||, or ||a|| where b is zero."""
    a, b = a.double(), b.double()
    scale = b.norm().item()
    return (a - b).norm().item() / (scale if scale > 0.0 else 1.0)

