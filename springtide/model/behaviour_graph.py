"""Behaviour graphs as data: a line per head, from which every task's probability is derived. Pure; no torch.

A head is written `behaviour | parent, no parent`: the probability of the behaviour where its conditions hold. A
behaviour may have several heads with conditions that exclude each other. ESM2 (Wen et al. 2020) is four lines:

    click                       y1
    cart | click                y2
    purchase | cart             y3
    purchase | click, no cart   y4

Derivation. A behaviour happens where one of its heads' conditions hold and that head says yes; conditions are
behaviours themselves, so by substitution this is a Boolean function of the heads alone. Expanding it head by head,
f = (not h) f[h=0] + h f[h=1] (Shannon 1949), with parents first, gives disjoint paths to yes and to no, each a
product of head outcomes. Above: p(purchase) = y1 (1 - y2) y4 + y1 y2 y3, and the three paths of its complement.

A line `behaviour = other` makes no head: the behaviour is told by the other's probability, as where one score stands
for all tasks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from springtide.contracts.tasks import TASKS, Task

Path = tuple[str, ...]
"""Head outcomes in order of the heads: `+name` happens, `-name` does not."""

_Paths = list[frozenset[str]]
_NO = "no "


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """One head: a behaviour, and where it is asked for."""

    behaviour: str
    """What it is the probability of."""
    happened: tuple[str, ...] = ()
    """Parents that must have happened."""
    missed: tuple[str, ...] = ()
    """Parents that must not have happened."""

    @classmethod
    def parse(cls, line: str) -> "Head":
        """Read `behaviour | parent, no parent`."""
        behaviour, _, conditions = line.partition("|")
        parents = [" ".join(part.split()) for part in conditions.split(",") if part.strip()]
        return cls(
            behaviour=behaviour.strip(),
            happened=tuple(parent for parent in parents if not parent.startswith(_NO)),
            missed=tuple(parent.removeprefix(_NO) for parent in parents if parent.startswith(_NO)),
        )

    @property
    def parents(self) -> tuple[str, ...]:
        """Behaviours that its conditions name."""
        return self.happened + self.missed

    @property
    def name(self) -> str:
        """The line again, evenly spaced."""
        conditions = ", ".join([*self.happened, *(_NO + parent for parent in self.missed)])
        return f"{self.behaviour} | {conditions}" if conditions else self.behaviour


@dataclass(frozen=True, kw_only=True)
class BehaviourGraph:
    """A composition of heads into tasks; it has no parameters. Ask `problems` before anything else of one from outside.

    Heads without parents come first in `heads`, and each stands after its parents.
    """

    lines: tuple[str, ...]
    """One per head."""
    supervised: tuple[str, ...] = TASKS
    """Tasks whose products have a loss; the others are served but teach nothing."""

    @cached_property
    def nodes(self) -> tuple[Head, ...]:
        """The heads, sorted by depth and then as declared."""
        nodes = self._declared
        depths = _depths(nodes)
        return tuple(sorted(nodes, key=lambda node: _depth(node, depths)))

    @cached_property
    def told_by(self) -> dict[str, str]:
        """Behaviours without a head of their own, and the behaviour whose probability they share."""
        pairs = (line.partition("=") for line in self.lines if "=" in line)
        return {behaviour.strip(): other.strip() for behaviour, _, other in pairs}

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads; each is a probability conditional on its parents."""
        return tuple(node.name for node in self.nodes)

    @property
    def first_heads(self) -> int:
        """How many heads have no parent; they come first, and they alone depend on being seen."""
        return sum(not node.parents for node in self.nodes)

    @cached_property
    def happens(self) -> dict[Task, tuple[Path, ...]]:
        """Per task, disjoint paths whose probabilities add up to the task's."""
        return {task: tuple(path for yes, path in self._events[task] if yes) for task in TASKS}

    @cached_property
    def fails(self) -> dict[Task, tuple[Path, ...]]:
        """Per task, disjoint paths whose probabilities add up to the task's complement."""
        return {task: tuple(path for yes, path in self._events[task] if not yes) for task in TASKS}

    def parent_heads(self, head: int) -> tuple[int, ...]:
        """Return the numbers of the heads that ask for a head's parents."""
        wanted = self.nodes[head].parents
        return tuple(index for index, node in enumerate(self.nodes) if node.behaviour in wanted)

    def depth(self, head: int) -> int:
        """Return how many behaviours lie before a head on its longest way."""
        return _depth(self.nodes[head], _depths(self.nodes))

    def problems(self, where: str) -> Iterator[str]:
        """Yield one sentence per broken rule.

        Args:
            where: names the graph at the start of each sentence.
        """
        known = {node.behaviour for node in self._declared}
        found = [*self._line_problems(where, known), *self._task_problems(where, known)]
        if not found and (cycle := _cycle(self._declared)):
            found.append(
                f"{where}: expected behaviours that follow one another, got the cycle {' -> '.join(cycle)}; cut it"
            )
        yield from found or self._condition_problems(where)

    def _line_problems(self, where: str, known: set[str]) -> Iterator[str]:
        seen = set()
        for behaviour, other in self.told_by.items():
            if other not in known or behaviour in known:
                yield f"{where}: '{behaviour} = {other}': expected one without a head and one with; mend the line"
        for node in self._declared:
            place = f"{where}: {node.name!r}"
            if not node.behaviour or node.behaviour.startswith(_NO):
                yield f"{place}: expected `behaviour | parent, no parent`, got no behaviour; write its name first"
            for parent in node.parents:
                if parent not in known:
                    yield f"{place}: expected parents with a head, got {parent!r}; add a head for it or mend the name"
            if len(set(node.parents)) < len(node.parents):
                yield f"{place}: expected each parent once, got {', '.join(node.parents)}; remove the repetition"
            if node.name in seen:
                yield f"{place}: expected each head once, got it twice; remove one"
            seen.add(node.name)

    def _task_problems(self, where: str, known: set[str]) -> Iterator[str]:
        for task in TASKS:
            if task not in known and task not in self.told_by:
                yield f"{where}: expected a head for each of {', '.join(TASKS)}, got none for {task!r}; add it"
        if not self.supervised or not set(self.supervised) <= set(TASKS):
            yield f"{where}: expected one or more supervised tasks of {TASKS}, got {self.supervised}; choose among them"

    def _condition_problems(self, where: str) -> Iterator[str]:
        applies = {node.name: _conditions(node, self._events) for node in self.nodes}
        learned = {literal[1:] for task in self.supervised for _, path in self._events[task] for literal in path}
        for index, node in enumerate(self.nodes):
            place = f"{where}: {node.name!r}"
            if not applies[node.name]:
                yield f"{place}: expected conditions that can hold, got ones that exclude each other; mend them"
            for other in self.nodes[:index]:
                if other.behaviour == node.behaviour and _both(applies[node.name], applies[other.name]):
                    yield f"{place}: expected it and {other.name!r} to exclude each other; add a `no` to one"
            if applies[node.name] and node.name not in learned:
                yield f"{place}: expected a supervised task that depends on it, got none; supervise one or remove it"

    @cached_property
    def _events(self) -> dict[str, list[tuple[bool, Path]]]:
        """Each behaviour's paths, with whether it happens on them."""
        events: dict[str, list[tuple[bool, Path]]] = {}
        depths = _depths(self.nodes)
        for behaviour in sorted(depths, key=depths.__getitem__):  # parents first
            paths = [
                path | {f"+{node.name}"}
                for node in self.nodes
                if node.behaviour == behaviour
                for path in _conditions(node, events)
            ]
            events[behaviour] = list(_expand(paths, self.heads, ()))
        return events | {behaviour: events[other] for behaviour, other in self.told_by.items()}

    @cached_property
    def _declared(self) -> list[Head]:
        return [Head.parse(line) for line in self.lines if "=" not in line]


def _conditions(node: Head, events: Mapping[str, list[tuple[bool, Path]]]) -> _Paths:
    """Return disjoint paths on which a head's conditions hold."""
    paths: _Paths = [frozenset()]
    for parents, wanted in ((node.happened, True), (node.missed, False)):
        for parent in parents:
            paths = _both(paths, [frozenset(path) for yes, path in events[parent] if yes is wanted])
    return paths


def _both(left: _Paths, right: _Paths) -> _Paths:
    """Return the paths on which one of each side holds."""
    joined = (one | other for one in left for other in right)
    return [path for path in joined if not any(_opposite(literal) in path for literal in path)]


def _opposite(literal: str) -> str:
    return ("-" if literal[0] == "+" else "+") + literal[1:]


def _expand(paths: _Paths, heads: tuple[str, ...], taken: Path) -> Iterator[tuple[bool, Path]]:
    """Yield the disjoint paths of a function and of its complement, asking the heads in order."""
    if not paths or frozenset() in paths:
        yield bool(paths), taken
        return
    asked = {literal[1:] for path in paths for literal in path}
    head = next(name for name in heads if name in asked)
    for literal in (f"-{head}", f"+{head}"):
        left = [path - {literal} for path in paths if _opposite(literal) not in path]
        yield from _expand(left, heads, (*taken, literal))


def _depths(nodes: tuple[Head, ...] | list[Head]) -> dict[str, int]:
    """Return each behaviour's longest way from the impression; only for graphs without a cycle."""
    depths = {node.behaviour: 0 for node in nodes}
    for _ in depths:
        for node in nodes:
            depths[node.behaviour] = max(depths[node.behaviour], _depth(node, depths))
    return depths


def _depth(node: Head, depths: Mapping[str, int]) -> int:
    return max((depths[parent] + 1 for parent in node.parents), default=0)


def _cycle(nodes: list[Head]) -> tuple[str, ...]:
    """Return behaviours that come back to where they start, or nothing."""
    parents: dict[str, list[str]] = {}
    for node in nodes:
        parents.setdefault(node.behaviour, []).extend(node.parents)
    done: set[str] = set()

    def walk(behaviour: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if behaviour in way:
            return (*way[way.index(behaviour) :], behaviour)[::-1]
        if behaviour in done:
            return ()
        done.add(behaviour)
        return next((found for parent in parents[behaviour] if (found := walk(parent, (*way, behaviour)))), ())

    return next((found for behaviour in parents if (found := walk(behaviour, ()))), ())


GRAPHS: Final[dict[str, BehaviourGraph]] = {
    # Every task from its own head, nothing composed.
    "independent": BehaviourGraph(lines=("click", "cart", "purchase")),
    # One score, which stands for every task.
    "one-score": BehaviourGraph(lines=("click", "cart = click", "purchase = click")),
    # ESMM (Ma et al. 2018): p(task) = p(click) p(task | click), for both later tasks.
    "esmm": BehaviourGraph(lines=("click", "cart | click", "purchase | click")),
    # ESM2 (Wen et al. 2020): pCTCVR = y1 [(1 - y2) y4 + y2 y3].
    "esm2": BehaviourGraph(lines=("click", "cart | click", "purchase | cart", "purchase | click, no cart")),
}
"""By name."""
