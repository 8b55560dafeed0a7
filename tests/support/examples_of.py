"""An example of any type the API answers with, made from the type alone."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from msgspec import inspect


def example_of(type_: object) -> Any:
    """A value of the type, as its JSON has it: every field set, lists with one entry."""
    return _example(inspect.type_info(type_))


def _example(info: inspect.Type) -> Any:
    match info:
        case inspect.StructType():
            return {field.encode_name: _example(field.type) for field in info.fields}
        case inspect.ListType() | inspect.SetType() | inspect.VarTupleType():
            return [_example(info.item_type)]
        case inspect.UnionType():
            return _example(next(one for one in info.types if not isinstance(one, inspect.NoneType)))
        case inspect.DictType():
            return {_example(info.key_type): _example(info.value_type)}
        case inspect.EnumType():
            return next(iter(info.cls)).value
        case inspect.LiteralType():
            return info.values[0]
        case inspect.IntType():
            return info.ge if info.ge is not None else 1
        case inspect.FloatType():
            return 1.5
        case inspect.BoolType():
            return True
        case inspect.DateTimeType():
            return datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC).isoformat()
        case inspect.StrType() | inspect.AnyType():
            return "x"
        case inspect.RawType():
            return {}
        case inspect.CustomType():
            return msgspec.to_builtins(info.cls())
        case _:
            raise AssertionError(f"no example of {info}")
