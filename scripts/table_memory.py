"""Measures the memory that `cryptotl embed` takes for tables that were made to take much.

usage: table_memory.py PROGRAM ENCODER      (cryptotl, and a folder with a small encoder)

Prints for each table the time, the peak of resident memory and what the program says. Ends with code 1 where one takes more
than docs/formats.md allows. Parquet tables need pyarrow==26.0.1 of PyPI; without it they are left out.
"""

import gzip
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

MOST = 1536
MIB = 1 << 20


def zstandard(path, window_log, blocks, start):
    """One frame: its first bytes as they are, then `blocks` blocks of 128 KiB of one letter."""
    with open(path, "wb") as file:
        file.write(b"\x28\xb5\x2f\xfd\x00" + bytes([(window_log - 10) << 3]))
        file.write(struct.pack("<I", len(start) << 3)[:3] + start)
        for i in range(blocks):
            block = (MIB >> 3) << 3 | 1 << 1 | (i == blocks - 1)
            file.write(struct.pack("<I", block)[:3] + b"x")


def tables(folder):
    at = lambda name: folder / name
    with gzip.open(at("names.csv.gz"), "wb", 1) as file:
        for _ in range(160):
            file.write(b"x" * (16 * MIB) + b",")
        file.write(b"text\n" + b"," * 160 + b"a\n")
    at("columns.csv").write_bytes(b"x," * 300_000 + b"text\n" + b"," * 300_000 + b"a\n")
    with gzip.open(at("field.csv.gz"), "wb", 1) as file:
        file.write(b"text,other\n")
        for _ in range(64):
            file.write(b"x" * (16 * MIB))
        file.write(b",a\n")
    with gzip.open(at("many-long.csv.gz"), "wb", 1) as file:
        file.write(b"text\n")
        for _ in range(20):
            file.write(b"x" * (16 * MIB) + b"\n")
    with gzip.open(at("quote.csv.gz"), "wb", 1) as file:
        file.write(b'text\n"')
        for _ in range(64):
            file.write(b"x\n" * (8 * MIB))
    with gzip.open(at("quote.tsv.gz"), "wb", 1) as file:
        file.write(b'text\tother\n"')
        for _ in range(32):
            file.write(b"xx" * (8 * MIB))
    at("word.csv").write_bytes(b"text\n" + b"x" * (5 * MIB) + b"\n")
    at("spaces.csv").write_bytes(b'text\n"' + b" " * (5 * MIB) + b'x"\n')
    zstandard(at("window.csv.zst"), 26, 4000, b"text\n")
    zstandard(at("wide-window.csv.zst"), 31, 1, b"text\n")
    with gzip.open(at("array.jsonl.gz"), "wb", 1) as file:
        file.write(b'{"text":"a","x":[0')
        for _ in range(120):
            file.write(b",0" * (MIB >> 1))
        file.write(b"]}\n")
    with gzip.open(at("line.jsonl.gz"), "wb", 1) as file:
        file.write(b'{"text":"a"}\n{"text":"')
        for _ in range(1000):
            file.write(b"x" * MIB)
        file.write(b'"}\n')
    with gzip.open(at("escapes.jsonl.gz"), "wb", 1) as file:
        file.write(b'{"text":"')
        for _ in range(120):
            file.write(b"\\u20acxx" * (MIB >> 3))
        file.write(b'"}\n')
    at("deep.jsonl").write_bytes(b'{"text":"a","x":' + b"[" * MIB + b"]" * MIB + b"}\n")
    with gzip.open(at("members.jsonl.gz"), "wb", 1) as file:
        file.write(b'{"text":"a"')
        for i in range(4_000_000):
            file.write(b',"%d":0' % i)
        file.write(b"}\n")
    schema_bomb(at("deep.parquet"), 1_000_000)
    try:
        parquet_tables(at)
    except ImportError:
        print("no pyarrow: Parquet tables are left out", file=sys.stderr)
    os.mkfifo(at("pipe.csv"))
    return sorted(folder.iterdir())


def schema_bomb(path, depth):
    """A footer whose schema has one group in the other."""
    group = b"\x48\x01g\x15\x02\x00"  # a name of one letter and one child
    leaf = b"\x15\x0c\x25\x00\x18\x01t\x00"
    n = depth + 1
    varint = b""
    while n >= 0x80:
        varint += bytes([n & 0x7F | 0x80])
        n >>= 7
    footer = b"\x15\x02\x19\xfc" + varint + bytes([n]) + group * depth + leaf
    footer += b"\x16\x00\x19\x0c\x00"
    path.write_bytes(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")


def parquet_tables(at):
    import pyarrow
    import pyarrow.parquet

    write = pyarrow.parquet.write_table
    long = "x" * (100 * MIB)
    write(pyarrow.table({"text": [long, "a"]}), at("page.parquet"), compression="gzip", use_dictionary=False)
    write(pyarrow.table({"text": ["x" * (200 * MIB), "a"]}), at("large-page.parquet"), compression="zstd")
    columns = {name: [long[: 90 * MIB]] * 2 for name in ["text", "label", "unit", "id", "source"]}
    write(pyarrow.table(columns), at("five-pages.parquet"), compression="zstd")
    repeated = pyarrow.table({"text": [long[: 60 * MIB]] * 500})
    write(repeated, at("dictionary.parquet"), compression="brotli", dictionary_pagesize_limit=128 * MIB)
    shared = ["x" * (16 * 1024 * (i + 1)) for i in range(1000)]
    write(
        pyarrow.table({"text": shared}),
        at("shared.parquet"),
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
        data_page_size=64 * MIB,
    )
    write(pyarrow.table({f"c{i}": ["a"] for i in range(20_000)} | {"text": ["a"]}), at("columns.parquet"))
    empty = pyarrow.table({"text": [""] * 3_000_000 + ["a"]})
    write(empty, at("empties.parquet"), use_dictionary=False, data_page_size=64 * MIB)


def main(program, encoder):
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in tables(pathlib.Path(folder)):
            more = []
            if path.name == "five-pages.parquet":
                more = ["--unit-column", "unit", "--id-column", "id", "--label-column", "label", "--labels", "a,b"]
                more += ["--allow-unlabeled"]
            command = [program, "embed", "--encoder", encoder, "--input", path, "--text-column", "text"]
            start = time.time()
            run = subprocess.Popen(
                command + more + ["--output", path.with_suffix(".out")],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            words = run.stdout.read().replace("\n", " / ")
            _, status, usage = os.wait4(run.pid, 0)
            mib = usage.ru_maxrss // 1024
            worst = max(worst, mib)
            size = path.stat().st_size / MIB
            words = words.replace(str(path), path.name)[:110]
            code = os.waitstatus_to_exitcode(status)
            print(f"{path.name:22} {size:6.1f} MiB {time.time() - start:6.1f} s {mib:5} MiB  {code}  {words}", flush=True)
    print(f"\nmost: {worst} MiB, allowed: {MOST} MiB")
    return 1 if worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
