"""The sample lake: cropped passes, a hole, a pass cut, another scale factor; as researchers first meet it."""

from pathlib import Path

import numpy
import pytest
import xarray

from swotvre_catalogs import open_catalog


@pytest.mark.parametrize(
    ("name", "variable"),
    [("l2_lr_ssh_expert", "ssha_karin_2"), ("l2_lr_ssh_basic", "ssh_karin"), ("l3_lr_ssh_expert", "ssha_unfiltered")],
)
def test_every_file_of_the_sample_is_counted_once(sample_datalake: Path, tmp_path: Path, name: str, variable: str):
    entry = open_catalog(sample_datalake, index=tmp_path)[name]
    values, good = [], []
    flag = f"{variable}_qual" if name.startswith("l2") else "quality_flag"
    for path in entry.granules()["path"]:
        with xarray.open_dataset(sample_datalake / path, engine="h5netcdf", decode_timedelta=False) as file:
            found = file[variable].to_numpy()
            values.append(found[numpy.isfinite(found)])
            good.append(found[numpy.isfinite(found) & (file[flag].to_numpy() == 0)])

    total, by_file = entry.mean(variable, over=[None, ("num_lines", "num_pixels")])

    assert total.item() == pytest.approx(numpy.concatenate(values).mean(), abs=1e-12)
    expected = sorted(one.mean() for one in values)
    found = numpy.sort(by_file.to_numpy().ravel())
    numpy.testing.assert_allclose(found[numpy.isfinite(found)], expected, rtol=1e-12, atol=1e-12)
    assert entry.count(variable, quality="good") == sum(one.size for one in good)
    assert entry.std(variable, quality="good").item() == pytest.approx(numpy.concatenate(good).std(), abs=1e-12)


def test_map_of_a_region_is_that_of_xarray(sample_datalake: Path, tmp_path: Path):
    entry = open_catalog(sample_datalake, index=tmp_path)["l2_lr_ssh_expert"]
    cube = entry.cube()
    inside = (
        (cube["longitude"] >= 16) & (cube["longitude"] <= 22) & (cube["latitude"] >= -42) & (cube["latitude"] <= -36)
    )

    found = entry.mean("ssha_karin_2", over="cycle_number", bbox=(16, -42, 22, -36))

    expected = cube["ssha_karin_2"].where(inside).mean("cycle_number").sel(pass_number=found["pass_number"])
    assert found.notnull().any()
    numpy.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
