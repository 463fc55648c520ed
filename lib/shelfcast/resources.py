"""Where the files that ship with shelfcast lie, in a checkout as in an installed package."""

from pathlib import Path

from shelfcast.errors import EnvironmentProblem


def conf_dir() -> Path:
    """The folder of base.yaml, cluster.yaml and sources/.

    It is package data: a copy in a wheel, a link to the checkout's ``conf/`` in a checkout. Raises EnvironmentProblem
    where it is missing, as in a package that was zipped: Spark reads it from a file system.
    """
    folder = (Path(__file__).parent / "conf").resolve()
    if not (folder / "base.yaml").is_file():
        raise EnvironmentProblem(
            f"shelfcast's own configuration {folder / 'base.yaml'} is missing: install the package unzipped "
            "(on a cluster as an archive of the whole environment), or run scripts/setup in a checkout"
        )
    return folder
