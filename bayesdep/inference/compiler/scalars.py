"""Operations on numbers as LLVM instructions, computed as PyTensor's numba back end computes them."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Constant
from pytensor.scalar import basic as ps
from pytensor.scalar import math as psm
from scipy.special import cython_special

from bayesdep.inference.compiler.text import LLVM_TYPES, Scalar, Text, Unsupported, literal

_HELPERS = {
    "softplus": """\
define internal double @softplus(double %x) {
entry:
  %low = fcmp olt double %x, -37.0
  br i1 %low, label %first, label %more
first:
  %a = call double @llvm.exp.f64(double %x)
  ret double %a
more:
  %middle = fcmp olt double %x, 18.0
  br i1 %middle, label %second, label %most
second:
  %b = call double @llvm.exp.f64(double %x)
  %c = call double @log1p(double %b)
  ret double %c
most:
  %high = fcmp olt double %x, 0x4040A66666666666
  br i1 %high, label %third, label %last
third:
  %d = fneg double %x
  %e = call double @llvm.exp.f64(double %d)
  %f = fadd double %x, %e
  ret double %f
last:
  ret double %x
}""",
    "log1mexp": """\
define internal double @log1mexp(double %x) {
entry:
  %low = fcmp olt double %x, 0xBFE62E42FEFA39EF
  br i1 %low, label %first, label %second
first:
  %a = call double @llvm.exp.f64(double %x)
  %b = fneg double %a
  %c = call double @log1p(double %b)
  ret double %c
second:
  %d = call double @expm1(double %x)
  %e = fneg double %d
  %f = call double @llvm.log.f64(double %e)
  ret double %f
}""",
}
_INTRINSICS = {
    ps.Exp: "exp", ps.Log: "log", ps.Sqrt: "sqrt", ps.Abs: "fabs", ps.Exp2: "exp2", ps.Log2: "log2", ps.Log10: "log10",
    ps.Cos: "cos", ps.Sin: "sin", ps.Floor: "floor", ps.Ceil: "ceil", ps.Trunc: "trunc", ps.RoundHalfToEven: "rint",
}  # fmt: skip
_LIBM = {
    ps.Log1p: "log1p", ps.Expm1: "expm1", ps.Tanh: "tanh", ps.Sinh: "sinh", ps.Cosh: "cosh", ps.Tan: "tan",
    ps.ArcTan: "atan", ps.ArcSin: "asin", ps.ArcCos: "acos", ps.ArcTanh: "atanh", ps.ArcSinh: "asinh",
    ps.ArcCosh: "acosh", psm.Erf: "erf", psm.Erfc: "erfc", psm.GammaLn: "lgamma",
}  # fmt: skip
_COMPARISONS = {
    ps.EQ: ("oeq", "eq"), ps.NEQ: ("une", "ne"), ps.LT: ("olt", "lt"), ps.LE: ("ole", "le"), ps.GT: ("ogt", "gt"),
    ps.GE: ("oge", "ge"),
}  # fmt: skip
_FOLDED = {ps.Add: ("fadd", "add"), ps.Mul: ("fmul", "mul"), ps.Sub: ("fsub", "sub")}
_OF_TRUTH_VALUES = {ps.Add: "or", ps.Mul: "and"}  # as NumPy has it: a Poisson density multiplies its conditions
_BITS = {ps.AND: "and", ps.OR: "or", ps.XOR: "xor"}
FLAGS = ""


def is_float(dtype: str) -> bool:
    """Whether a dtype is one of real numbers."""
    return dtype.startswith("float")


def cast(text: Text, x: Scalar, dtype: str) -> Scalar:
    """Convert a number to another dtype."""
    if x.dtype == dtype:
        return x
    if dtype not in LLVM_TYPES or x.dtype not in LLVM_TYPES:
        raise Unsupported(f"numbers of {x.dtype} and {dtype}")
    old, new = LLVM_TYPES[x.dtype], LLVM_TYPES[dtype]
    unsigned = x.dtype == "bool" or x.dtype.startswith("uint")
    if dtype == "bool":
        zero = "0.0" if is_float(x.dtype) else "0"
        return Scalar(text.make(f"{'fcmp une' if is_float(x.dtype) else 'icmp ne'} {old} {x.value}, {zero}"), dtype)
    if is_float(x.dtype) and is_float(dtype):
        how = "fpext" if dtype == "float64" else "fptrunc"
    elif is_float(x.dtype):
        how = "fptoui" if dtype.startswith("uint") else "fptosi"
    elif is_float(dtype):
        how = "uitofp" if unsigned else "sitofp"
    elif old == new:
        return Scalar(x.value, dtype)
    elif new == "i8" or int(new[1:]) < int(old[1:]):
        how = "trunc" if old != "i1" else "zext"
    else:
        how = "zext" if unsigned else "sext"
    return Scalar(text.make(f"{how} {old} {x.value} to {new}"), dtype)


def number(value: Any, dtype: str) -> Scalar:
    """Return a constant."""
    return Scalar(literal(value, dtype), dtype)


def choose(text: Text, condition: str, x: Scalar, y: Scalar) -> Scalar:
    """Return x where the condition holds, otherwise y."""
    kind = LLVM_TYPES[x.dtype]
    return Scalar(text.make(f"select i1 {condition}, {kind} {x.value}, {kind} {y.value}"), x.dtype)


def compare(text: Text, op: type, x: Scalar, y: Scalar) -> Scalar:
    """Compare two numbers in their common dtype."""
    dtype = np.promote_types(x.dtype, y.dtype).name
    x, y = cast(text, x, dtype), cast(text, y, dtype)
    real, whole = _COMPARISONS[op]
    if is_float(dtype):
        return Scalar(text.make(f"fcmp {real} {LLVM_TYPES[dtype]} {x.value}, {y.value}"), "bool")
    if whole not in ("eq", "ne"):
        whole = ("u" if dtype == "bool" or dtype.startswith("u") else "s") + whole
    return Scalar(text.make(f"icmp {whole} {LLVM_TYPES[dtype]} {x.value}, {y.value}"), "bool")


def fold(text: Text, op: type, inputs: Sequence[Scalar], flags: str = FLAGS) -> Scalar:
    """Add, multiply or subtract numbers of one dtype, from left to right."""
    dtype = inputs[0].dtype
    real, whole = _FOLDED[op]
    if dtype == "bool" and op not in _OF_TRUTH_VALUES:
        raise Unsupported(f"{op.__name__} of truth values")
    instruction = f"{real} {flags}" if is_float(dtype) else _OF_TRUTH_VALUES[op] if dtype == "bool" else whole
    total = inputs[0].value
    for x in inputs[1:]:
        total = text.make(f"{instruction} {LLVM_TYPES[dtype]} {total}, {x.value}")
    return Scalar(total, dtype)


def larger(text: Text, x: Scalar, y: Scalar, op: type = ps.GT) -> Scalar:
    """Return the larger number (or, with LT, the smaller one), and NaN where one is NaN."""
    found = choose(text, compare(text, op, x, y).value, x, y)
    if not is_float(x.dtype):
        return found
    return choose(text, text.make(f"fcmp uno {LLVM_TYPES[x.dtype]} {x.value}, {x.value}"), x, found)


def combine(text: Text, op: Any, x: Scalar, y: Scalar, flags: str = FLAGS) -> Scalar:
    """Combine two numbers of one dtype as a reduction does."""
    kind = type(op)
    if kind in (ps.Maximum, ps.Minimum):
        return larger(text, x, y, ps.GT if kind is ps.Maximum else ps.LT)
    if kind in _BITS:
        return Scalar(text.make(f"{_BITS[kind]} {LLVM_TYPES[x.dtype]} {x.value}, {y.value}"), x.dtype)
    if kind in _FOLDED:
        return fold(text, kind, [x, y], flags)
    raise Unsupported(f"reduction by {kind.__name__}")


def _helper(text: Text, name: str, x: Scalar) -> Scalar:
    if _HELPERS[name] not in text.top:
        for needed in ("llvm.exp.f64", "llvm.log.f64", "log1p", "expm1"):
            text.declare(needed, "double", ["double"])
        text.top.append(_HELPERS[name])
    return Scalar(text.make(f"call double @{name}(double {x.value})"), "float64")


def _special(op: Any) -> tuple[str, int, bool]:
    """Name and address of SciPy's function of doubles, and whether it takes one number more."""
    name = op.nfunc_spec[0].rpartition(".")[2]
    table = cython_special.__pyx_capi__
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    doubles = ", ".join(["double"] * op.nin)
    for key, capsule in table.items():
        if key == name or (
            key.startswith("__pyx_fuse_") and key.endswith(name) and key[11:].lstrip("0123456789") == name
        ):
            signature = get_name(capsule)
            for extra, more in (("", False), (", int __pyx_skip_dispatch", True)):
                if signature.decode() == f"double ({doubles}{extra})":
                    return f"scipy.special.{name}", get_pointer(capsule, signature), more
    raise Unsupported(f"scipy.special.{name}")


def _call_special(text: Text, op: Any, inputs: Sequence[Scalar]) -> Scalar:
    name, address, more = _special(op)
    kinds = ["double"] * len(inputs) + ["i32"] * more
    text.declare(name, "double", kinds, address)
    values = [f"double {x.value}" for x in inputs] + ["i32 1"] * more
    return Scalar(text.make(f'call double @"{name}"({", ".join(values)})'), "float64")


def _simple(text: Text, op: Any, inputs: list[Scalar], dtype: str) -> Scalar | None:
    """Operations that are a few instructions."""
    kind = type(op)
    same = [cast(text, x, dtype) for x in inputs] if kind not in (*_COMPARISONS, ps.Switch, ps.IsNan, ps.IsInf) else []
    real = LLVM_TYPES[dtype]
    if kind in _FOLDED:
        return fold(text, kind, same)
    if kind in _COMPARISONS:
        return compare(text, kind, *inputs)
    if kind in _BITS or kind in (ps.Maximum, ps.Minimum):
        found = same[0]
        for x in same[1:]:
            found = combine(text, op, found, x)
        return found
    if kind is ps.Switch:
        condition, *rest = inputs
        return choose(text, cast(text, condition, "bool").value, *(cast(text, x, dtype) for x in rest))
    if kind in (ps.Identity, ps.Cast):
        return same[0]
    if kind is ps.Second:
        return same[1]
    if kind is ps.Sqr:
        return fold(text, ps.Mul, [same[0], same[0]])
    if kind is ps.Invert and dtype == "bool":
        return Scalar(text.make(f"xor i1 {same[0].value}, true"), dtype)
    if kind is ps.Clip:
        below = choose(text, compare(text, ps.LT, same[0], same[1]).value, same[1], same[0])
        return choose(text, compare(text, ps.GT, same[0], same[2]).value, same[2], below)
    if kind in (ps.IsNan, ps.IsInf):
        x = cast(text, inputs[0], "float64")
        if kind is ps.IsNan:
            return Scalar(text.make(f"fcmp uno double {x.value}, {x.value}"), "bool")
        size = text.call("llvm.fabs.f64", "float64", [x.value])
        return Scalar(text.make(f"fcmp oeq double {size.value}, {literal(np.inf, 'float64')}"), "bool")
    if kind is ps.Neg and not is_float(dtype):
        return Scalar(text.make(f"sub {real} 0, {same[0].value}"), dtype)
    if not is_float(dtype):
        raise Unsupported(f"{kind.__name__} of {dtype}")
    if kind is ps.Neg:
        return Scalar(text.make(f"fneg {real} {same[0].value}"), dtype)
    if kind is ps.TrueDiv or kind is ps.Reciprocal:
        a, b = same if kind is ps.TrueDiv else (number(1, dtype), same[0])
        return Scalar(text.make(f"fdiv {FLAGS} {real} {a.value}, {b.value}"), dtype)
    if kind is ps.Sign:
        low = choose(text, compare(text, ps.LT, same[0], number(0, dtype)).value, number(-1, dtype), same[0])
        return choose(text, compare(text, ps.GT, same[0], number(0, dtype)).value, number(1, dtype), low)
    return None


def compute(text: Text, op: Any, inputs: list[Scalar], dtypes: Sequence[str]) -> list[Scalar]:
    """Write a scalar operation.

    Parameters
    ----------
    text
        The function.
    op
        PyTensor's scalar operation.
    inputs
        Its inputs.
    dtypes
        Of its outputs.

    Returns
    -------
    list of Scalar
        Its outputs.

    Raises
    ------
    Unsupported
        When it is not known here.
    """
    kind = type(op)
    if kind is ps.Composite:
        return _inner(text, op.fgraph, inputs)
    (dtype,) = dtypes
    found = _simple(text, op, inputs, dtype)
    if found is not None:
        return [found]
    if dtype != "float64":
        raise Unsupported(f"{kind.__name__} of {dtype}")
    same = [cast(text, x, dtype) for x in inputs]
    values = [x.value for x in same]
    if kind in _INTRINSICS:
        return [text.call(f"llvm.{_INTRINSICS[kind]}.f64", dtype, values)]
    if kind in _LIBM:
        return [text.call(_LIBM[kind], dtype, values)]
    if kind is ps.Pow:
        return [text.call("llvm.pow.f64", dtype, values)]
    if kind is psm.Sigmoid:
        down = text.call("llvm.exp.f64", dtype, [text.make(f"fneg double {values[0]}")])
        below = fold(text, ps.Add, [number(1, dtype), down])
        return [Scalar(text.make(f"fdiv {FLAGS} double 1.0, {below.value}"), dtype)]
    if kind in (psm.Softplus, psm.Log1mexp):
        return [_helper(text, kind.__name__.lower(), same[0])]
    if getattr(op, "nfunc_spec", None) and op.nfunc_spec[0].startswith("scipy.special."):
        return [_call_special(text, op, same)]
    raise Unsupported(f"operation {kind.__name__}")


def _inner(text: Text, graph: Any, inputs: Sequence[Scalar]) -> list[Scalar]:
    """Write a graph of scalar operations."""
    known: dict[Any, Scalar] = dict(zip(graph.inputs, inputs, strict=True))

    def value(variable: Any) -> Scalar:
        if variable not in known and isinstance(variable, Constant):
            return number(variable.data, variable.type.dtype)
        return known[variable]

    for node in graph.toposort():
        outputs = compute(text, node.op, [value(v) for v in node.inputs], [v.type.dtype for v in node.outputs])
        known.update(zip(node.outputs, outputs, strict=True))
    return [value(v) for v in graph.outputs]
