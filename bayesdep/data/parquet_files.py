"""Reading of .parquet files; their numbers of rows and columns, and types, are checked first."""

import io
import re

import pandas as pd

from bayesdep.data.budget import refuse_beyond_memory

_PER_CELL = 60  # bytes per cell, at most, while a file is read: a cell of text is an object
_NO_NAME = re.compile("__index_level_[0-9]+__")  # pandas' name for row labels without a name
_LESS = "leave out the rows and columns that are not needed"


def read_parquet(content: bytes) -> pd.DataFrame:
    """Read a .parquet file.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    pandas.DataFrame
        Its rows, with a plain index.

    Raises
    ------
    ValueError
        When it is damaged, or a column holds lists or tables.
    BadInput
        When its cells would need more memory than is free, however small the file is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        about, schema = file.metadata, file.schema_arrow
        for field in schema:
            if pa.types.is_nested(field.type):
                raise ValueError(f"column '{field.name}' holds {str(field.type)[:40]}: write one number or text a cell")
        cells = f"its {about.num_rows:,} rows in {about.num_columns:,} columns"
        refuse_beyond_memory(_PER_CELL * about.num_rows * about.num_columns, cells, _LESS)
        table = file.read()
        table.validate(full=True)
        # pandas' own metadata (an index, types) is ignored: it is text in the file that could say anything
        named = [name for name in table.column_names if not _NO_NAME.fullmatch(name)]
        return table.select(named).replace_schema_metadata(None).to_pandas()
    except ValueError:
        raise
    except (
        pa.ArrowException,
        OSError,
        OverflowError,
        TypeError,
        KeyError,
        NotImplementedError,
        MemoryError,
    ) as problem:
        raise ValueError(next(iter(str(problem).splitlines()), type(problem).__name__)) from None
