"""Jobs, and notes of what they have sent again; both go with the deployment's log retention.

Whoever changes a job names its holder, so that a gateway that was overtaken changes nothing any
more. A note's ``_id`` is the row of the log that is sent again: it can be made once, whichever job
wants to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from shared.models.jobs import HELD_MS, Job, Resend
from shared.storage.mongo.client import DAY_MS, Document, Mongo, known_already, outages

JOBS: Final = "jobs"
RESENDS: Final = "resends"


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

    async def claim(self, holder: str, now_ms: int) -> Job | None:
        """Return a running job that nobody works at, held by ``holder`` from now on."""
        free = {"state": "running", "held_until_ms": {"$lte": now_ms}}
        taken = {"holder": holder, "held_until_ms": now_ms + HELD_MS}
        with outages():
            found: Document | None = await self._jobs.find_one_and_update(
                free, {"$set": taken}, return_document=ReturnDocument.AFTER
            )
        return None if found is None else _job(found)

    async def save(self, job: Job) -> bool:
        """Store how far a job is; returns False when its holder was overtaken."""
        with outages():
            done = await self._jobs.update_one(
                {"_id": job.id, "holder": job.holder}, {"$set": _document(job)}
            )
        return bool(done.matched_count)

    async def resume(self, job: Job) -> None:
        """Let a job that was stopped go on from its place."""
        again = {"state": "running", "reason": None, "finished_ms": None, "held_until_ms": 0}
        with outages():
            await self._jobs.update_one({"_id": job.id, "state": "stopped"}, {"$set": again})

    async def note(self, resends: Sequence[Resend]) -> list[Resend]:
        """Note what is to be sent again; returns the note that stands for each, in order."""
        documents = [_note(one, self._retention_ms) for one in resends]
        try:
            with outages():
                await self._resends.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return await self._standing(resends, error)
        return list(resends)

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
        wanted = [resends[failure["index"]].delivery_id for failure in failures]
        with outages():
            found: list[Document] = await self._resends.find({"_id": {"$in": wanted}}).to_list(None)
        known = {one["_id"]: msgspec.convert(one, Resend) for one in found}
        return [known.get(one.delivery_id, one) for one in resends]


def _note(resend: Resend, retention_ms: int) -> Document:
    document: Document = msgspec.to_builtins(resend)
    expires_at = DatetimeMS(resend.due_ms + retention_ms)
    return {**document, "_id": resend.delivery_id, "expires_at": expires_at}


def _document(job: Job) -> Document:
    document: Document = msgspec.to_builtins(job)
    document["_id"] = document.pop("id")
    return document


def _job(document: Document) -> Job:
    return msgspec.convert({**document, "id": document["_id"]}, Job)
