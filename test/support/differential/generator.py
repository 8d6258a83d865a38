"""From a seed to a conversation: who says what, in which order and in which form of the protocol."""

import random
import re

from .schema import SESSIONS
from .statements import draw
from .steps import Conversation, Event, Part, Step

# How often a family is drawn. A conversation adds to one or two of them, so that conversations differ in character.
_WEIGHTS = {
    "read": 30, "constant": 12, "shown": 6, "write": 16, "unsafe": 7, "error": 5, "setting": 3, "session": 3,
    "temporary": 1, "sequence": 0, "ddl": 0, "alone": 1,
}  # fmt: skip
_CHARACTERS = [{}, {"read": 150}, {"read": 150, "constant": 60}, {"session": 15}, {"temporary": 20}, {"sequence": 15}, {"setting": 15}, {"ddl": 25},
               {"error": 15}, {"shown": 20, "setting": 10}, {"unsafe": 25}]  # fmt: skip

_STARTUP = [{}, {}, {}, {"application_name": "fuzz"}, {"work_mem": "7MB"}, {"DateStyle": "German"},
            {"options": "-c search_path=public -c TimeZone=Asia/Tokyo"}]  # fmt: skip

# What restores startup values: with more behind it, it is refused on a connection that was not born with them.
_RESETS = re.compile(r"RESET|TO DEFAULT|DISCARD ALL")
_NUMBER = re.compile(r"\b(id|n) = (\d+)")


class _Session:
    """What the generator believes of a session. It may be wrong: a statement may have failed."""

    def __init__(self, who: str, parameters: dict[str, str]):
        self.who = who
        self.parameters = parameters
        self.in_transaction = False
        self.prepared: dict[str, int] = {}  # name → parameters


class Generator:
    """One conversation. `shared`: sessions read and write each other's rows."""

    def __init__(self, seed, shared: bool):
        self._chance = random.Random(f"{seed} {shared}")
        self._shared = shared
        self._weights = _WEIGHTS | self._chance.choice(_CHARACTERS)
        names = SESSIONS[: self._chance.randint(1, len(SESSIONS))]
        self._sessions = [_Session(who, self._chance.choice(_STARTUP)) for who in names]
        self._forms = {
            self._simple: 40, self._several: 8, self._queries_at_once: 5, self._one_shot: 18, self._prepare: 5,
            self._execute_prepared: 14, self._pipeline: 14, self._pipelines: 3, self._limited: 5, self._flushed: 5,
            self._copy_in: 3, self._copy_out: 4, self._odd: 4,
        }  # fmt: skip

    def conversation(self, steps: int) -> Conversation:
        chance, taken = self._chance, []
        session = chance.choice(self._sessions)
        while len(taken) < steps:
            if chance.random() < 0.08:
                taken.append(Event(chance.choice(["rest", "rest", "rest", "pause", "resume"])))
            if chance.random() < 0.5:
                session = chance.choice(self._sessions)
            (form,) = chance.choices(list(self._forms), self._forms.values())
            parts = form(session)
            if parts:
                taken.append(Step(session.who, tuple(parts)))
        # Once a session of a pool has asked for lastval(), others are tied to their connections when they insert.
        user = {"user": "other"} if self._weights["sequence"] else {}
        parameters = {session.who: session.parameters | user for session in self._sessions}
        return Conversation(tuple(taken), parameters, ddl=self._weights["ddl"] > 0)

    # Statements

    def _statement(self, session: _Session, alone: bool = False) -> str:
        """`alone`: nothing else is in its Query."""
        while True:
            text = self._any_statement(session, alone)
            if alone or not (session.parameters and _RESETS.search(text)):
                return text

    def _any_statement(self, session: _Session, alone: bool) -> str:
        chance = self._chance
        if session.in_transaction:
            if chance.random() < 0.14:
                return self._end(session)
            if chance.random() < 0.2:
                return self._draw(session, "inside")
        elif chance.random() < 0.12:
            session.in_transaction = True
            return self._draw(session, "begin")
        elif chance.random() < 0.02:
            return self._end(session)
        weights = self._weights if alone else self._weights | {"alone": 0}
        (family,) = chance.choices(list(weights), weights.values())
        return self._draw(session, family)

    def _end(self, session: _Session) -> str:
        text = self._draw(session, "end")
        session.in_transaction = session.in_transaction and "CHAIN" in text
        return text

    def _draw(self, session: _Session, family: str) -> str:
        return draw(self._chance, session.who, family, self._shared)

    def _single(self, session: _Session) -> tuple[str, tuple[bytes, ...]]:
        """A statement for the extended protocol, sometimes with parameters."""
        text = self._statement(session)
        if ";" in text and not text.startswith("DO"):
            text = text.split(";")[0]
        found = _NUMBER.search(text)
        if found and "'" not in text[: found.start()] and not text.startswith(("PREPARE", "DECLARE", "CREATE")):
            if self._chance.random() < 0.6:
                return _NUMBER.sub(r"\1 = $1", text, count=1), (found[2].encode(),)
        return text, ()

    # Forms: each gives the parts of one step.

    def _simple(self, session):
        return [Part("query", (self._statement(session, alone=True),))]

    def _several(self, session):
        texts = [self._statement(session) for _ in range(self._chance.randint(2, 4))]
        return [Part("query", ("; ".join(texts),))]

    def _queries_at_once(self, session):
        return [Part("query", (self._statement(session),)) for _ in range(self._chance.randint(2, 4))]

    def _extended(self, session) -> list[Part]:
        """Parse, Bind, Execute of the unnamed statement, mostly with Describe."""
        text, values = self._single(session)
        formats = [1] if self._chance.random() < 0.1 else []
        parts = [Part("parse", ("", text)), Part("bind", ("", "", list(values), [], formats))]
        if self._chance.random() < 0.7:
            parts.append(Part("describe_portal"))
        return [*parts, Part("execute")]

    def _one_shot(self, session):
        return [*self._extended(session), Part("sync")]

    def _name(self) -> str:
        return self._chance.choice(["p1", "p2", "p3"])

    def _prepare(self, session):
        name, (text, values) = self._name(), self._single(session)
        session.prepared.setdefault(name, len(values))
        parts = [Part("parse", (name, text))]
        if self._chance.random() < 0.3:
            parts.insert(0, Part("close_statement", (name,)))
            session.prepared[name] = len(values)
        if self._chance.random() < 0.7:
            parts.append(Part("describe_statement", (name,)))
        return [*parts, Part("sync")]

    def _bound(self, session) -> list[Part]:
        name = self._chance.choice(sorted(session.prepared))
        value = str(self._chance.randint(1, 12)).encode()
        return [Part("bind", ("", name, [value] * session.prepared[name])), Part("execute")]

    def _execute_prepared(self, session):
        if not session.prepared:
            return self._prepare(session)
        return [*self._bound(session), Part("sync")]

    def _pipeline(self, session):
        parts = []
        for _ in range(self._chance.randint(2, 5)):
            prepared = session.prepared and self._chance.random() < 0.25
            parts += self._bound(session) if prepared else self._extended(session)
        return [*parts, Part("sync")]

    def _pipelines(self, session):
        return self._pipeline(session) + self._one_shot(session) + self._pipeline(session)

    def _limited(self, session):
        """A portal fetched a few rows at a time: in one batch, or in several if it has a name."""
        chance = self._chance
        text, values = self._single(session)
        portal = chance.choice(["", "w"])
        parts = [Part("parse", ("", text)), Part("bind", (portal, "", list(values)))]
        for _ in range(chance.randint(1, 3)):
            parts.append(Part("execute", (portal, chance.randint(1, 3))))
            if portal and chance.random() < 0.3:
                parts.append(Part("sync"))
        if portal and chance.random() < 0.5:
            parts.append(Part("close_portal", (portal,)))
        return [*parts, Part("sync")]

    def _flushed(self, session):
        """What is asked for with Flush is read before the rest is sent."""
        text, values = self._single(session)
        bind = [Part("bind", ("", "", list(values))), Part("execute")]
        if self._chance.random() < 0.6:
            asked = [Part("parse", ("", text)), Part("describe_statement", ("",)), Part("flush"), Part("await", ("TnE",))]
            return [*asked, *bind, Part("sync")]
        asked = [Part("parse", ("", text)), *bind, Part("flush"), Part("await", ("CIEs",))]
        return [*asked, *self._extended(session), Part("sync")]

    def _copy_in(self, session):
        chance = self._chance
        rows = [f"{chance.randint(8, 30)}\t{chance.randint(0, 99)}\trow\n" for _ in range(chance.randint(0, 4))]
        if chance.random() < 0.2:
            rows.append("not a number\n")
        data = [Part("copy_data", (row.encode(),)) for row in rows]
        last = Part("copy_fail", ("enough",)) if chance.random() < 0.15 else Part("copy_done")
        copy = f"COPY {session.who}_items FROM STDIN"
        if chance.random() < 0.6:
            return [Part("query", (copy,)), *data, last]
        return [Part("parse", ("", copy)), Part("bind"), Part("execute"), *data, last, Part("sync")]

    def _copy_out(self, session):
        source = self._chance.choice(
            ["constants", f"(SELECT id, n FROM {session.who}_items ORDER BY id)", "(SELECT scribble('{0}_serials', 1))",
             "(SELECT 1 / 0)", "(SELECT count(*) FROM {0}_view_of_unlogged)", "(SELECT shown('work_mem'))"]
        ).format(session.who)  # fmt: skip
        form = self._chance.choice(["", " WITH (FORMAT csv, HEADER)"])
        copy = f"COPY {source} TO STDOUT{form}"
        if self._chance.random() < 0.6:
            return [Part("query", (copy,))]
        return [Part("parse", ("", copy)), Part("bind"), Part("describe_portal"), Part("execute"), Part("sync")]

    def _odd(self, session):
        """What drivers rarely say."""
        name = self._name()
        return self._chance.choice(
            [
                [Part("close_statement", (name,)), Part("sync")],
                [Part("close_portal", ("w",)), Part("sync")],
                [Part("describe_statement", (name,)), Part("sync")],
                [Part("describe_portal", ("w",)), Part("sync")],
                [Part("execute", ("w", 1)), Part("sync")],
                [Part("bind", ("", "never")), Part("execute"), Part("sync")],
                [Part("bind", ("w", name, [b"3"])), Part("execute", ("w", 1)), Part("sync")],
                [Part("query", ("",))],
                [Part("query", (";",))],
                [Part("query", ("-- nothing",))],
                [Part("sync")],
                [Part("flush"), Part("sync")],
                [Part("function_call", (177, [b"20", b"22"]))],
                [Part("parse", ("", "")), Part("bind"), Part("describe_portal"), Part("execute"), Part("sync")],
            ]
        )
