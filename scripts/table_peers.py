"""Compares how `cryptotl embed` reads tables with how pandas, polars, DuckDB and pyarrow wrote and read them.

usage: table_peers.py PROGRAM ENCODER            compares; PROGRAM is cryptotl, ENCODER a folder (a small one will do)
       table_peers.py --fixtures FOLDER          writes the files that `cargo test` reads without Python

One table of odd texts, labels of every type and identifiers with many digits is written by each library, with its
defaults and with options. Of each file the texts, the codes of four label columns and the persons of two unit columns
that come out of the program are compared with what was written, and the texts with what each library reads back. Ends
with code 1 where the program differs from what was written. Needs, of PyPI:
pandas==3.1.1 polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
"""

import csv
import decimal
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet

TEXTS = [
    "plain words",
    "comma, semicolon; bar| and more",
    'he said "so", she said "no"',
    '"all of it in quotes"',
    "two\nlines",
    "a\ttab",
    "caf\u00e9 \u20ac 5 \u201cquoted\u201d",
    "  spaces around  ",
    "1.50",
    '"an open quote',
]
LABELS = ["negative", "positive"] * 4 + ["other", "positive"]
N = len(TEXTS)
FLAGS = [label == "positive" for label in LABELS]
SCORES = [int(flag) for flag in FLAGS]
RATIOS = [None if i == 3 else float(score) for i, score in enumerate(SCORES)]
PRICES = [decimal.Decimal(score).quantize(decimal.Decimal("1.00")) for score in SCORES]
UNITS = [9007199254740992 + i // 2 for i in range(N)]
CODES = [f"00{i // 3}" for i in range(N)]
COLUMNS = {
    "text": TEXTS,
    "label": LABELS,
    "flag": FLAGS,
    "score": SCORES,
    "ratio": RATIOS,
    "price": PRICES,
    "unit": UNITS,
    "code": CODES,
}
NAMES = {"label": "negative,positive", "flag": "false,true", "score": "0,1", "ratio": "0,1", "price": "0,1"}


def codes(column):
    names = NAMES[column].split(",")
    same = {"negative": 0, "positive": 1, False: 0, True: 1}
    return [same.get(x, -1) if x is not None and not isinstance(x, str) or x in names else -1 for x in COLUMNS[column]]


def persons(column):
    order = {}
    return [order.setdefault(x, len(order)) for x in COLUMNS[column]]


def files(folder):
    """Writes every file and gives its name, and whether DuckDB, pandas and polars read texts of its kind."""
    plain = {name: values for name, values in COLUMNS.items() if name != "price"}
    frame = pandas.DataFrame(plain)
    lazy = polars.DataFrame(plain)
    table = pyarrow.table(
        {
            **{name: pyarrow.array(values) for name, values in plain.items()},
            "price": pyarrow.array(PRICES, pyarrow.decimal128(9, 2)),
        }
    )
    at = lambda name: str(folder / name)
    frame.to_csv(at("pandas.csv"))
    frame.to_csv(at("pandas.csv.gz"), index=False)
    frame.to_csv(at("pandas-semicolon.csv"), index=False, sep=";")
    frame.to_csv(at("pandas-bar.csv"), index=False, sep="|", quoting=csv.QUOTE_ALL)
    frame.to_csv(at("pandas-cp1252.csv"), index=False, sep=";", encoding="cp1252", lineterminator="\r\n")
    frame.to_csv(at("pandas-excel.csv"), index=False, encoding="utf-8-sig", lineterminator="\r\n")
    frame.to_csv(at("pandas-utf16.csv"), index=False, sep="\t", encoding="utf-16")
    frame.to_csv(at("pandas.tsv"), index=False, sep="\t")
    frame.to_csv(at("pandas-all.tsv"), index=False, sep="\t", quoting=csv.QUOTE_ALL)
    frame.to_json(at("pandas.jsonl"), orient="records", lines=True)
    frame.to_json(at("pandas-unicode.jsonl"), orient="records", lines=True, force_ascii=False)
    for codec in [None, "snappy", "gzip", "brotli", "lz4", "zstd"]:
        frame.to_parquet(at(f"pandas-{codec}.parquet"), compression=codec)
    lazy.write_csv(at("polars.csv"))
    lazy.write_csv(at("polars.tsv"), separator="\t")
    lazy.write_csv(at("polars-semicolon.csv"), separator=";", quote_style="always", include_bom=True)
    lazy.write_csv(at("polars-strings.csv"), quote_style="non_numeric")
    lazy.write_ndjson(at("polars.ndjson"))
    lazy.write_parquet(at("polars.parquet"))
    for codec in ["uncompressed", "snappy", "gzip", "brotli", "lz4", "zstd"]:
        lazy.write_parquet(at(f"polars-{codec}.parquet"), compression=codec, row_group_size=4)
    lazy.with_columns(polars.col("label").cast(polars.Categorical)).write_parquet(at("polars-categorical.parquet"))
    duck = duckdb.connect()
    duck.register("t", table)
    for name, options in [
        ("duckdb.csv", "FORMAT csv"),
        ("duckdb-semicolon.csv", "FORMAT csv, DELIM ';', FORCE_QUOTE *"),
        ("duckdb.tsv", "FORMAT csv, DELIM '\t'"),
        ("duckdb.csv.zst", "FORMAT csv, COMPRESSION zstd"),
        ("duckdb.jsonl", "FORMAT json"),
        ("duckdb.jsonl.gz", "FORMAT json, COMPRESSION gzip"),
        ("duckdb.parquet", "FORMAT parquet"),
        ("duckdb-zstd.parquet", "FORMAT parquet, COMPRESSION zstd"),
        ("duckdb-brotli.parquet", "FORMAT parquet, COMPRESSION brotli"),
        ("duckdb-v2.parquet", "FORMAT parquet, PARQUET_VERSION v2"),
    ]:
        duck.execute(f"COPY t TO '{at(name)}' ({options})")
    write = pyarrow.parquet.write_table
    write(table, at("pyarrow.parquet"))
    for codec in ["brotli", "zstd", "lz4", "gzip"]:
        write(table, at(f"pyarrow-{codec}.parquet"), compression=codec, data_page_version="2.0")
    lengths = {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_LENGTH_BYTE_ARRAY", "unit": "DELTA_BINARY_PACKED"}
    write(table, at("pyarrow-delta.parquet"), use_dictionary=False, column_encoding=lengths)
    halves = table.set_column(4, "ratio", pyarrow.array(RATIOS, pyarrow.float16()))
    halves = halves.set_column(3, "score", pyarrow.array(SCORES, pyarrow.uint64()))
    write(halves, at("pyarrow-float16.parquet"), store_decimal_as_integer=True)
    write(table.replace_schema_metadata(None), at("pyarrow-pages.parquet"), data_page_size=64, write_batch_size=2)
    return sorted(path.name for path in folder.iterdir())


def embedded(program, encoder, path, label, unit):
    """What came out of the program: texts as identifiers, codes and persons."""
    output = path.with_name(path.name + ".safetensors")
    command = [program, "embed", "--encoder", encoder, "--input", path, "--text-column", "text", "--id-column", "text"]
    command += ["--label-column", label, "--labels", NAMES[label], "--unit-column", unit, "--output", output]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        return run.stderr.strip()
    data = output.read_bytes()
    output.unlink()
    (length,) = struct.unpack("<Q", data[:8])
    about = json.loads(data[8 : 8 + length])

    def tensor(name, kind, size):
        start, end = (8 + length + x for x in about[name]["data_offsets"])
        return list(struct.unpack(f"<{(end - start) // size}{kind}", data[start:end]))

    ends = tensor("ids.ends", "Q", 8)
    characters = bytes(tensor("ids.bytes", "B", 1))
    texts = [characters[a:b].decode() for a, b in zip([0, *ends], ends)]
    none = lambda x: -1 if x == 2**32 - 1 else x
    return texts, [none(x) for x in tensor("labels", "I", 4)], [none(x) for x in tensor("persons", "I", 4)]


def peers(path):
    """The texts as each library reads them back, told no more than the format."""
    name = path.name
    duck = duckdb.connect()
    if "parquet" in name:
        readers = {
            "pandas": lambda: pandas.read_parquet(path)["text"].tolist(),
            "polars": lambda: polars.read_parquet(path)["text"].to_list(),
            "duckdb": lambda: [row[0] for row in duck.execute(f"SELECT text FROM '{path}'").fetchall()],
        }
    elif "json" in name:
        readers = {
            "pandas": lambda: pandas.read_json(path, lines=True, dtype=False)["text"].tolist(),
            "polars": lambda: polars.read_ndjson(path)["text"].to_list(),
            "duckdb": lambda: [r[0] for r in duck.execute(f"SELECT text FROM read_json('{path}')").fetchall()],
        }
    else:
        readers = {
            "pandas": lambda: pandas.read_csv(path, dtype=str, keep_default_na=False)["text"].tolist(),
            "polars": lambda: polars.read_csv(path, infer_schema=False)["text"].to_list(),
            "duckdb": lambda: [
                r[0] for r in duck.execute(f"SELECT text FROM read_csv('{path}', all_varchar=true)").fetchall()
            ],
        }
    for peer, read in readers.items():
        try:
            yield peer, read() == TEXTS
        except Exception as e:
            yield peer, type(e).__name__


def columns_of(name):
    """The label columns that a file has: pandas and polars have no decimals here."""
    has_prices = name.startswith(("duckdb", "pyarrow"))
    return [column for column in NAMES if column != "price" or has_prices]


def compare(program, encoder):
    n_differing, n_compared, tally = 0, 0, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in files(folder):
            for label in columns_of(name):
                for unit in ["unit", "code"]:
                    n_compared += 1
                    found = embedded(program, encoder, folder / name, label, unit)
                    if found != (TEXTS, codes(label), persons(unit)):
                        n_differing += 1
                        print(f"{name}, {label}, {unit}: {found}")
            row = dict(peers(folder / name))
            print(f"{name:28} " + " ".join(f"{peer}: {'same' if x is True else x or 'other texts'};" for peer, x in row.items()))
            for peer, same in row.items():
                tally.setdefault(peer, []).append(same is True)
        versions = [f"{m.__name__} {m.__version__}" for m in [pandas, polars, duckdb, pyarrow]]
    print(f"\n{', '.join(versions)}")
    print(f"the program: {n_compared - n_differing} of {n_compared} as written")
    for peer, same in tally.items():
        print(f"{peer}, told nothing but the file: {sum(same)} of {len(same)} texts as written")
    return 1 if n_differing else 0


FIXTURES = """pandas.csv pandas-semicolon.csv pandas-cp1252.csv pandas-utf16.csv pandas.tsv pandas-all.tsv pandas.jsonl
pandas-brotli.parquet polars.csv polars.tsv polars.ndjson polars.parquet polars-brotli.parquet polars-lz4.parquet
polars-categorical.parquet duckdb.csv duckdb.tsv duckdb.csv.zst duckdb.jsonl duckdb.parquet duckdb-v2.parquet
duckdb-zstd.parquet pyarrow-brotli.parquet pyarrow-zstd.parquet pyarrow-lz4.parquet pyarrow-gzip.parquet
pyarrow-delta.parquet pyarrow-float16.parquet""".split()


def fixtures(folder):
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as written:
        written = pathlib.Path(written)
        names = files(written)
        for name in FIXTURES:
            assert name in names, name
            (folder / name).write_bytes((written / name).read_bytes())
    expected = {
        "texts": TEXTS,
        "labels": {column: {"names": NAMES[column].split(","), "codes": codes(column)} for column in NAMES},
        "persons": {column: persons(column) for column in ["unit", "code"]},
        "files": {name: columns_of(name) for name in FIXTURES},
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    assert not any(isinstance(x, float) and math.isnan(x) for x in RATIOS)
    if sys.argv[1] == "--fixtures":
        fixtures(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(compare(*sys.argv[1:]))
