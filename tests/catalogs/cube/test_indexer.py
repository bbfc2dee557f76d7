"""What the indexer says of a file is what the HDF5 library reads from it."""

import h5py
import netCDF4
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swotvre_catalogs.byte_ranges import LocalRangeReader
from swotvre_catalogs.cube.decoding import read_file_variable
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.indexer import Indexer, index_file


def _read(path, name):
    found = index_file(path)
    layout = found.layout.variables[name]
    identity = (path.name, found.size_bytes, found.modified_ns, "")
    return read_file_variable(LocalRangeReader(path.parent), identity, layout, found.offsets[name], found.sizes[name])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_at_the_positions_are_the_values(tmp_path, data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 12)))
    dtype = data.draw(st.sampled_from(["i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8"]))
    options = {}
    if data.draw(st.booleans()):
        options["chunks"] = tuple(data.draw(st.integers(1, size)) for size in shape)
        options["shuffle"] = data.draw(st.booleans())
        options["fletcher32"] = data.draw(st.booleans())
        if data.draw(st.booleans()):
            options |= {"compression": "gzip", "compression_opts": data.draw(st.integers(0, 9))}
    values = numpy.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 100, shape).astype(dtype)
    path = tmp_path / "drawn.nc"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("left/values", shape, dtype, fillvalue=7, **options)
        made.attrs["_FillValue"] = numpy.array([7], dtype)
        written = data.draw(st.integers(0, shape[0]))
        made[:written] = values[:written]
        expected = made[...]
    layout = index_file(path).layout.variables["left/values"]
    assert layout.is_direct
    assert layout.chunks == options.get("chunks", shape)
    numpy.testing.assert_array_equal(_read(path, "left/values"), expected)


def test_files_of_other_chunks_have_other_layouts(tmp_path):
    indexer, layouts = Indexer(), []
    for chunk in (8, 16):
        with h5py.File(tmp_path / f"{chunk}.nc", "w") as file:
            file.create_dataset("values", (16,), "i4", chunks=(chunk,), compression="gzip")
        layouts.append(indexer.index(tmp_path / f"{chunk}.nc").layout)
    assert [one.variables["values"].chunks for one in layouts] == [(8,), (16,)]
    assert layouts[0].signature != layouts[1].signature


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("scale_factor", 1e-3), ("add_offset", 5.0), ("_FillValue", -2), ("units", "cm"), ("flag_meanings", "good")],
)
def test_what_changes_the_meaning_changes_the_signature(tmp_path, attribute, value):
    indexer, signatures = Indexer(), []
    for number, written in enumerate((None, value)):
        path = tmp_path / f"{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("num_lines", 4)
            fill = written if attribute == "_FillValue" else None
            made = file.createVariable("height", "i4", ("num_lines",), zlib=True, fill_value=fill)
            if written is not None and attribute != "_FillValue":
                made.setncattr(attribute, written)
        signatures.append(indexer.index(path).layout.signature)
    assert signatures[0] != signatures[1]


@pytest.mark.parametrize("kind", ["i4", "f8"])
@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("scale_factor", (1e-3, 1e-4)),
        ("scale_factor", (numpy.int64(5), 5.25)),
        ("add_offset", (0.0, 5.0)),
        ("_FillValue", (-2, -3)),
        ("missing_value", (-2, -3)),
        ("units", ("mm", "cm")),
        ("calendar", ("standard", "360_day ")),
        ("flag_meanings", ("good bad", "bad good")),
        ("flag_masks", (numpy.array([1, 2], "i4"), numpy.array([2, 4], "i4"))),
        ("flag_values", (numpy.array([5], "i8"), numpy.array([5, 0], "i4"))),
        ("_Unsigned", ("true ", "false")),
    ],
)
def test_a_value_that_changes_within_the_series_is_seen(tmp_path, attribute, values, kind):
    """Also where the attribute is of the same length, and a file of the first kind comes again."""
    found = []
    indexer = Indexer()
    for number in (0, 0, 1, 0, 1):
        path = tmp_path / f"{len(found)}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("num_lines", 4)
            fill = values[number] if attribute == "_FillValue" else None
            made = file.createVariable("height", kind, ("num_lines",), zlib=True, fill_value=fill)
            made.comment = "many more attributes " * 40
            for other in range(9):
                made.setncattr(f"attribute_{other}", "HDF5 keeps more than eight elsewhere")
            if attribute != "_FillValue":
                made.setncattr(attribute, values[number])
        found.append(indexer.index(path).layout.signature)
        assert found[-1] == index_file(path).layout.signature
    assert found[0] == found[1] == found[3] != found[2] == found[4]


def test_a_variable_that_takes_the_place_of_a_dimension_is_seen(tmp_path):
    indexer = Indexer()
    for number in range(3):
        with netCDF4.Dataset(tmp_path / f"{number}.nc", "w") as file:
            file.createDimension("num_lines", 4)
            file.createVariable("height", "i4", ("num_lines",))
            if number == 1:
                file.createVariable("num_lines", "f4", ("num_lines",))[:] = 1
    found = [set(indexer.index(tmp_path / f"{number}.nc").layout.variables) for number in range(3)]
    assert found == [{"height"}, {"height", "num_lines"}, {"height"}]


def test_what_the_library_alone_can_read_is_not_direct(tmp_path):
    path = tmp_path / "other.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("lzf", data=numpy.arange(100), compression="lzf")
        file.create_dataset("big_endian", data=numpy.arange(100, dtype=">i4"))
        made = file.create_dataset("never_written", (100,), "i4", chunks=(10,), fillvalue=3)
        made.attrs["_FillValue"] = numpy.int32(-1)
        file.create_dataset("text", data=["a", "b"])
    variables = index_file(path).layout.variables
    assert set(variables) == {"lzf", "big_endian", "never_written"}
    assert not any(layout.is_direct for layout in variables.values())
    assert variables["never_written"].unwritten_value == 3


def test_damage_is_named(tmp_path):
    path = tmp_path / "whole.nc"
    with h5py.File(path, "w") as file:
        file["values"] = numpy.arange(10_000)
    data = path.read_bytes()
    for name, content in {"cut.nc": data[:-500], "empty.nc": b"", "text.nc": b"not a file"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DamagedFileError, match=name):
            index_file(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        index_file(tmp_path / "absent.nc")


def test_a_fill_value_that_no_file_declares(tmp_path):
    path = tmp_path / "undeclared.nc"
    with h5py.File(path, "w") as file:
        file["height"] = numpy.arange(3, dtype="i4")
        file["exact"] = numpy.arange(3.0)
    variables = index_file(path, undeclared_fill_value=-99).layout.variables
    assert (variables["height"].fill_value, variables["exact"].fill_value) == (-99, None)
