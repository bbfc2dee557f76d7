"""The kernels give the numbers of xarray: same missing values, a difference below 1e-12."""

import numpy
import pytest
import xarray

from swotvre_catalogs.reduce import ReductionError, UnknownVariableError, reduce

from .conftest import FILL, LINES, SmallLake, Stored, heights

HOWS = ["mean", "count", "std", "min", "max"]
OVERS = [
    None,
    "cycle_number",
    "pass_number",
    "num_lines",
    "num_pixels",
    ("cycle_number", "pass_number"),
    ("num_lines", "num_pixels"),
    ("pass_number", "num_lines", "num_pixels"),
    ("cycle_number", "num_lines"),
]


def assert_same(found: xarray.DataArray, expected: xarray.DataArray) -> None:
    assert found.dims == expected.dims
    numpy.testing.assert_array_equal(numpy.isnan(found), numpy.isnan(expected))
    numpy.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def by_xarray(array: xarray.DataArray, how: str, over: str | tuple[str, ...] | None) -> xarray.DataArray:
    counted = array.count(over)
    reduced: xarray.DataArray = counted if how == "count" else getattr(array.fillna(0), how)(over) * numpy.nan
    if how != "count":
        dims = array.dims if over is None else (over,) if isinstance(over, str) else over
        axes = tuple(array.dims.index(dim) for dim in dims)
        with numpy.errstate(all="ignore"):
            masked = numpy.ma.masked_invalid(array.to_numpy())
            values = getattr(masked, how)(axis=axes)
        reduced = reduced.copy(data=numpy.ma.filled(values, numpy.nan))
    return reduced


@pytest.mark.parametrize("over", OVERS, ids=str)
def test_every_operation_over_these_dimensions_gives_the_numbers_of_xarray(full_lake, over):
    array = full_lake.by_xarray("ssha_karin_2")

    found = reduce(full_lake.entry(), HOWS, "ssha_karin_2", over=over)

    for how in HOWS:
        assert_same(found[how], by_xarray(array, how, over))


def test_the_reference_of_these_tests_is_what_xarray_gives(full_lake):
    array = full_lake.by_xarray("ssha_karin_2")
    for how in HOWS:
        assert_same(by_xarray(array, how, "num_lines"), getattr(array, how)("num_lines"))


def test_several_results_come_out_of_one_pass_over_the_files(full_lake):
    entry = full_lake.entry()
    array = full_lake.by_xarray("ssha_karin_2")

    overs = [None, "cycle_number", "pass_number"]
    everything, by_cycle, by_pass = entry.mean("ssha_karin_2", over=overs)

    assert_same(everything, array.mean())
    assert_same(by_cycle, array.mean("cycle_number"))
    assert_same(by_pass, array.mean("pass_number"))


def test_result_says_what_it_is(full_lake):
    entry = full_lake.entry()

    found = entry.mean("ssha_karin_2", over="cycle_number", quality="good")

    assert found.attrs["units"] == "m"
    assert found.attrs["how"] == "mean"
    assert found.attrs["files"] == 11
    assert found.attrs["commit"] == entry.cube().attrs["commit"]
    assert found["pass_number"].values.tolist() == [1, 2, 18]
    assert found["latitude"].dims == ("pass_number", "num_lines", "num_pixels")
    numpy.testing.assert_array_equal(found["latitude"], entry.cube()["latitude"])


def test_numbers_stored_in_each_type_give_those_of_xarray(small_lake):
    rng = numpy.random.default_rng(5)
    shape = (LINES, 69)
    whole = {"u1": 255, "i1": -128, "u2": 65535, "i2": 32767, "u4": 2**32 - 1}
    for cycle in (1, 2, 3):
        variables = {}
        for kind, fill in whole.items():
            limits = numpy.iinfo(kind)
            values = rng.integers(limits.min, limits.max, shape, endpoint=True).astype(kind)
            variables[f"of_{kind}"] = Stored(values, 0.01, fill=fill)
        floats = rng.normal(3.0, 1.0, shape)
        floats[rng.random(shape) < 0.3] = 9.969e36
        floats[0, :5] = numpy.nan
        variables["of_f4"] = Stored(floats.astype("f4"), None, fill=numpy.float32(9.969e36))
        variables["of_f8"] = Stored(floats, None, fill=9.969e36)
        plain = {"compression": "gzip", "fletcher32": True}
        variables["plain_f4"] = Stored(floats.astype("f4"), None, fill=numpy.float32(9.969e36), options=plain)
        variables["contiguous"] = Stored(heights(cycle), options={})
        variables["checked"] = Stored(heights(cycle), options={"chunks": (7, 69), "fletcher32": True, "shuffle": True})
        variables["of_a_line"] = Stored(heights(cycle)[:, 0])
        variables["without_fill"] = Stored(heights(cycle, missing=0), fill=None)
        small_lake.write(cycle, 1, variables)
    entry = small_lake.entry()

    for name in variables:
        array = small_lake.by_xarray(name)
        found = reduce(entry, HOWS, name, over="cycle_number")
        for how in HOWS:
            assert_same(found[how], by_xarray(array, how, "cycle_number"))


def test_chunk_that_was_never_written_counts_as_missing(small_lake, tmp_path):
    import h5py

    path = small_lake.write(1, 1, {"ssha_karin_2": Stored(heights(1), options={"chunks": (32, 69)})})
    small_lake.write(2, 1, {"ssha_karin_2": Stored(heights(2), options={"chunks": (32, 69)})})
    with h5py.File(path, "a") as file:
        attributes = dict(file["ssha_karin_2"].attrs)
        dims = [file["num_lines"], file["num_pixels"]]
        del file["ssha_karin_2"]
        options = {"chunks": (32, 69), "fillvalue": FILL, "dtype": "i4", "compression": "gzip"}
        sparse = file.create_dataset("ssha_karin_2", (LINES, 69), **options)
        sparse[:32] = heights(1)[:32]
        for name in ("scale_factor", "_FillValue", "units"):
            sparse.attrs[name] = attributes[name]
        for axis, dim in enumerate(dims):
            sparse.dims[axis].attach_scale(dim)

    found = small_lake.entry().count("ssha_karin_2", over="cycle_number")

    array = small_lake.by_xarray("ssha_karin_2")
    assert array[0, 0, 32:].isnull().all()
    assert_same(found, array.count("cycle_number"))


def test_sum_of_extreme_numbers_is_exact(small_lake):
    for cycle in range(1, 6):
        packed = numpy.full((LINES, 69), -(2**31) if cycle % 2 else 2**31 - 2, "i4")
        small_lake.write(cycle, 1, {"height": Stored(packed, 1.0)})
    entry = small_lake.entry()

    found = reduce(entry, ("mean", "std"), "height")

    one = [-(2**31), 2**31 - 2, -(2**31), 2**31 - 2, -(2**31)]
    assert found["mean"].item() == pytest.approx(sum(one) / 5, rel=1e-15)
    assert found["std"].item() == pytest.approx(numpy.std(numpy.array(one, float)), rel=1e-14)
    by_pixel = reduce(entry, ("mean", "std"), "height", over="cycle_number")
    numpy.testing.assert_allclose(by_pixel["mean"], sum(one) / 5, rtol=1e-15)
    numpy.testing.assert_allclose(by_pixel["std"], numpy.std(numpy.array(one, float)), rtol=1e-14)


def test_small_deviations_of_large_numbers_are_exact(small_lake):
    for cycle in range(1, 5):
        small_lake.write(cycle, 1, {"height": Stored(numpy.full((LINES, 69), 2_000_000_000 + cycle, "i4"), 1e-4)})

    found = small_lake.entry().std("height", over="cycle_number")

    numpy.testing.assert_allclose(found, numpy.std([1, 2, 3, 4]) * 1e-4, rtol=1e-14)


def test_negative_scale_factor_turns_minimum_and_maximum_round(small_lake):
    for cycle in (1, 2):
        small_lake.write(cycle, 1, {"height": Stored(heights(cycle), -1e-3, 5.0)})
    array = small_lake.by_xarray("height")

    for over in (None, "cycle_number"):
        found = reduce(small_lake.entry(), ("min", "max"), "height", over=over)
        for how in ("min", "max"):
            assert_same(found[how], getattr(array, how)(over))


def test_variable_that_some_files_lack_is_missing_there(small_lake):
    small_lake.write(1, 1, {"ssha_karin_2": Stored(heights(1)), "swh": Stored(heights(2))})
    small_lake.write(2, 1, {"ssha_karin_2": Stored(heights(3))})

    found = small_lake.entry().count("swh", over="cycle_number")

    assert_same(found[0], small_lake.by_xarray("swh").count("cycle_number")[0])
    assert found.attrs["files"] == 1


def test_unknown_variable_is_refused_with_a_near_miss(full_lake):
    with pytest.raises(UnknownVariableError, match="did you mean 'ssha_karin_2'"):
        full_lake.entry().mean("ssha_karin2")
    with pytest.raises(UnknownVariableError, match="expected one name"):
        full_lake.entry().mean(["ssha_karin_2", "latitude"])


@pytest.mark.parametrize(
    ("how", "over", "words"),
    [
        ("median", None, "mean, count"),
        ("mean", "num_line", "num_lines"),
        ("mean", 3, "over is 3"),
        ("mean", [], "over is an empty list"),
    ],
)
def test_unknown_operation_or_dimension_is_refused(full_lake, how, over, words):
    with pytest.raises(ReductionError, match=words):
        reduce(full_lake.entry(), how, "ssha_karin_2", over=over)


def test_unknown_option_is_refused(full_lake):
    with pytest.raises(ReductionError, match="did you mean 'quality'"):
        full_lake.entry().mean("ssha_karin_2", qualty="good")
    with pytest.raises(ReductionError, match=r"of cycles and passes, .sel\(...\)"):
        full_lake.entry().mean("ssha_karin_2", cycle_number=1)


def test_result_is_the_same_with_one_thread_and_with_many(full_lake, monkeypatch: pytest.MonkeyPatch):
    entry = full_lake.entry()
    results = []
    for cores in (1, 7):
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid, cores=cores: range(cores))
        results.append(reduce(entry, HOWS, "ssha_karin_2", over=[None, "pass_number"]))
    for one, other in zip(*results, strict=True):
        xarray.testing.assert_identical(one, other)


def test_lake_of_one_file_can_be_reduced(small_lake: SmallLake):
    small_lake.write(7, 3, {"ssha_karin_2": Stored(heights(1))})
    found = small_lake.entry().mean("ssha_karin_2", over=("num_lines", "num_pixels"))
    assert found.dims == ("cycle_number", "pass_number")
    assert found.item() == pytest.approx(small_lake.by_xarray("ssha_karin_2").mean().item(), abs=1e-12)
