"""Reads the constructor of an adapter class from its source, without importing it.

An import may take seconds, or need a package that is missing here, and collecting tests must be quick.
"""

from __future__ import annotations

import ast
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path

from harness.imports import source_of


@cache
def constructor(path: str) -> Signature | None:
    """Return the parameters of the class at an import path. Their defaults and annotations are not read.

    Return `None` if the source does not tell: the class comes from another module, is decorated, or is made in another
    way. Raise `ValueError` if the module has nothing of that name, or a syntax error.
    """
    found = source_of(path)
    if found is None:
        return None
    file, name = found
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        where = f"{file}, line {error.lineno}" if isinstance(error, SyntaxError) else file
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{where}: {type(error).__name__}: {said}") from error
    except OSError:
        return None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        _require_name(tree, name, file)
        return None
    return _signature(classes[name], classes)


def _require_name(tree: ast.Module, name: str, file: Path) -> None:
    """Raise `ValueError` if the module cannot have a member of that name."""
    for node in ast.walk(tree):
        match node:
            case ast.alias(name="*"):
                return
            case ast.alias(name=imported, asname=named) if name == (named or imported.partition(".")[0]):
                return
            case ast.Name(id=bound, ctx=ast.Store()) if bound == name:
                return
            case ast.ClassDef(name=bound) | ast.FunctionDef(name=bound) if bound in {name, "__getattr__"}:
                return
            case ast.Call(func=ast.Name(id="globals" | "setattr" | "vars")):
                return
    raise ValueError(f"{file} has no {name}")


def _signature(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Signature | None:
    """Return the signature of the constructor of a class, or of the base class in the same module that has it."""
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    if node.decorator_list or node.keywords or "__new__" in methods:
        return None
    if "__init__" in methods:
        init = methods["__init__"]
        return None if init.decorator_list else Signature(_parameters(init.args)[1:])
    match node.bases:
        case [ast.Name(id=base)] if base in classes and base != node.name:
            return _signature(classes[base], {name: other for name, other in classes.items() if name != node.name})
        case _:
            return None


def _parameters(args: ast.arguments) -> list[Parameter]:
    """Return the parameters of a function. A default is `None`, whatever it is in the source."""
    positional = [
        *((arg, Parameter.POSITIONAL_ONLY) for arg in args.posonlyargs),
        *((arg, Parameter.POSITIONAL_OR_KEYWORD) for arg in args.args),
    ]
    first_default = len(positional) - len(args.defaults)
    found = [
        Parameter(arg.arg, kind, default=None if index >= first_default else Parameter.empty)
        for index, (arg, kind) in enumerate(positional)
    ]
    found += [Parameter(args.vararg.arg, Parameter.VAR_POSITIONAL)] if args.vararg else []
    found += [
        Parameter(arg.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if default is None else None)
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return found + ([Parameter(args.kwarg.arg, Parameter.VAR_KEYWORD)] if args.kwarg else [])
