"""Structs that Python fills and C++ reads: each is described once, as a dataclass, and the C++ is written from that."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor

Indices = Tensor  # int64
Numbers = Tensor  # of the type in which a kernel works, T in C++
Tensors = Sequence[Any]  # contiguous tensors of this type, or None in the place of one that is left out

C_TYPES: dict[str, tuple[str, Any]] = {
    "int": ("int64_t", ctypes.c_int64),
    "float": ("double", ctypes.c_double),
    "Indices": ("const int64_t*", ctypes.c_void_p),
    "Numbers": ("const T*", ctypes.c_void_p),
    "Tensors": ("T* const*", ctypes.c_void_p),
}
PYTHON_ONLY = {"python_only": True}  # metadata of a field that is no part of the struct


class Struct:
    """Base of dataclasses with fields of the types in C_TYPES, or of these and None, which is a null pointer."""

    def packed(self) -> ctypes.Structure:
        """The struct in C's layout; it keeps alive what it points to."""
        cls: type = type(self)
        kept: list[Any] = []
        values = []
        for name in _names(cls):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                kept.append(tensor := value.contiguous())
                value = _address(tensor)
            elif isinstance(value, (list, tuple)):  # Sequence takes ten times as long to ask for
                addresses = [None if x is None else _address(x) for x in value]
                kept.append(array := (ctypes.c_void_p * len(addresses))(*addresses))
                value = ctypes.addressof(array)
            values.append(value)
        struct = _structure(cls)(*values)
        struct.kept_alive = kept
        return struct


def declarations() -> str:
    """The header structs.h, with the structs of all modules that are imported."""
    parts = ["// Written by structs.py.", "#pragma once", "#include <cstdint>", "namespace scalarpath {"]
    for cls in sorted(_subclasses(Struct), key=lambda cls: cls.__name__):
        members = [f"    {C_TYPES[kind][0]} {name};" for name, kind in _kinds(cls)]
        name, size = cls.__name__, ctypes.sizeof(_structure(cls))
        parts += ["template <class T>", f"struct {name} {{", *members, "};"]
        parts.append(f'static_assert(sizeof({name}<double>) == {size}, "C++ and Python lay out {name} differently");')
    return "\n".join([*parts, "}  // namespace scalarpath", ""])


def _address(tensor: Tensor) -> int:
    """Where the numbers lie; not null for a tensor without numbers, since null means one that is left out."""
    return tensor.data_ptr() or ctypes.sizeof(ctypes.c_double)  # aligned, and never read


def _subclasses(cls: type) -> Iterator[type]:
    child: type
    for child in cls.__subclasses__():
        if "__dataclass_fields__" in vars(child):
            yield child
        yield from _subclasses(child)


def _kinds(cls: type) -> list[tuple[str, str]]:
    """Name and type of the fields."""
    return [(f.name, str(f.type).removesuffix(" | None")) for f in fields(cls) if not f.metadata]


@functools.cache
def _names(cls: type) -> list[str]:
    return [name for name, _ in _kinds(cls)]


@functools.cache
def _structure(cls: type) -> type[ctypes.Structure]:
    return type(
        cls.__name__, (ctypes.Structure,), {"_fields_": [(name, C_TYPES[kind][1]) for name, kind in _kinds(cls)]}
    )
