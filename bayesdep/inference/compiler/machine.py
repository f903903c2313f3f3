"""LLVM's text -> machine code, which is kept on disk and read by later processes."""

import contextlib
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from bayesdep.data import compile_cache
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files

_LEVEL = 3  # of optimisation
_MOST_STORED = 400  # files, of 5 to 100 kB each
_number = itertools.count()


@dataclass(frozen=True)
class Machine:
    """Loaded machine code.

    Parameters
    ----------
    addresses
        Of its functions.
    library
        Keeps it in memory.
    """

    addresses: Mapping[str, int]
    library: Any


@cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=_LEVEL, jit=True)


def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


@cache
def _linker() -> Any:
    _target()
    return llvm.create_lljit_compiler()


def machine_code(source: str, functions: Sequence[str], symbols: Mapping[str, int], *, keep: bool) -> Machine:
    """Compile and load a module.

    Code is always loaded from the form in which it is stored, so that newly compiled code and code read from disk are
    the same.

    Parameters
    ----------
    source
        LLVM's text.
    functions
        Names of the functions to call.
    symbols
        Addresses of functions that it calls.
    keep
        Whether the code may be kept on disk.

    Returns
    -------
    Machine
        Ready to be called.
    """
    made_with = repr((llvmlite.__version__, llvm.llvm_version_info, llvm.get_host_cpu_name(), _features(), _LEVEL))
    name = hashlib.sha256((made_with + source).encode()).hexdigest()[:32]
    file = compile_cache.own_folder() / "machine-code" / f"{name}.o"
    code = compile_cache.unseal(file.name, file)
    if code is None:
        code = _compiled(source)
        if keep:
            _write(file, code)
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for symbol, address in symbols.items():
        builder.import_symbol(symbol, address)
    for function in functions:
        builder.export_symbol(function)
    library = builder.link(_linker(), f"{name}-{next(_number)}")
    return Machine({function: library[function] for function in functions}, library)


def _compiled(source: str) -> bytes:
    module, target = llvm.parse_assembly(source), _target()
    module.triple, module.data_layout = target.triple, str(target.target_data)
    tuning = llvm.create_pipeline_tuning_options(speed_level=_LEVEL)
    tuning.loop_vectorization = tuning.slp_vectorization = True
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(module, builder)
    return bytes(target.emit_object(module))


def _write(file: Path, code: bytes) -> None:
    """Write a file completely or not at all, and remove the oldest files."""
    with contextlib.suppress(OSError, BadInput):  # a full disk or a missing permission: nothing is stored
        content = compile_cache.seal(file.name, code)
        if content is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(file) as (partial,):
            partial.write_bytes(content)
        for old in sorted(file.parent.glob("*.o"), key=lambda f: f.stat().st_mtime)[:-_MOST_STORED]:
            old.unlink(missing_ok=True)
