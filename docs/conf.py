"""Configuration of the documentation site."""

project = "swot-vre"
copyright = "2026, the swot-vre developers"
author = "the swot-vre developers"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "deflist"]
# The notebooks come executed, in a session of a running hub (docs/build.py): Sphinx only shows them.
nb_execution_mode = "off"
nb_merge_streams = True
exclude_patterns = ["_build"]
suppress_warnings = ["mystnb.unknown_mime_type"]

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# The documentation is built where the hub is installed; what a kernel computes with is not there.
autodoc_mock_imports = [
    *("dask", "distributed", "fsspec", "geopandas", "intake", "intake_xarray", "netCDF4", "numpy", "pandas"),
    *("s3fs", "scipy", "shapely", "xarray", "pyogrio"),
]

html_theme = "pydata_sphinx_theme"
html_title = "swot-vre"
html_static_path = ["_static"]
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
