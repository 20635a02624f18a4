"""Load and unload models while the service runs, in all processes that share a folder.

A loaded model replaces the one of its name in one step. Requests under way keep the model that they
began with, so no request fails. A broken model changes nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from capsnet.card import CardError, ModelCard

from ..errors import BadRequest, ModelError, NotReady, Problem, UnknownModel
from .model_repository import (
    ModelFiles,
    describe_doubled,
    hash_cards,
    model_folders,
    open_model,
    open_models,
)
from .service import InferenceService

if TYPE_CHECKING:
    from .shared_changes import SharedChanges

log = structlog.get_logger(__name__)

# Seconds between two checks for changes of other processes, and for their progress.
POLL_S = 0.25
PROGRESS_S = 0.05

# Seconds to wait for the other processes to follow.
FOLLOW_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Entry:
    """A model of the folder, whether it is served and, where it is not, the reason."""

    name: str
    version: str
    served: bool
    reason: str


class Repository:
    """The folder of the models, and which of them are served.

    Parameters
    ----------
    service
        Serves the models.
    folder
        CAPSNET_MODELS.
    shared
        The record of changes that the processes of the service share; None for a single process.
    applied
        The number of the last change that the service's models already show.
    """

    def __init__(
        self, service: InferenceService, folder: Path, shared: "SharedChanges | None" = None, applied: int = 0
    ) -> None:
        self._service = service
        self._folder = folder
        self._shared = shared
        self._applied = self._reloaded = applied
        self._of_model: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[int]] = set()

    async def start(self) -> None:
        """Apply the changes since the models were loaded, and follow the other processes from now on."""
        if self._shared:
            self._shared.set_progress(self._applied, self._served())  # from now on they wait for this process
            await self._catch_up(self._shared)
            self._following = asyncio.create_task(self._follow(self._shared))

    async def stop(self) -> None:
        """Stop following the other processes."""
        if self._following and self._shared:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
            self._shared.leave()

    def index(self) -> list[Entry]:
        """Return the models of the folder and those in service, by name; only cards are read.

        Raises
        ------
        BadRequest
            If the folder is missing or cannot be read.
        """
        served = {model.card.name: model.card for model in self._service.models}
        entries = {name: Entry(name, card.version, True, "") for name, card in served.items()}
        try:
            in_folder = list(_cards(self._folder))
        except ModelError as error:
            raise BadRequest(str(error)) from None
        for name, card in in_folder:
            if name not in entries:
                reason = card if isinstance(card, str) else "not loaded"
                entries[name] = Entry(name, "" if isinstance(card, str) else card.version, False, reason)
        return [entries[name] for name in sorted(entries)]

    async def load(self, name: str) -> ModelCard:
        """Serve a model of the folder, as its files are now, in all processes.

        Raises
        ------
        UnknownModel, BadRequest
            If there is no such model, or it is broken.
        NotReady
            If another process could not load it, or takes too long.
        """
        number = await self._to_its_end(self._load_and_tell(name))
        await self._wait(number)
        return self._service.models.get(name).card

    async def _load_and_tell(self, name: str) -> int:
        async with self._changing:
            await self._load(name)
            return await self._tell(name, "load")

    async def _unload_and_tell(self, name: str) -> int:
        async with self._changing:
            self._unload(name)
            return await self._tell(name, "unload")

    async def _to_its_end(self, change: Coroutine[Any, Any, int]) -> int:
        """Wait for a change, which goes on where the client that asked for it leaves.

        A thread that loads a model cannot be stopped: its queues would stay, and the model would not be served. And of
        a model that this process has unloaded, the others must hear.
        """
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def unload(self, name: str) -> None:
        """Stop serving a model, in all processes.

        Raises
        ------
        UnknownModel, BadRequest
            If it is not served, or is the default model, which always is.
        NotReady
            If another process takes too long.
        """
        await self._wait(await self._to_its_end(self._unload_and_tell(name)))

    async def reload(self) -> None:
        """Read the whole folder again: load new and changed models, unload missing ones; in all processes."""
        if self._shared:
            await asyncio.to_thread(self._shared.add_reload)  # this process follows it like the others
            return
        async with self._changing:
            await self._reload()

    async def _load(self, name: str) -> None:
        try:
            stored = await asyncio.to_thread(_find, self._folder, name)
            await self._service.serve(stored)
        except ModelError as error:
            raise BadRequest(str(error)) from None

    def _unload(self, name: str) -> None:
        models = self._service.models
        models.get(name)
        if name == models.default:
            raise BadRequest(f"{name!r} is the default model, which is always served")
        self._service.unload(name)

    async def _reload(self) -> str:
        """Make the service's models those of the folder; return the errors, separated by semicolons."""
        found, errors = await asyncio.to_thread(open_models, self._folder)
        for stored in found.values():
            try:
                await self._service.serve(stored)
            except ModelError as error:
                errors.append(str(error))
        if not errors:  # else a broken model would look like a missing one
            for model in list(self._service.models):
                name = model.card.name
                if name not in found and name != self._service.models.default:
                    self._service.unload(name)
        for reason in errors:
            log.error("a model could not be loaded; the former models stay loaded", reason=reason)
        log.info(
            "the folder of the models was read again",
            models=sorted(each.card.name for each in self._service.models),
        )
        return "; ".join(errors)

    async def _tell(self, name: str, change: Literal["load", "unload"]) -> int:
        """Record a change of this process for the others, and return its number; 0 for a single process."""
        if not self._shared:
            return 0
        self._of_model[name] = await asyncio.to_thread(self._shared.add, name, change)
        return self._of_model[name]

    async def _wait(self, number: int) -> None:
        """Wait until all processes have made the changes up to `number`."""
        if not self._shared:
            return
        give_up = time.monotonic() + FOLLOW_TIMEOUT_S
        while True:
            waiting, errors = self._shared.behind(number)
            if errors:
                raise NotReady(f"a worker could not follow: {errors[0]}")
            if not waiting:
                return
            if time.monotonic() > give_up:
                raise NotReady(
                    f"{len(waiting)} of the workers have not followed within {FOLLOW_TIMEOUT_S:g} s"
                )
            await asyncio.sleep(PROGRESS_S)

    def _served(self) -> dict[str, str]:
        return hash_cards(model.card for model in self._service.models)

    async def _follow(self, shared: "SharedChanges") -> None:
        """Apply the changes of the other processes as they come."""
        while True:
            if shared.is_new():
                try:
                    await self._catch_up(shared)
                except Exception:
                    shared.look_again()
                    log.exception("changes of the models could not be followed")
            await asyncio.sleep(POLL_S)

    async def _catch_up(self, shared: "SharedChanges") -> None:
        async with self._changing:
            changes = shared.read()
            error = ""
            if changes.reload > self._reloaded:
                error = await self._reload()
                self._reloaded = changes.reload
            for name, (number, change) in changes.models.items():
                if number <= max(self._of_model.get(name, 0), self._applied):
                    continue
                try:
                    await self._load(name) if change == "load" else self._unload(name)
                except UnknownModel:
                    pass  # it was already unloaded
                except Problem as problem:
                    error = problem.detail
                    log.error("a worker could not follow the others", model=name, reason=error)  # noqa: TRY400
                self._of_model[name] = number
            self._applied = changes.number
            shared.set_progress(changes.number, self._served(), error)


def _cards(folder: Path) -> Iterator[tuple[str, ModelCard | str]]:
    """Yield name and card of each model of a folder; the error in place of a card that cannot be read."""
    for each in model_folders(folder):
        try:
            card = ModelCard.load(each)
            yield card.name, card
        except CardError as error:
            yield each.name, str(error)


def _find(folder: Path, name: str) -> ModelFiles:
    """Open the model of that name; raises UnknownModel, or ModelError if it is broken or two have the name."""
    named: dict[str, Path] = {}
    for each in model_folders(folder):
        try:
            found = ModelCard.load(each).name
        except CardError as error:
            if each.name == name:
                raise ModelError(str(error)) from None
            continue
        if found == name and found in named:
            raise ModelError(describe_doubled(name, named[name], each))
        named[found] = each
    if name not in named:
        raise UnknownModel(name, list(named))
    return open_model(named[name])
