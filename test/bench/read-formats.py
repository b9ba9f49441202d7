"""Data sets in formats that Python reads: makes one of so many MB, or reads it and prints the rate.

  read-formats.py make parquet|duckdb|zarr|hdf5 FOLDER MB
  read-formats.py read parquet|duckdb|zarr|hdf5 FOLDER SEED
  read-formats.py walk FOLDER
"""
import os
import random
import sys
import time

COLUMNS = 60
WANTED = ["c3", "c31", "c57"]
CHUNK = 256 * 1024  # bytes
ROW_GROUP = 64 * 1024  # rows


def make_parquet(folder, megabytes):
    import numpy
    import pyarrow
    import pyarrow.parquet

    rows = megabytes * 1_000_000 // (8 * COLUMNS)
    schema = pyarrow.schema([(f"c{n}", pyarrow.float64()) for n in range(COLUMNS)])
    generator = numpy.random.default_rng(1)
    with pyarrow.parquet.ParquetWriter(f"{folder}/table.parquet", schema) as writer:
        for begin in range(0, rows, ROW_GROUP):
            count = min(ROW_GROUP, rows - begin)
            writer.write_table(pyarrow.table([generator.random(count) for _ in range(COLUMNS)], schema=schema))


def shape(megabytes):
    chunks = max(8, megabytes * 1_000_000 // CHUNK)
    return (chunks, CHUNK // 4)


def make_zarr(folder, megabytes):
    import numpy
    import zarr

    size = shape(megabytes)
    array = zarr.open(f"{folder}/array.zarr", mode="w", shape=size, chunks=(1, size[1]), dtype="f4")
    generator = numpy.random.default_rng(2)
    for n in range(size[0]):
        array[n] = generator.random(size[1], dtype="f4")


def make_hdf5(folder, megabytes):
    import h5py
    import numpy

    size = shape(megabytes)
    generator = numpy.random.default_rng(3)
    with h5py.File(f"{folder}/array.h5", "w") as file:
        array = file.create_dataset("array", size, dtype="f4", chunks=(1, size[1]))
        for n in range(size[0]):
            array[n] = generator.random(size[1], dtype="f4")


def read_parquet(folder, _):
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(f"{folder}/table.parquet", columns=WANTED).num_columns == len(WANTED)
    return 1


def read_duckdb(folder, _):
    import duckdb

    sums = ", ".join(f"sum({name})" for name in WANTED)
    assert len(duckdb.sql(f"select {sums} from '{folder}/table.parquet'").fetchall()) == 1
    return 1


def in_some_order(count, seed):
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order[: max(8, count // 4)]


def read_zarr(folder, seed):
    import zarr

    array = zarr.open(f"{folder}/array.zarr", mode="r")
    order = in_some_order(array.shape[0], seed)
    for n in order:
        array[n]
    return len(order)


def read_hdf5(folder, seed):
    import h5py

    with h5py.File(f"{folder}/array.h5", "r") as file:
        array = file["array"]
        order = in_some_order(array.shape[0], seed)
        for n in order:
            array[n]
    return len(order)


MAKE = {"parquet": make_parquet, "duckdb": make_parquet, "zarr": make_zarr, "hdf5": make_hdf5}
READ = {"parquet": read_parquet, "duckdb": read_duckdb, "zarr": read_zarr, "hdf5": read_hdf5}
IMPORTS = {"parquet": ["pyarrow.parquet"], "duckdb": ["duckdb"], "zarr": ["zarr"], "hdf5": ["h5py"]}


def walk(folder):
    files = 0
    for path, _, names in os.walk(folder):
        for name in names:
            os.stat(os.path.join(path, name))
        files += len(names)
    return files


def main():
    if sys.argv[1] == "make":
        MAKE[sys.argv[2]](sys.argv[3], int(sys.argv[4]))
        return
    if sys.argv[1] == "read":
        for name in IMPORTS[sys.argv[2]]:
            __import__(name)  # loading the library is not measured
    begun = time.monotonic()
    count = walk(sys.argv[2]) if sys.argv[1] == "walk" else READ[sys.argv[2]](sys.argv[3], int(sys.argv[4]))
    print(count / (time.monotonic() - begun))


main()
