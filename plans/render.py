"""A plan or a refusal as people and machines read it: terminal lines, Markdown, JSON.

Called by the command line (and later by API and page) with a finished value; it computes nothing that the plan does not
hold. Terminal lines are spans with a meaning; colour is the caller's and never carries information alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from plans import wording
from plans.plan import Difference, Offer, Plan, ReadinessScore, Refusal, Step
from specs.goal import GoalKind
from specs.values import format_duration

if TYPE_CHECKING:
    import jinja2


class Meaning(StrEnum):
    """What a span stands for; the terminal chooses a colour for it."""

    PLAIN = "plain"
    STRONG = "strong"
    VERIFIED = "verified"
    RUNNING = "running"
    WAITS = "waits"
    BROKEN = "broken"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line with its meaning."""

    text: str
    meaning: Meaning = Meaning.PLAIN


Line = tuple[Span, ...]
SYMBOL_MEANING = {"+": Meaning.VERIFIED, "-": Meaning.BROKEN, ">": Meaning.RUNNING, "~": Meaning.WAITS}
WIDE = 110
VERBS = {"+": "create", "-": "remove (made by this run)", ">": "move", "~": "change"}


def line(*parts: str | Span) -> Line:
    """A line from texts and spans."""
    return tuple(p if isinstance(p, Span) else Span(p) for p in parts)


def as_text(lines: Sequence[Line]) -> str:
    """The lines as plain text, without trailing blanks."""
    return "\n".join("".join(s.text for s in spans).rstrip() for spans in lines)


# --- terminal ---------------------------------------------------------------------------------------------------------


def plan_lines(plan: Plan, detail: bool = False, width: int = WIDE) -> list[Line]:
    """The plan for a terminal of this many columns; `detail` adds precondition, effect and risk beneath every step."""
    if plan.is_empty:
        head = line(Span(plan.vm, Meaning.STRONG), "  ", str(plan.goal), "   ", Span("= nothing to do", Meaning.VERIFIED))
        return [head, *(line("  ", Span(w, Meaning.WAITS)) for w in plan.warnings)]
    lines = [line(Span(plan.vm, Meaning.STRONG), "  ", _aim(plan)), line("  ", Span(_promise(plan), Meaning.STRONG)), ()]
    lines += _header(plan, detail, width)
    lines.append(())
    if plan.steps:
        lines += _table(plan, detail, width)
        lines.append(())
    lines += _footer(plan, width)
    return lines


def _aim(plan: Plan) -> str:
    if plan.goal is GoalKind.TESTING:
        before = "protected" if plan.amends is None else "testing"
        return f"{before} → testing for {format_duration(plan.spec.duration or timedelta())}"
    return f"back to {plan.goal}"


def _promise(plan: Plan) -> str:
    if plan.held_up:
        return "nothing is possible yet; it begins as soon as what is named below is over"
    if not plan.steps:
        return "at once; nothing is sent to CloudStack"
    if plan.goal is GoalKind.TESTING:
        pause = format_duration(_minutes(plan.pause))
        return f"ready in about {format_duration(plan.takes_there)}, replication paused about {pause}"
    return f"done in about {format_duration(plan.takes_there)}"


def amended(plan: Plan) -> Iterator[tuple[str, str]]:
    """What the plan changes of a test that is under way without a step: titles and texts."""
    if plan.amends is None:
        return
    was, now = plan.amends.was, plan.amends.now
    if was.ends_at is not None and now.ends_at is not None and was.ends_at != now.ends_at:
        yield "end", f"{_moment(was.ends_at)} → {_moment(now.ends_at)}, {_shift(now.ends_at - was.ends_at)}"
    elif was.duration != now.duration:
        yield "for", f"{format_duration(was.duration)} → {format_duration(now.duration)}"
    if was.auto_cleanup != now.auto_cleanup:
        yield "then", f"{_then(plan, was.auto_cleanup)} → {_then(plan, now.auto_cleanup)}"
    if was == now:
        yield "spec", "the test follows this version of it; its end stays as it is"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _shift(by: timedelta) -> str:
    return f"{format_duration(abs(by))} {'later' if by > timedelta() else 'sooner'}"


def _then(plan: Plan, auto_cleanup: bool) -> str:
    return "it is taken back" if auto_cleanup else f"it waits for you: failover end {plan.vm}"


def _minutes(span: timedelta) -> timedelta:
    return timedelta(minutes=-(-int(span.total_seconds()) // 60))


def _header(plan: Plan, detail: bool, width: int) -> Iterator[Line]:
    yield line("  wanted by   ", str(plan.spec.origin))
    for title, text in amended(plan):
        first, *more = _wrapped(f"{title:<10}", text, width - 4)
        yield line("  ", Span("~ ", SYMBOL_MEANING["~"]), *first)
        yield from (line("    ", *row) for row in more)
    if plan.goal is not GoalKind.TESTING or not plan.steps:
        yield from (line("  ", Span(f"! {w}", Meaning.WAITS)) for w in plan.warnings)
        return
    if plan.readiness is not None:
        yield from _readiness(plan.readiness, width)
    yield from _wrapped("  rollback    ", f"{plan.strategy}: {plan.strategy_reason}", width)
    pause = format_duration(_minutes(plan.pause))
    yield line("  price       ", f"replication paused about {pause}, {plan.extra_gib} GiB beside the replicas")
    for offer in plan.offers if detail else ():
        yield from _wrapped("  instead     ", _offered(offer), width)
    yield from (line("  network     " if n == 0 else "              ", net) for n, net in enumerate(plan.networks))
    for n, proof in enumerate(plan.proofs):
        yield from _wrapped("  bubble      " if n == 0 else "              ", proof, width)
    yield from (line("  ", Span(f"! {w}", Meaning.WAITS)) for w in plan.warnings)


def _readiness(found: ReadinessScore, width: int) -> Iterator[Line]:
    """The score, green when nothing failed, and what failed."""
    yield line("  ready       ", Span(f"{found.score:g} of 100", Meaning.WAITS if found.failed else Meaning.VERIFIED))
    for text in found.failed:
        for spans in _wrapped("              ", f"~ {text}", width):
            yield tuple(Span(s.text, Meaning.WAITS) for s in spans)


def _offered(offer: Offer) -> str:
    if offer.against is not None:
        return f"{offer.strategy} is not possible: {offer.against}"
    ready, pause = format_duration(offer.takes_there), format_duration(_minutes(offer.pause))
    return f"{offer.strategy}: ready in about {ready}, replication paused about {pause}, {offer.extra_gib} GiB"


def _wrapped(title: str, text: str, width: int) -> Iterator[Line]:
    rows = _rows_of(text, min(width, WIDE) - len(title))
    yield from (line(title if n == 0 else " " * len(title), row) for n, row in enumerate(rows))


def _rows_of(text: str, width: int) -> list[str]:
    """The text on lines of this width; names and ids stay in one piece."""
    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False)


def _table(plan: Plan, detail: bool, width: int) -> Iterator[Line]:
    titles = max(len(wording.of(s.action).title) for s in plan.steps)
    objects = max(len(s.on) for s in plan.steps)
    times = max(len("takes"), *(len(format_duration(s.takes)) for s in plan.steps))
    head = f"   #     {'step':<{titles}}  {'on':<{objects}}  {'takes':>{times}}"
    reasons = max(len(_reason(s)) for s in plan.steps)
    beside = len(head) + 3 + reasons <= width
    yield line(Span(head + ("   because · undone by" if beside else "   (beneath: because · undone by)"), Meaning.HISTORY))
    for step in plan.steps:
        yield from _rows(step, (titles, objects, times), beside)
        if detail:
            yield from _detail(step, width)
    if plan.goal is GoalKind.TESTING and plan.spec.duration is not None:
        yield from _hold(plan, width)


def _reason(step: Step) -> str:
    return f"{step.because} · {wording.of(step.action).undo}"


def _rows(step: Step, widths: tuple[int, int, int], beside: bool) -> Iterator[Line]:
    words = wording.of(step.action)
    titles, objects, times = widths
    row = line(
        f"  {step.number:>2}  ",
        Span(words.symbol, SYMBOL_MEANING[words.symbol]),
        f"  {words.title:<{titles}}  {step.on:<{objects}}  {format_duration(step.takes):>{times}}",
    )
    if beside:
        yield (*row, Span(f"   {_reason(step)}", Meaning.HISTORY))
        return
    yield row
    yield line(Span(f"         {_reason(step)}", Meaning.HISTORY))


def _detail(step: Step, width: int) -> Iterator[Line]:
    words = wording.of(step.action)
    text = f"needs: {words.needs}; then: {words.effect}; risk: {words.risk}"
    for row in _rows_of(text, min(width, WIDE) - 9):
        yield line(Span(f"         {row}", Meaning.HISTORY))


def _hold(plan: Plan, width: int) -> Iterator[Line]:
    number = len(plan.steps) + 1
    back = ", ".join(dict.fromkeys(wording.of(s.action).title.split()[0] for s in plan.way_back))
    duration = format_duration(plan.spec.duration or timedelta())
    if not plan.spec.auto_cleanup:
        text = f"hold {duration}, then it waits for you: `failover end {plan.vm}` steps back: {back}"
    else:
        text = f"hold {duration}, then steps back: {back} (about {format_duration(plan.takes_back)})"
    for n, row in enumerate(_rows_of(text, min(width, WIDE) - 9)):
        yield line(f"  {number:>2}  ", Span("=", Meaning.VERIFIED), f"  {row}") if n == 0 else line(f"         {row}")


def _footer(plan: Plan, width: int) -> Iterator[Line]:
    if not plan.steps:
        yield line("  digest ", Span(plan.digest, Meaning.HISTORY))
        return
    counts: dict[str, int] = {}
    for step in plan.steps:
        symbol = wording.of(step.action).symbol
        counts[symbol] = counts.get(symbol, 0) + 1
    told = ", ".join(f"{counts[s]} {VERBS[s]}" for s in "+~>-" if s in counts)
    yield from _wrapped("  ", f"{len(plan.steps)} actions: {told}, 0 on objects not ours", width)
    if plan.way_back:
        yield line(f"  way back: {len(plan.way_back)} steps, planned and legal from where these end")
    yield line("  digest ", Span(plan.digest, Meaning.HISTORY))


def refusal_lines(refusal: Refusal, width: int = WIDE) -> list[Line]:
    """A refusal for a terminal of this many columns: every reason, and what to do about it."""
    head = line(
        Span(refusal.vm, Meaning.STRONG),
        f"  → {refusal.goal}   ",
        Span("refused, nothing was sent", Meaning.BROKEN),
    )
    lines = [head, ()]
    for reason in refusal.reasons:
        first, *rest = _wrapped("", f"{reason.text}  [{reason.code}]", width - 4)
        lines += [line("  ", Span("! ", Meaning.BROKEN), *first), *(line("    ", *more) for more in rest)]
        lines += _wrapped("      ", reason.fix, width)
    return lines


def difference_lines(vm: str, rows: Sequence[Difference]) -> list[Line]:
    """Three columns (spec said, plan saw, now is) of the facts that changed since planning; only those."""
    table = [("fact", "spec said", "plan saw", "now is")]
    table += [(d.fact, d.spec_said or "·", _shown(d.plan_saw), _shown(d.now_is)) for d in rows]
    widths = [max(len(r[i]) for r in table) for i in range(4)]
    head = line(Span(vm, Meaning.STRONG), "  ", Span("the world changed since this plan was made", Meaning.BROKEN))
    body = [line("  ", "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))) for row in table]
    return [head, (), *body, (), line("  plan again, look at the new plan, then apply that one")]


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


# --- Markdown and JSON ------------------------------------------------------------------------------------------------

_MARKDOWN = """\
{% for p in plans -%}
### {{ p.vm | cell }}: {{ p.aim | cell }}

{% if p.reasons is defined -%}
**Refused, nothing was sent.**

{% for r in p.reasons -%}
- **{{ r.code }}** {{ r.text | cell }}. {{ r.fix | cell }}
{% endfor %}
{% elif not p.steps and not p.amended and not p.held_up -%}
Nothing to do.

{% else -%}
{{ p.promise }}. Wanted by `{{ p.origin | cell }}`, digest `{{ p.digest }}`.{{ p.ready }}

{% for title, text in p.amended -%}
- {{ title }}: {{ text | cell }}
{% endfor -%}
{% for text in p.checks -%}
- **~** {{ text | cell }}
{% endfor -%}
{% for text in p.warnings -%}
- **!** {{ text | cell }}
{% endfor -%}
{% if (p.amended or p.checks or p.warnings) and p.steps %}
{% endif -%}
{% if p.steps -%}
| # | | step | on | takes | because | needs | undone by | risk |
|--:|---|---|---|--:|---|---|---|---|
{% for s in p.steps -%}
| {{ s.number }} | `{{ s.symbol }}` | {{ s.title }} | {{ s.on | cell }} | {{ s.takes }} | {{ s.because | cell }} | \
{{ s.needs }} | {{ s.undo }} | {{ s.risk }} |
{% endfor %}
Way back: {{ p.back or "nothing to take back" }}.

{% endif -%}
{% endif -%}
{% endfor -%}
"""


def markdown(found: Sequence[Plan | Refusal]) -> str:
    """The plans as Markdown for a review, everything from outside escaped."""
    views = [_refused_view(p) if isinstance(p, Refusal) else _plan_view(p) for p in found]
    return _template().render(plans=views).rstrip() + "\n"


@cache
def _template() -> jinja2.Template:
    import jinja2  # only Markdown needs it, and it takes its time to load

    environment = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)  # noqa: S701  Markdown, not HTML
    environment.filters["cell"] = _cell
    return environment.from_string(_MARKDOWN)


def _cell(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    return "".join(f"\\{c}" if c in "`*_<>[]#" else c for c in escaped)


def _refused_view(refusal: Refusal) -> dict[str, Any]:
    return {"vm": refusal.vm, "aim": f"→ {refusal.goal}", "reasons": refusal.reasons}


def _plan_view(plan: Plan) -> dict[str, Any]:
    return {
        "vm": plan.vm,
        "aim": _aim(plan),
        "promise": _sentence(_promise(plan)),
        "origin": str(plan.spec.origin),
        "digest": plan.digest,
        "ready": f" Readiness {plan.readiness.score:g} of 100." if plan.readiness is not None else "",
        "checks": plan.readiness.failed if plan.readiness is not None else (),
        "amended": list(amended(plan)),
        "held_up": plan.held_up,
        "warnings": plan.warnings,
        "steps": [step_view(s) for s in plan.steps],
        "back": ", ".join(dict.fromkeys(wording.of(s.action).title for s in plan.way_back)),
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def step_view(step: Step) -> dict[str, Any]:
    """One step with all its words, for templates and JSON."""
    words = wording.of(step.action)
    return {
        "number": step.number,
        "action": step.action.word,
        "symbol": words.symbol,
        "title": words.title,
        "on": step.on,
        "because": step.because,
        "needs": words.needs,
        "effect": words.effect,
        "undo": words.undo,
        "risk": str(words.risk),
        "takes": format_duration(step.takes),
    }


def as_json(found: Plan | Refusal) -> dict[str, Any]:
    """The plan as JSON, every step with its words beside its fields."""
    data = found.as_json()
    if isinstance(found, Plan):
        for name, steps in (("steps", found.steps), ("way_back", found.way_back)):
            data[name] = [{**step_view(s), **s.as_json()} for s in steps]
    return data
