"""A file whose structure was met before is known by its bytes, and is never taken for what it is not."""

import h5py
import netCDF4
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swotvre_catalogs.cube import structures
from swotvre_catalogs.cube.errors import DamagedFileError
from swotvre_catalogs.cube.indexer import Indexer


@pytest.fixture
def opened(monkeypatch):
    """How often the HDF5 library opened a file."""
    calls = []

    def counted(module, name):
        inner = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, **named: calls.append(given) or inner(*given, **named))

    counted(h5py.h5f, "open")
    return calls


@pytest.fixture
def unseeing(monkeypatch):
    """Return an indexer that asks the library of every file."""

    def made():
        indexer = Indexer()
        monkeypatch.setattr(indexer._structures, "find", lambda *_: None)
        return indexer

    return made


def _facts(indexed):
    positions = indexed.positions().tolist()
    return indexed.layout.signature, positions, indexed.geometry, indexed.identity


def _asked(indexer, path):
    try:
        return _facts(indexer.index(path))
    except DamagedFileError:
        return "damaged"


def _write_rows(path, seed=0, chunk=7, level=4, scale=0.25, shuffle=True, **global_attributes):
    """Write a file whose chunks are many, with more attributes than HDF5 keeps in a header."""
    values = numpy.random.default_rng(seed).integers(0, 1000, (40, 6))
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("num_lines", 40)
        file.createDimension("num_pixels", 6)
        for name in ("latitude", "longitude", "height"):
            made = file.createVariable(
                name, "i4", ("num_lines", "num_pixels"), zlib=True, complevel=level, shuffle=shuffle,
                chunksizes=(chunk, 6), fill_value=-1,
            )  # fmt: skip
            made.set_auto_maskandscale(False)
            made.setncatts({f"attribute_{number}": "text" for number in range(9)})
            made.setncatts({"scale_factor": scale, "units": "m"})
        file.createVariable("plain", "f8", ("num_lines",))
        file.setncatts(global_attributes)
        for name, variable in file.variables.items():
            variable[:] = values[:, 0] if name == "plain" else values
    return path


def test_the_library_is_asked_of_the_first_file_alone(tmp_path, opened, unseeing):
    for seed in range(5):
        _write_rows(tmp_path / f"{seed}.nc", seed, title=f"cycle {seed}")
    indexer = Indexer()
    found = [_facts(indexer.index(tmp_path / f"{seed}.nc")) for seed in range(5)]
    assert len(opened) == 1
    asking = unseeing()
    assert found == [_facts(asking.index(tmp_path / f"{seed}.nc")) for seed in range(5)]


def test_files_of_two_kinds_in_turn_are_told_apart(tmp_path, opened, unseeing):
    kinds = ({"chunk": 7}, {"chunk": 8}, {"level": 5}, {"shuffle": False}, {"scale": 0.5})
    for number in range(15):
        _write_rows(tmp_path / f"{number}.nc", number, **kinds[number % 5])
    indexer = Indexer()
    found = [_facts(indexer.index(tmp_path / f"{number}.nc")) for number in range(15)]
    assert len(opened) == 5
    asking = unseeing()
    assert found == [_facts(asking.index(tmp_path / f"{number}.nc")) for number in range(15)]
    assert len({signature for signature, *_ in found}) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale_factor", 0.5), ("_FillValue", numpy.int32([-2])), ("units", b"k"), ("attribute_3", b"n")],
)
def test_an_attribute_changed_in_place_is_seen(tmp_path, unseeing, name, value):
    """Of the same type and size, at the same place, in a file of the same length."""
    indexer = Indexer()
    for number in range(3):
        path = _write_rows(tmp_path / f"{number}.nc")
        indexer.index(path)
    size = path.stat().st_size
    with h5py.File(path, "r+") as file:
        attribute = h5py.h5a.open(file["height"].id, name.encode())
        attribute.write(numpy.asarray(value, attribute.dtype).reshape(attribute.shape), mtype=attribute.get_type())
    assert path.stat().st_size == size
    found = _facts(indexer.index(path))
    assert found == _facts(unseeing().index(path))
    before = _facts(indexer.index(tmp_path / "0.nc"))
    assert (found[0] == before[0]) == (name == "attribute_3")


def test_a_chunk_written_anew_is_found_where_it_lies_now(tmp_path, unseeing):
    indexer = Indexer()
    for number in range(2):
        path = _write_rows(tmp_path / f"{number}.nc")
        indexer.index(path)
    with h5py.File(path, "r+") as file:
        file["height"][:14] = numpy.random.default_rng(5).integers(0, 2**30, (14, 6))
    assert _facts(indexer.index(path)) == _facts(unseeing().index(path))


def test_a_chunk_that_skips_a_filter_or_is_missing_is_for_the_library(tmp_path, unseeing):
    indexer = Indexer()
    for number in range(4):
        _write_rows(tmp_path / f"{number}.nc")
    indexer.index(tmp_path / "0.nc")
    with h5py.File(tmp_path / "1.nc", "r+") as file:
        file["height"].id.write_direct_chunk((7, 0), bytes(168), filter_mask=2)
    with netCDF4.Dataset(tmp_path / "2.nc", "a") as file:
        file["height"].attribute_1 = "test"
    found = [indexer.index(tmp_path / f"{number}.nc") for number in range(4)]
    assert [_facts(one) for one in found] == [_facts(unseeing().index(tmp_path / f"{n}.nc")) for n in range(4)]
    assert not found[1].layout.variables["height"].is_direct
    assert found[3].layout.variables["height"].is_direct


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_that_changed_is_judged_as_the_library_judges_it(tmp_path, unseeing, place, bit):
    whole = tmp_path / "whole.nc"
    if not whole.exists():
        _write_rows(whole)
    content = bytearray(whole.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    other = tmp_path / "other.nc"
    other.write_bytes(content)
    indexer, asking = Indexer(), unseeing()
    for one in (indexer, asking):
        one.index(whole)
    assert _asked(indexer, other) == _asked(asking, other)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_damaged(tmp_path, kept):
    indexer = Indexer()
    content = _write_rows(tmp_path / "whole.nc").read_bytes()
    assert _facts(indexer.index(tmp_path / "whole.nc"))
    (tmp_path / "cut.nc").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DamagedFileError, match=r"cut\.nc"):
        indexer.index(tmp_path / "cut.nc")


def test_structures_that_never_come_again_are_not_learned_for_ever(tmp_path, monkeypatch, unseeing, opened):
    monkeypatch.setattr(structures, "_FIRST_STRUCTURES", 3)
    indexer = Indexer()
    for number in range(6):
        path = _write_rows(tmp_path / f"{number}.nc", scale=number + 1.0)
        assert _facts(indexer.index(path)) == _facts(unseeing().index(path))
    assert not indexer._structures.wants_more
    again = [_facts(indexer.index(tmp_path / f"{number}.nc"))[0] for number in range(6)]
    assert len(set(again)) == 6
    del opened[:]
    assert [_facts(indexer.index(tmp_path / f"{number}.nc"))[0] for number in range(6)] == again
    assert not opened


def test_a_file_of_the_earliest_format_is_for_the_library(tmp_path, opened):
    indexer, found = Indexer(), []
    for number in range(2):
        with h5py.File(tmp_path / f"{number}.nc", "w", libver="earliest") as file:
            file["height"] = numpy.arange(10) + number
        del opened[:]
        found.append(indexer.index(tmp_path / f"{number}.nc").layout.signature)
        assert len(opened) == 1
    assert found[0] == found[1]
