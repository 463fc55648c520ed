"""What Spark needs besides Python: a Java of its age, Delta's jars, and others for an object store."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from shelfcast.errors import EnvironmentProblem

OLDEST_JAVA = 17
_REMEDY = (
    f"install a Java runtime of version {OLDEST_JAVA} or later (Debian, Ubuntu: apt-get install "
    f"openjdk-{OLDEST_JAVA}-jre-headless) or let JAVA_HOME name one"
)


def delta_jars() -> list[Path]:
    """Delta's jars, sorted; they lie in the environment's share/shelfcast/jars or in the folder $SHELFCAST_JARS.

    Empty where that folder is missing: on a cluster the platform brings its own Delta.
    """
    return sorted(_folder().glob("*.jar"))


def s3a_jars() -> list[Path]:
    """Sorted jars that Spark reads and writes s3a:// with, where ``scripts/fetch_jars.py s3a`` has brought them."""
    return sorted((_folder() / "s3a").glob("*.jar"))


def _folder() -> Path:
    return Path(os.environ.get("SHELFCAST_JARS") or Path(sys.prefix) / "share" / "shelfcast" / "jars")


def require_java() -> None:
    """Check that Spark will find a Java it can run on.

    Looks where Spark looks: $JAVA_HOME/bin/java, else the PATH. Raises EnvironmentProblem when there is none,
    when it does not start, or when it is older than 17.
    """
    java = _find_java()
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentProblem(f"{java} does not start ({problem}), and Spark needs Java; {_REMEDY}") from problem
    version = java_version(answer.stderr + answer.stdout)
    if answer.returncode != 0 or version is None:
        said = (answer.stderr + answer.stdout).strip().splitlines()
        raise EnvironmentProblem(
            f"{java} -version failed ({said[0] if said else 'no output'}), and Spark needs Java; {_REMEDY}"
        )
    if version < OLDEST_JAVA:
        raise EnvironmentProblem(f"{java} is Java {version}, too old for Spark; {_REMEDY}")


def java_version(answer: str) -> int | None:
    """The feature release in the output of ``java -version`` (17 of "17.0.15", 8 of "1.8.0_402"), if it has one."""
    found = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(found[1]) if found else None


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if not java.is_file():
            raise EnvironmentProblem(f"JAVA_HOME is {home}, but there is no bin/java in it; {_REMEDY}")
        return str(java)
    on_path = shutil.which("java")
    if on_path is None:
        raise EnvironmentProblem(f"Java is missing: there is none on the PATH and JAVA_HOME is not set; {_REMEDY}")
    return on_path
