"""Jobs, and notes of what they have sent again; both go with the deployment's log retention.

Whoever changes a job names its holder, so that a gateway that was overtaken changes nothing any
more. A note's ``_id`` is the row of the log that is sent again, and its mark: it can be made once,
whichever job wants to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from shared.models.errors import Outage
from shared.models.jobs import (
    HELD_MS,
    OPEN,
    WORKED_AT,
    Job,
    JobState,
    Resend,
    Wish,
    stored,
    wished,
)
from shared.storage.mongo.client import DAY_MS, Document, Mongo, known_already, newest, outages

JOBS: Final = "jobs"
RESENDS: Final = "resends"
CHANGE_TRIES_MAX: Final = 10


class JobStore:
    """The collections ``jobs`` and ``resends``. Every call may raise Outage."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._jobs = mongo.collection(JOBS)
        self._resends = mongo.collection(RESENDS)
        self._retention_ms = retention_days * DAY_MS

    async def add(self, job: Job) -> None:
        """Store a new job; one with this id that is there already stays as it is."""
        expires_at = DatetimeMS(job.created_ms + self._retention_ms)
        try:
            with outages():
                await self._jobs.insert_one({**_document(job), "expires_at": expires_at})
        except DuplicateKeyError:
            return

    async def get(self, workspace_id: str, job_id: str) -> Job | None:
        """Return a job of this workspace."""
        with outages():
            found = await self._jobs.find_one({"_id": job_id, "workspace_id": workspace_id})
        return None if found is None else _job(found)

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        state: JobState | None = None,
    ) -> list[Job]:
        """Return up to ``limit`` jobs of a workspace, newest first, older than ``before``."""
        where: Document = {"workspace_id": workspace_id}
        if state is not None:
            where["state"] = state
        found = await newest(self._jobs, where, limit=limit, before=before)
        return [_job(document) for document in found]

    async def open_replays(self, workspace_id: str) -> int:
        """Return how many replays of a workspace have not ended."""
        where = {"workspace_id": workspace_id, "kind": "replay", "state": {"$in": list(OPEN)}}
        with outages():
            return int(await self._jobs.count_documents(where))

    async def claim(self, holder: str, now_ms: int) -> Job | None:
        """Return a job that nobody works at, held by ``holder`` from now on.

        The one that has waited for the longest comes first.
        """
        free = {"state": {"$in": list(WORKED_AT)}, "held_until_ms": {"$lte": now_ms}}
        taken = {"holder": holder, "held_until_ms": now_ms + HELD_MS}
        with outages():
            found: Document | None = await self._jobs.find_one_and_update(
                free,
                {"$set": taken},
                sort=[("held_until_ms", ASCENDING)],
                return_document=ReturnDocument.AFTER,
            )
        return None if found is None else _job(found)

    async def hold(self, job: Job, until_ms: int) -> Job | None:
        """Hold a job for longer; returns it as it stands, None when its holder was overtaken."""
        with outages():
            found: Document | None = await self._jobs.find_one_and_update(
                {"_id": job.id, "holder": job.holder},
                {"$set": {"held_until_ms": until_ms}},
                return_document=ReturnDocument.AFTER,
            )
        return None if found is None else _job(found)

    async def save(self, job: Job) -> Job | None:
        """Store what a step has done; returns what is stored, None when its holder was overtaken.

        What people have asked for meanwhile stays as they want it (``models.jobs.stored``).
        """
        return await self._change(job, lambda standing: stored(standing, job))

    async def wish(self, job: Job, wish: Wish) -> Job | None:
        """Have a job paused, resumed or cancelled; None when its state does not allow that."""
        return await self._change(job, lambda standing: wished(standing, wish))

    async def _change(self, job: Job, change_of: Callable[[Job], Job | None]) -> Job | None:
        """Put ``change_of`` the stored job in its place; returns it, or None where that is None."""
        for _ in range(CHANGE_TRIES_MAX):
            standing = await self.get(job.workspace_id, job.id)
            changed = None if standing is None else change_of(standing)
            if standing is None or changed is None:
                return None
            same = {"_id": job.id, "holder": standing.holder, "state": standing.state}
            changes = _changes(standing, changed)
            if not changes:
                return changed
            with outages():
                done = await self._jobs.update_one(same, {"$set": changes})
            if done.matched_count:
                return changed
        raise Outage(f"{job.id} is being changed by others all the time")

    async def note(self, resends: Sequence[Resend]) -> list[Resend]:
        """Note what is to be sent again; returns the note that stands for each, in order."""
        documents = [_note(one, self._retention_ms) for one in resends]
        try:
            with outages():
                await self._resends.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return await self._standing(resends, error)
        return list(resends)

    async def forget(self, resend: Resend) -> None:
        """Forget a note of what was not sent after all."""
        with outages():
            await self._resends.delete_one({"_id": resend.id, "due_ms": resend.due_ms})

    async def of_event(self, workspace_id: str, event_id: str) -> list[Resend]:
        """Return the notes about an event's deliveries."""
        with outages():
            found: list[Document] = await self._resends.find(
                {"workspace_id": workspace_id, "event_id": event_id}
            ).to_list(None)
        return [msgspec.convert(document, Resend) for document in found]

    async def unnote(self, job: Job) -> None:
        """Forget the notes of what a job may not have sent: of all behind its place."""
        where: Document = {"workspace_id": job.workspace_id, "job_id": job.id}
        if job.before is not None:
            where["_id"] = {"$lt": job.before}
        with outages():
            await self._resends.delete_many(where)

    async def _standing(self, resends: Sequence[Resend], error: BulkWriteError) -> list[Resend]:
        failures = known_already(error, "notes of what is sent again")
        wanted = [resends[failure["index"]].id for failure in failures]
        with outages():
            found: list[Document] = await self._resends.find({"_id": {"$in": wanted}}).to_list(None)
        known = {one["_id"]: msgspec.convert(one, Resend) for one in found}
        return [known.get(one.id, one) for one in resends]


def _note(resend: Resend, retention_ms: int) -> Document:
    document: Document = msgspec.to_builtins(resend)
    expires_at = DatetimeMS(resend.due_ms + retention_ms)
    return {**document, "_id": resend.id, "expires_at": expires_at}


def _document(job: Job) -> Document:
    document: Document = msgspec.to_builtins(job)
    document["_id"] = document.pop("id")
    return document


def _changes(standing: Job, changed: Job) -> Document:
    """Return the fields that are to be set; only those, as an hour of work is many steps."""
    before, after = _document(standing), _document(changed)
    return {name: value for name, value in after.items() if value != before[name]}


def _job(document: Document) -> Job:
    return msgspec.convert({**document, "id": document["_id"]}, Job)
