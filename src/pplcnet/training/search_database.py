"""Keeps the trials of a search in a database, for machines that share no folder."""

from __future__ import annotations

import contextlib
import importlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pplcnet.errors import InputError, StorageError, printable, require
from pplcnet.training.search_journal import pruner, require_optuna
from pplcnet.training.search_sharing import Search

__all__ = [
    "facts_of", "failures_said", "of_another_run", "open_shared_study", "run_of_study",
    "shown_address",
]  # fmt: skip

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "sqlite": "sqlite3"}
NAME = "pplcnet"
"""The study's name if the address has none."""
BUSY_SECONDS = 60
"""Seconds that SQLite waits for another process to finish writing."""
BEGIN_SECONDS = 30.0
"""Seconds that the process creating a study has to record which run it is for."""


def shown_address(address: str) -> str:
    """The address without passwords, which may contain a slash or be in the query."""
    hidden = re.sub(r"(://[^:@/]*):[^@]*@", r"\1:***@", address)
    return re.sub(r"([?&][^=&#]*password=)[^&#]*", r"\1***", hidden, flags=re.IGNORECASE)


def of_another_run(address: str) -> InputError:
    """The error for an address whose study belongs to another run."""
    place = shown_address(address)
    return InputError(
        f"{place}: holds the search of another run. The same command without --resume and "
        f"--overwrite helps with it; {place.partition('#')[0]}#NAME starts another."
    )


def facts_of(search: Search | None) -> dict[str, Any]:
    """The facts about a search for run.json."""
    if search is None:
        return {"search": None}
    study = {} if search.study is None else {"study": shown_address(search.study)}
    return {"search": search.seconds, **study}


def run_of_study(address: str) -> str | None:
    """The id of the run whose search is kept at an address; None if there is none yet.

    Raises:
        InputError: it is not the address of a database.
        MissingDependencyError: its driver, or Optuna, is not installed.
        StorageError: the database cannot be reached.
    """
    optuna = require_optuna()
    storage, name = _opened(address)
    with failures_said(address):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            return None
        return str(_facts_of(study)["run"])


def open_shared_study(
    address: str, run_id: str | None, alike: Mapping[str, str], *, is_helping: bool
) -> Any:
    """The study at an address, created by the run's own process, opened by helping ones.

    Args:
        address: a database's, as SQLAlchemy takes it; # and a name after it choose the study.
        run_id: id of the run that the search belongs to.
        alike: what has to be the same in all processes of the search, by name.

    Raises:
        InputError: the study is for another run, other photos or another recipe.
        StorageError: the database cannot be reached.
    """
    optuna = require_optuna()
    storage, name = _opened(address)
    place = {"storage": storage, "study_name": name, "pruner": pruner()}
    with failures_said(address):
        try:
            if not is_helping:
                study = optuna.create_study(direction="maximize", **place)
                study.set_user_attr("alike", dict(alike))
                study.set_user_attr("run", run_id)  # last, since others wait for it
                return study
        except optuna.exceptions.DuplicatedStudyError:
            pass
        try:
            study = optuna.load_study(**place)
        except KeyError as error:
            raise InputError(f"{shown_address(address)}: no search is running there.") from error
        facts = _facts_of(study)
    if not is_helping and facts["run"] != run_id:
        raise of_another_run(address)
    differ = [name for name, fact in alike.items() if facts["alike"].get(name) != fact]
    if differ:
        raise InputError(
            f"{shown_address(address)}: the search there has other {' and '.join(differ)}; start "
            "every process with the same command, photos and version of pplcnet."
        )
    return study


@contextlib.contextmanager
def failures_said(address: str | None) -> Iterator[None]:
    """Within, a database that does not answer raises a StorageError that names it."""
    if address is None:
        yield
        return
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        reason = printable(str(getattr(cause, "orig", None) or cause).strip().split("\n")[0])[:300]
        raise StorageError(
            f"{shown_address(address)}: the database of the search cannot be used ({reason})."
        ) from error


def _facts_of(study: Any) -> dict[str, Any]:
    until = time.monotonic() + BEGIN_SECONDS
    while "run" not in study.user_attrs:  # another process is creating it
        if time.monotonic() > until:
            raise InputError(f"the study {study.study_name!r} is not one of pplcnet.")
        time.sleep(0.2)
    return dict(study.user_attrs)


def _opened(address: str) -> tuple[Any, str]:
    """Optuna's storage and the study's name."""
    place, _, name = address.partition("#")
    found = re.fullmatch(r"(postgresql|mysql|sqlite)(\+\w+)?(://.+)", place)
    if found is None:
        raise InputError(
            f"--study is {shown_address(address)!r}; it must be the address of a database, such as "
            "postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or sqlite:////FILE, with "
            "#NAME at its end for more than one search."
        )
    kind, driver, rest = found.groups()
    if kind != "sqlite" and driver is None:
        require(DRIVERS[kind], purpose=f"--study {kind}://", extra=kind)
        driver = f"+{DRIVERS[kind]}"
    storages = importlib.import_module("optuna.storages")
    require_optuna().logging.set_verbosity(require_optuna().logging.WARNING)
    # One connection per request: requests are few, and servers and networks close idle ones.
    options: dict[str, Any] = {"poolclass": importlib.import_module("sqlalchemy.pool").NullPool}
    if kind == "sqlite":
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    with failures_said(address):
        try:
            return storages.RDBStorage(f"{kind}{driver or ''}{rest}", options), name or NAME
        except ImportError as error:
            raise InputError(
                f"{shown_address(address)}: its driver is not installed ({error})."
            ) from error
        except ValueError as error:
            raise InputError(f"{shown_address(address)}: {printable(str(error))}") from error
