"""NumPy's functions, and the inverse normal distribution, in float64.

Onnxruntime has no float64 kernels of some of them: these are written as others, or as the rational
functions that mathematical libraries use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import Graph
from converters.lowering.maths import f64

Write = Callable[[Graph, str], str]


def apply_ufunc(graph: Graph, function: Any, x: str) -> str:
    """Apply a NumPy function, found by its name.

    Args:
        graph: the graph to write into.
        function: a ufunc of NumPy or SciPy, or another function of NumPy that is in the table.
        x: float64, of any shape.

    Raises:
        UnsupportedModel: another function.
    """
    name = getattr(function, "__name__", repr(function))
    is_known = isinstance(function, np.ufunc) or getattr(np, name, None) is function
    if not is_known or name not in _FUNCTIONS:
        raise UnsupportedModel(
            f"the function {name!r} cannot be converted; NumPy's own can: {', '.join(_FUNCTIONS)}"
        )
    return _FUNCTIONS[name](graph, x)


def _one(operator: str) -> Write:
    return lambda graph, x: graph.op(operator, x)


def _scaled(factor: float, operator: str | None = None) -> Write:
    """Return ``operator(x)`` times a factor."""

    def write(graph: Graph, x: str) -> str:
        return graph.op("Mul", graph.op(operator, x) if operator else x, f64(factor))

    return write


def _log1p(graph: Graph, x: str) -> str:
    return graph.op("Log", graph.op("Add", x, f64(1.0)))


def _expm1(graph: Graph, x: str) -> str:
    return graph.op("Sub", graph.op("Exp", x), f64(1.0))


def _tan(graph: Graph, x: str) -> str:
    return graph.op("Div", graph.op("Sin", x), graph.op("Cos", x))


def _hyperbolic(sign: str) -> Write:
    """Return half the sum or difference of exp(x) and exp(-x)."""

    def write(graph: Graph, x: str) -> str:
        both = graph.op(sign, graph.op("Exp", x), graph.op("Exp", graph.op("Neg", x)))
        return graph.op("Mul", both, f64(0.5))

    return write


def _arcsinh(graph: Graph, x: str) -> str:
    size = graph.op("Abs", x)
    root = graph.op("Sqrt", graph.op("Add", graph.op("Mul", x, x), f64(1.0)))
    return graph.op("Mul", graph.op("Sign", x), graph.op("Log", graph.op("Add", size, root)))


def _arccosh(graph: Graph, x: str) -> str:
    root = graph.op("Sqrt", graph.op("Sub", graph.op("Mul", x, x), f64(1.0)))
    return graph.op("Log", graph.op("Add", x, root))


def _arctanh(graph: Graph, x: str) -> str:
    ratio = graph.op("Div", graph.op("Add", x, f64(1.0)), graph.op("Sub", f64(1.0), x))
    return graph.op("Mul", graph.op("Log", ratio), f64(0.5))


def _cbrt(graph: Graph, x: str) -> str:
    return graph.op("Mul", graph.op("Sign", x), graph.op("Pow", graph.op("Abs", x), f64(1 / 3)))


def _trunc(graph: Graph, x: str) -> str:
    return graph.op("Mul", graph.op("Sign", x), graph.op("Floor", graph.op("Abs", x)))


def _arcsin(graph: Graph, x: str) -> str:
    rest = graph.op("Sqrt", graph.op("Sub", f64(1.0), graph.op("Mul", x, x)))
    return _arctan(graph, graph.op("Div", x, rest))


def _arccos(graph: Graph, x: str) -> str:
    return graph.op("Sub", f64(np.pi / 2), _arcsin(graph, x))


def polynomial(graph: Graph, x: str, coefficients: Sequence[float]) -> str:
    """Return a polynomial by Horner's rule.

    Args:
        graph: the graph to write into.
        x: float64, of any shape.
        coefficients: the highest power first.
    """
    value = graph.op("Add", graph.op("Mul", x, f64(coefficients[0])), f64(coefficients[1]))
    for coefficient in coefficients[2:]:
        value = graph.op("Add", graph.op("Mul", value, x), f64(coefficient))
    return value


def _ratio(graph: Graph, x: str, above: Sequence[float], below: Sequence[float]) -> str:
    return graph.op("Div", polynomial(graph, x, above), polynomial(graph, x, below))


_ATAN_ABOVE: Final = (-8.750608600031904122785e-1, -1.615753718733365076637e1,
                      -7.500855792314704667340e1, -1.228866684490136173410e2,
                      -6.485021904942025371773e1)  # fmt: skip
_ATAN_BELOW: Final = (1.0, 2.485846490142306297962e1, 1.650270098316988542046e2,
                      4.328810604912902668951e2, 4.853903996359136964868e2,
                      1.945506571482613964425e2)  # fmt: skip
_LARGE, _MIDDLE = np.tan(3 * np.pi / 8), 0.66


def _arctan(graph: Graph, x: str) -> str:
    """Return the arc tangent: x is brought near zero first.

    Source: S. Moshier, Cephes Mathematical Library, ``atan.c``.
    """
    size = graph.op("Abs", x)
    large = graph.op("Greater", size, f64(_LARGE))
    middle = graph.op("Greater", size, f64(_MIDDLE))
    inverse = graph.op("Div", f64(-1.0), size)
    turned = graph.op("Div", graph.op("Sub", size, f64(1.0)), graph.op("Add", size, f64(1.0)))
    near = graph.op("Where", large, inverse, graph.op("Where", middle, turned, size))
    start = graph.op(
        "Where", large, f64(np.pi / 2), graph.op("Where", middle, f64(np.pi / 4), f64(0.0))
    )
    square = graph.op("Mul", near, near)
    curve = graph.op("Mul", square, _ratio(graph, square, _ATAN_ABOVE, _ATAN_BELOW))
    angle = graph.op("Add", graph.op("Mul", near, curve), near)
    return graph.op("Mul", graph.op("Sign", x), graph.op("Add", start, angle))


_CENTRE: Final = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
     4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
     1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
     2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
     4.2313330701600911252e1, 1.0),
)  # fmt: skip
_SIDES: Final = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
     4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
     2.05319162663775882187e0, 1.0),
)  # fmt: skip
_TAILS: Final = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
     5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def normal_quantile(graph: Graph, p: str) -> str:
    """Return the quantile of the standard normal distribution; of 0 and 1 it is not finite.

    Source: M. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", 1988.

    Args:
        graph: the graph to write into.
        p: probabilities, float64 of any shape.
    """
    off = graph.op("Sub", p, f64(0.5))
    inner = graph.op("Sub", f64(0.180625), graph.op("Mul", off, off))
    centre = graph.op("Mul", off, _ratio(graph, inner, *_CENTRE))
    tail = graph.op("Min", p, graph.op("Sub", f64(1.0), p))
    root = graph.op("Sqrt", graph.op("Neg", graph.op("Log", tail)))
    sides = _ratio(graph, graph.op("Sub", root, f64(1.6)), *_SIDES)
    tails = _ratio(graph, graph.op("Sub", root, f64(5.0)), *_TAILS)
    outer = graph.op("Where", graph.op("LessOrEqual", root, f64(5.0)), sides, tails)
    signed = graph.op("Mul", graph.op("Sign", off), outer)
    near = graph.op("LessOrEqual", graph.op("Abs", off), f64(0.425))
    return graph.op("Where", near, centre, signed)


def _logit(graph: Graph, x: str) -> str:
    return graph.op("Log", graph.op("Div", x, graph.op("Sub", f64(1.0), x)))


_FUNCTIONS: Final[Mapping[str, Write]] = {
    "log": _one("Log"), "exp": _one("Exp"), "sqrt": _one("Sqrt"), "absolute": _one("Abs"),
    "fabs": _one("Abs"), "negative": _one("Neg"), "positive": lambda graph, x: x,
    "reciprocal": _one("Reciprocal"), "sin": _one("Sin"), "cos": _one("Cos"), "tan": _tan,
    "floor": _one("Floor"), "ceil": _one("Ceil"), "rint": _one("Round"), "trunc": _trunc,
    "sign": _one("Sign"), "tanh": _one("Tanh"), "expit": _one("Sigmoid"), "logit": _logit,
    "log1p": _log1p, "expm1": _expm1, "square": lambda graph, x: graph.op("Mul", x, x),
    "log2": _scaled(1 / np.log(2), "Log"), "log10": _scaled(1 / np.log(10), "Log"),
    "exp2": lambda graph, x: graph.op("Pow", f64(2.0), x), "cbrt": _cbrt,
    "sinh": _hyperbolic("Sub"), "cosh": _hyperbolic("Add"), "arcsinh": _arcsinh,
    "arccosh": _arccosh, "arctanh": _arctanh, "arctan": _arctan, "arcsin": _arcsin,
    "arccos": _arccos, "deg2rad": _scaled(np.pi / 180), "radians": _scaled(np.pi / 180),
    "rad2deg": _scaled(180 / np.pi), "degrees": _scaled(180 / np.pi),
    "nan_to_num": lambda graph, x: graph.op("Where", graph.op("IsNaN", x), f64(0.0), x),
}  # fmt: skip
