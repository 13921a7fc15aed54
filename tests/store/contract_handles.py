"""The contract of stores: what outlasts a handle, what a handle may do, and upkeep."""

from __future__ import annotations

import pytest

from goalfsm.errors import CannotWrite, Fenced, StoreClosed
from goalfsm.store.port import (
    KEPT_BYTES,
    KEPT_TRANSCRIPTS,
    MAX_ANSWER_BYTES,
    MAX_STDERR_BYTES,
    SPARE_TRANSCRIPTS,
    Committed,
    Duplicate,
    Effect,
    Process,
    Store,
)
from tests.store.handles import (
    ALICE,
    BOB,
    MakeStore,
    commit,
    everybody_lives,
    nobody_lives,
    owned,
    transcript,
)


class HandlesContract:
    """A handle may be closed, reopened, read only; what is durable does not depend on it."""

    def test_everything_survives_the_handle(self, store: Store, make_store: MakeStore) -> None:
        """What was acknowledged is there after the handle is gone."""
        store.commit([commit("a", outbox=(Effect(key="k", kind="K"),)), commit("b")])
        store.inbox.put("in", "a", at_ms=1, event=b"x")
        store.close()
        again = owned(make_store(is_alive=nobody_lives), who=BOB)
        assert [row.thread_id for row in again.sessions.threads()] == ["a", "b"]
        assert [row.key for row in again.outbox.open()] == ["k"]
        assert [row.inbox_id for row in again.inbox.pending()] == ["in"]
        assert again.commit([commit("a", expected=1)]) == [Committed(revision=2)]

    def test_reopen_keeps_the_epoch(self, store: Store) -> None:
        """After reopening the owner goes on."""
        store.commit([commit()])
        store.reopen()
        assert store.owner.epoch == 1
        assert store.commit([commit(expected=1)]) == [Committed(revision=2)]

    def test_reopen_of_a_superseded_owner_is_fenced(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """Reopening settles who owns, too."""
        owned(make_store(is_alive=nobody_lives), who=BOB)
        with pytest.raises(Fenced):
            store.reopen()
        assert store.owner.epoch is None

    def test_prune_keeps_what_is_open(self, store: Store) -> None:
        """Only consumed rows and done effects go; repeats stay harmless."""
        first = commit(
            inbox_id="in-1",
            outbox=(Effect(key="k1", kind="K"), Effect(key="k2", kind="K")),
            outbox_done=("k1",),
        )
        store.commit([first])
        store.inbox.put("in-2", "t", at_ms=1, event=b"x")
        # The newest row of a table may stay, so that numbers are not given out twice.
        store.commit([commit(expected=1, at_ms=5_000, inbox_id="in-3")])
        assert store.prune(before_ms=1_000) == 0
        assert store.prune(before_ms=2_000) == 2
        assert store.inbox.answer("in-1") is None
        assert [row.inbox_id for row in store.inbox.pending()] == ["in-2"]
        assert [row.key for row in store.outbox.open()] == ["k2"]
        assert store.commit([first]) == [Duplicate(revision=1)]

    def test_transcripts_are_kept_and_replaced(self, store: Store, make_store: MakeStore) -> None:
        """What a run said is found by the run, and the newest of a thread first.

        Others see it from the next commit on.
        """
        for turn in range(1, 4):
            store.transcripts.put(transcript(turn, answer=f"answer {turn}".encode()))
        store.transcripts.put(transcript(1, thread_id="u", answer=b"other"))
        store.transcripts.put(transcript(2, answer=b"again", stderr=b"oh"))
        assert [row.turn for row in store.transcripts.read("t", limit=1)] == [3]
        store.commit([commit()])
        reader = make_store(read_only=True).transcripts
        rows = reader.read("t")
        assert [(row.turn, row.answer) for row in rows] == [
            (3, b"answer 3"), (2, b"again"), (1, b"answer 1"),
        ]  # fmt: skip
        assert [row.turn for row in reader.read("t", before_turn=3, limit=1)] == [2]
        assert reader.of_run("t-2") == transcript(
            2, answer=b"again", stderr=b"oh", answer_bytes=5, stderr_bytes=2
        )

    def test_transcript_keeps_the_ends(self, store: Store) -> None:
        """How much there was is told."""
        answer, stderr = bytes(MAX_ANSWER_BYTES) + b"end", bytes(MAX_STDERR_BYTES) + b"last"
        store.transcripts.put(transcript(1, answer=answer, stderr=stderr, stderr_bytes=10**9))
        kept = store.transcripts.of_run("t-1")
        assert kept is not None
        assert (len(kept.answer), kept.answer[-3:]) == (MAX_ANSWER_BYTES, b"end")
        assert (len(kept.stderr), kept.stderr[-4:]) == (MAX_STDERR_BYTES, b"last")
        assert (kept.answer_bytes, kept.stderr_bytes) == (len(answer), 10**9)

    def test_old_transcripts_go(self, store: Store) -> None:
        """The newest of each thread stay, by number and by bytes; one in any case."""
        most = KEPT_TRANSCRIPTS + SPARE_TRANSCRIPTS
        for turn in range(1, most + 3):
            store.transcripts.put(transcript(turn, answer=b"x"))
        turns = [row.turn for row in store.transcripts.read("t", limit=10**6)]
        assert turns == list(range(most + 2, most + 2 - len(turns), -1))
        assert KEPT_TRANSCRIPTS <= len(turns) < most
        large = KEPT_BYTES // MAX_ANSWER_BYTES
        for turn in range(1, large + 3):
            answer = bytes(MAX_ANSWER_BYTES)
            store.transcripts.put(transcript(turn, thread_id="u", answer=answer))
        turns = [row.turn for row in store.transcripts.read("u", limit=10**6)]
        assert turns == list(range(large + 2, 2, -1))

    def test_owner_verifies_a_sound_store(self, store: Store) -> None:
        """A look at a file that nobody harmed finds nothing."""
        store.commit([commit()])
        store.verify()
        store.verify()

    def test_sound_store_has_integrity(self, store: Store) -> None:
        """Nothing is wrong after ordinary use."""
        store.commit([commit("a", inbox_id="in", outbox=(Effect(key="k", kind="K"),)), commit("b")])
        store.commit([commit("a", expected=1), commit("b", expected=9)])
        assert store.integrity() == ()

    def test_facts_count_what_waits_in_the_inbox(self, store: Store) -> None:
        """A row that no commit has consumed is pending."""
        store.inbox.put("in", "a", at_ms=1, event=b"x")
        assert store.facts().pending_inbox == 1

    def test_processes_and_transcripts_are_the_owners(self, make_store: MakeStore) -> None:
        """Who owns nothing keeps nothing."""
        with pytest.raises(Fenced):
            make_store(is_alive=everybody_lives).transcripts.put(transcript(1, answer=b"x"))

    def test_worker_is_stored_by_any_process(self, store: Store, make_store: MakeStore) -> None:
        """Who does not own the store may say what runs a thread, and take it back."""
        other = make_store(is_alive=everybody_lives)
        other.workers.put("t", b"worker")
        assert store.workers.get("t") == b"worker"
        other.workers.remove("t")
        assert store.workers.get("t") is None

    def test_processes_are_open_until_ended(self, store: Store, make_store: MakeStore) -> None:
        """A successor finds the process groups that were not ended."""
        assert store.processes.open() == ()
        first = Process(run_id="r1", thread_id="t", identity=ALICE, pgid=100, at_ms=2)
        second = Process(run_id="r2", thread_id="u", identity=BOB, pgid=200, at_ms=1)
        for process in (first, second):
            store.processes.put(process)
        assert make_store(read_only=True).processes.open() == (second, first)
        replaced = Process(run_id="r1", thread_id="t", identity=BOB, pgid=300, at_ms=2)
        store.processes.put(replaced)
        store.processes.end("r2")
        store.processes.end("unknown")
        assert store.processes.open() == (replaced,)

    def test_read_only_handle_writes_nothing(self, store: Store, make_store: MakeStore) -> None:
        """It sees later commits and refuses every change."""
        reader = make_store(read_only=True)
        store.commit([commit()])
        stored = reader.sessions.load("t")
        assert stored is not None
        for attempt in (
            lambda: reader.inbox.put("in", "t", at_ms=1, event=b"x"),
            lambda: reader.workers.put("t", b"x"),
            lambda: reader.workers.remove("t"),
            lambda: reader.owner.acquire(BOB, socket="", uptime_ms=10**9),
        ):
            with pytest.raises(CannotWrite):
                attempt()
        assert store.owner.epoch == 1
        assert store.inbox.pending() == ()

    def test_closed_handle_refuses(self, store: Store) -> None:
        """Nothing goes through a closed handle, and closing twice is no error."""
        store.close()
        store.close()
        with pytest.raises(StoreClosed):
            store.sessions.load("t")
        with pytest.raises(StoreClosed):
            store.commit([commit()])
        with pytest.raises(StoreClosed):
            store.inbox.put("in", "t", at_ms=1, event=b"x")
