"""Whether the user's classes and functions are as their modules define them: what was changed while the program ran
(a global, a class attribute, a patched method) is not in the artifact, and would silently be missing after a load.

A copy of the process (`fork`) imports the project's modules anew, describes what the saved names reach (`reach`), and
ends; the description of the living ones must be the same. Nothing of it is seen in this process. Where there is no
`fork`, where the import fails for another reason than a missing module, or takes too long, nothing is checked; of a
running script nothing is known then, and it is refused. What a notebook's cells gave is compared with the module that
is made of their text.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from backends.json_spec import script, settings
from backends.json_spec.bundle import Bundle
from backends.json_spec.errors import Unsupported
from backends.json_spec.forked import Copy
from backends.json_spec.parted import parted
from backends.json_spec.reach import Reach, environment_at_start, own_modules, reach
from backends.json_spec.sources import Project


class Check:
    """Whether everything that some names reach is as a fresh import defines it, found out in a copy of the process.

    The copy works beside its maker. `finish` gives the verdict, `stop` ends it where there is no need of one.
    """

    def __init__(
        self,
        names: Iterable[str],
        project: Project,
        unchecked: Collection[str] = (),
        texts: Callable[[], set[str]] = set,
        place: Callable[[Any], str | None] = lambda thing: None,
    ) -> None:
        """Describe what there is now, and begin. Raises Unsupported where a module could not be imported at all.

        `unchecked` are paths, as the message of `finish` gives them, of which the caller says that they do not matter.
        `texts` gives those that the model holds, `place` the path at which it holds a thing.
        """
        self.reached: set[str] = set()
        """What of the project is reached, by whatever way: `module:name at its top`."""
        self.settings: Collection[str] = ()
        """Once it is finished, those of the whole process that a load has too: imports make them. Where nobody could
        tell, all."""
        self._parted: list[tuple[str, str, str]] = []
        self._copy: Copy | None = None
        self._unchecked = tuple(unchecked)
        for module in sorted({name.partition(":")[0] for name in names}):
            if not _can_be_found(module.partition(".")[0]):
                raise Unsupported(_cannot_be_imported(module))
        names = sorted(name for name in names if project.own(name.partition(":")[0]) is not None)
        self._of_script = [name for name in names if script.module_of(name.partition(":")[0]) is not None]
        if names and hasattr(os, "fork"):
            own = own_modules(project)  # here, because the copy gets a copy of all memory that it counts a use in
            self._copy = Copy(lambda: _fresh(names, project, own, texts))
            try:
                now = reach(names, project, texts=texts)
                self._now, self.reached = now.found, now.reached
                self._parted = _parted(now, project, place)
            except BaseException:
                self.stop()
                raise

    def finish(self) -> None:
        """Wait for the copy. Raises Unsupported where something is not as a fresh import defines it."""
        fresh = self._copy.result() if self._copy is not None else None
        if fresh is None:
            if self._copy is not None:
                self.settings = settings.SETTINGS
            if self._of_script:  # nothing else says that an import would give what the script runs
                way_out = "move it out of the script to a module of its own"
                raise Unsupported(f"{self._of_script[0]} cannot be imported anew: {way_out}")
            return
        if isinstance(fresh, str):
            raise Unsupported(_cannot_be_imported(fresh))
        self.settings = fresh["settings"]
        now, found = self._now, fresh["found"]
        if self._of_script:  # a dataclass's text says where the classes of its fields are
            name = self._of_script[0].partition(":")[0]
            now, found = (
                {path: text.replace(script.MAIN, name) for path, text in side.items()} for side in (now, found)
            )
        if changed := _changed(now, found, self._unchecked):
            path, found, was = changed
            raise Unsupported(
                f"{path} was changed while the program ran: it is {found}, an import gives {was}, and the artifact has "
                f"neither. Keep it in an attribute of the model, or save(..., unchecked=[{path!r}]) if nothing needs it"
            )
        _refuse_parted(self._parted, self._unchecked)

    def stop(self) -> None:
        """End the copy, if it still works."""
        if self._copy is not None:
            self._copy.stop()


def check_carried(
    names: Collection[str],
    project: Project,
    carried: Bundle,
    unchecked: Collection[str] = (),
    texts: Callable[[], set[str]] = set,
    place: Callable[[Any], str | None] = lambda thing: None,
) -> None:
    """Whether all that the names reach is in the carried modules as it is here, of which they are to be a copy.

    `texts` gives those that the model holds, `place` the path at which it holds a thing. Raises Unsupported where
    something is not.
    """
    typed = frozenset(vars(carried.import_module(script.TYPED)))
    now = reach(names, project, texts=texts, typed=typed)
    here = now.found
    there = reach(names, project, environment_at_start(), texts=texts, typed=typed, carried=carried).found
    for path, text in there.items():  # a dataclass's text says where the classes of its fields are
        named = text.replace(f"{carried.prefix}.{script.TYPED}", script.MAIN)
        there[path] = named.replace(f"{carried.prefix}.", "")  # what a module beside the cells says is its name
    if changed := _changed(here, there, tuple(unchecked)):
        path, found, was = changed
        raise Unsupported(
            f"{path} is {found}, but the text of its cell gives {was}: it was changed after that cell ran. Let the "
            f"cell say what is meant, run it, and make the model anew; or keep it in an attribute of the model; or "
            f"save(..., unchecked=[{path!r}]) if nothing needs it"
        )
    _refuse_parted(_parted(now, project, place), tuple(unchecked), is_left_out=True)


def _parted(now: Reach, project: Project, place: Callable[[Any], str | None]) -> list[tuple[str, str, str]]:
    """What the model holds, and what it reaches writes into: `parted`'s, for the modules that are reached."""
    modules = sorted({name.partition(":")[0] for name in now.reached})
    sources = [source for module in modules if (source := project.own(module)) is not None]
    return list(parted(now.things, place, sources))


def _refuse_parted(
    found: Iterable[tuple[str, str, str]], unchecked: tuple[str, ...], is_left_out: bool = False
) -> None:
    """`is_left_out`: what is unchecked is not there after a load, so that nothing could write into it."""
    for held, path, function in found:
        if not path.startswith(unchecked):
            name = path.partition(":")[2]
            ways_out = f"Let {function} write into the model's, or give the model a copy of it"
            if not is_left_out:
                ways_out += f", or save(..., unchecked=[{path!r}]) if nothing needs it"
            raise Unsupported(
                f"{held} is {path} too, and {function} writes into {name}: a load makes two of it, and one would "
                f"not get what the other gets. {ways_out}"
            )


def _changed(now: dict[str, str], fresh: dict[str, str], unchecked: tuple[str, ...]) -> tuple[str, str, str] | None:
    """The first path where two descriptions differ, and what it is in each; None where there is none."""
    gone = [path for path in fresh if path not in now and now.get(_holder(path)) == fresh.get(_holder(path), "")]
    for path in [*now, *gone]:
        if now.get(path) != fresh.get(path) and not path.startswith(unchecked):
            return path, _brief(now.get(path)), _brief(fresh.get(path))
    return None


def _cannot_be_imported(module: str) -> str:
    return f"the module {module} cannot be imported anew: put it where an import finds it"


def _holder(path: str) -> str:
    """The path of what holds an attribute or an entry."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _can_be_found(top: str) -> bool:
    """Whether an import of a top-level module would find something, as it would in another process."""
    for finder in sys.meta_path:
        with contextlib.suppress(Exception):
            if finder.find_spec(top, None) is not None:
                return True
    return False


def _brief(text: str | None) -> str:
    return "nothing" if text is None else text if len(text) <= 80 else text[:77] + "..."


def _fresh(
    names: list[str], project: Project, own: list[str], texts: Callable[[], set[str]]
) -> dict[str, Any] | str | None:
    """In the copy: import anew; what is then `found`, and which `settings` the imports made.

    The name of a module that is not there, None where an import fails. `own` are the imported modules of the project.
    """
    environment = environment_at_start()
    _as_at_start(environment)
    for module in own:
        del sys.modules[module]
    importlib.invalidate_caches()
    for module in dict.fromkeys(name.partition(":")[0] for name in names):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            return module if error.name == module else None
        except BaseException:
            return None
    made = list(settings.changed())
    return {"found": reach(names, project, environment, imported_before=own, texts=texts).found, "settings": made}


def _as_at_start(environment: Mapping[str, str] | None) -> None:
    """In the copy: what modules read when they are imported, as it would be in another process."""
    if environment is not None:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
    settings.reset(settings.changed())
