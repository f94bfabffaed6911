"""The pictures of the documentation: data, which ``tests/test_docs.py`` compares with the code, and what draws it.

``state_machine`` draws ``protocol.states.TRANSITIONS``, ``sequence`` the steps of ``CALL`` and ``decisions`` the
questions of ``CHOICES``.
"""

from __future__ import annotations

from typing import NamedTuple

from drawing import Drawing, wrapped

from django_asyncexchange.protocol.states import TRANSITIONS, UNFINISHED, State

# States ---------------------------------------------------------------------------------------------------------------

WHEN = {
    (State.PENDING, State.PROCESSING): "claimed",
    (State.PENDING, State.ERROR): "waited too long",
    (State.PENDING, State.CANCEL): "cancelled",
    (State.PROCESSING, State.PENDING): "lost, may run again",
    (State.PROCESSING, State.DONE): "answer below 400",
    (State.PROCESSING, State.API_ERROR): "answer 4xx",
    (State.PROCESSING, State.ERROR): "answer 5xx, lost, took too long",
    (State.PROCESSING, State.CANCEL): "cancelled",
}
"""What makes a task change its state."""
WIDTH, HEIGHT, STEP = 128, 44, 92


def state_machine() -> Drawing:
    """Unfinished states from left to right, final ones below each other on the right."""
    moves = [f"{source} to {target} ({WHEN[source, target]})" for source, targets in ways() for target in targets]
    drawing = Drawing("states", f"State machine of a task: {'; '.join(moves)}.", 760)
    open_ones = [state for state in State if state in UNFINISHED]
    final = [state for state in State if state not in UNFINISHED]
    at = {state: (10 + 230 * column, 60.0) for column, state in enumerate(open_ones)}
    at |= {state: (620, 60.0 + STEP * row) for row, state in enumerate(final)}
    for state, (x, y) in at.items():
        drawing.box(x, y, WIDTH, HEIGHT, state, round=state in UNFINISHED)
    for source, targets in ways():
        for target in targets:
            connect(drawing, at[source], at[target], WHEN[source, target], direct=source is open_ones[-1])
    return drawing


def ways() -> list[tuple[State, list[State]]]:
    """Each state that may be left, and where it may lead."""
    return [
        (source, [state for state in State if state in targets]) for source, targets in TRANSITIONS.items() if targets
    ]


def connect(
    drawing: Drawing, source: tuple[float, float], target: tuple[float, float], text: str, direct: bool
) -> None:
    """Back in an arc above; from the last unfinished state along a trunk to its right; from others along one below."""
    (x1, y1), (x2, y2) = source, target
    if x2 < x1:
        drawing.path(f"M{x1 + 40} {y1} C{x1 + 20} {y1 - 42} {x2 + WIDTH - 20} {y1 - 42} {x2 + WIDTH - 40} {y2}")
        drawing.text((x1 + x2 + WIDTH) / 2, y1 - 42, text, small=True)
        return
    if y1 == y2:
        end, below = y2 + HEIGHT / 2, False
        drawing.path(f"M{x1 + WIDTH} {end} H{x2}")
    elif direct:
        end, below = y2 + 12, False
        drawing.path(f"M{x1 + WIDTH} {y1 + HEIGHT / 2} h40 V{end} H{x2}")
    else:
        end, below = y2 + HEIGHT - 12, True
        drawing.path(f"M{x1 + WIDTH / 2} {y1 + HEIGHT} V{end} H{x2}")
    drawing.text(x2 - 14, end + (10 if below else -10), text, anchor="end", small=True)


# A call ---------------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """Something that ``source`` says to ``target``, or does itself; ``function`` of the package is where."""

    source: str
    target: str
    text: str
    function: str = ""
    is_answer: bool = False


ACTORS = ("client", "web server", "database", "worker", "your view")
CALL = (
    Step("client", "web server", "GET /report/\nPrefer: respond-async", "middleware.detect"),
    Step(
        "web server",
        "web server",
        "who calls, and may they? (authentication, permissions, throttles)",
        "intake.admission.refusal",
    ),
    Step("web server", "web server", "the request becomes a value, without credentials", "intake.capture.capture"),
    Step("web server", "database", "INSERT task, COMMIT", "tasks.lifecycle.accept"),
    Step("web server", "client", "202\nLocation: /async/tasks/{id}", is_answer=True),
    Step("database", "worker", "a task is ready", "worker.runner.run_ready"),
    Step("worker", "database", "claim: UPDATE the task that has been ready longest", "tasks.lifecycle.claim_next"),
    Step("worker", "your view", "the same request, as the same user, through MIDDLEWARE", "worker.handlers.handler"),
    Step("your view", "worker", "response", is_answer=True),
    Step("worker", "database", "the body, as it comes"),
    Step("worker", "database", "final state, status, headers, the next claim, COMMIT", "tasks.lifecycle.finish"),
    Step("client", "web server", "GET /async/tasks/{id}/result", "endpoints.tasks.TaskView.result"),
    Step("web server", "client", "the status, headers and body of your view", "responses.http.replayed", True),
)
"""The way of a call, step by step, in the dialect ``prefer`` with django-q2. Functions are entered in this order."""
LANE = 165


def sequence() -> Drawing:
    """A column for each of ACTORS, and an arrow for each step of CALL, from top to bottom."""
    words = [f"{' to '.join(dict.fromkeys([step.source, step.target]))}: {step.text}" for step in CALL]
    drawing = Drawing("call", f"Sequence of a call. {'; '.join(words)}.", LANE * len(ACTORS))
    middle = {actor: LANE * (column + 0.5) for column, actor in enumerate(ACTORS)}
    y = 66.0
    for step in CALL:
        start, end = middle[step.source], middle[step.target]
        text = wrapped(step.text, 26 if abs(start - end) <= LANE else 48)
        lines = text.count("\n") + 1
        y += 17 * lines + 8
        if start == end:
            drawing.path(f"M{start} {y - 17 * lines} h20 v{17 * lines} h-18")
            drawing.text(start + 28, y - 17 * lines / 2, text, anchor="start", small=True)
        else:
            drawing.text((start + end) / 2, y - 6 - 17 * lines / 2, text, small=True)
            drawing.path(f"M{start} {y} H{end}", dashed=step.is_answer)
        y += 12
    for actor, x in middle.items():
        drawing.box(x - 60, 10, 120, 36, actor)
        drawing.path(f"M{x} 46 V{y}", arrow=False, faint=True)
    drawing.height = int(y)
    return drawing


# Choices --------------------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """What to decide: questions with the answer for yes, in their order, and the answer where all are no."""

    title: str
    questions: tuple[tuple[str, str], ...]
    otherwise: str


CHOICES = (
    Choice(
        "Dialect",
        (
            ("Do clients of MoySklad call you?", "moysklad"),
            ("Of Kladana?", "kladana"),
            ("Of Target@Mail.Ru?", "mailru"),
            ("Of Cisco PCCE?", "cisco"),
            ("Of Solitude?", "solitude"),
            ("Do your clients know another protocol?", "a class of your own"),
        ),
        "prefer",
    ),
    Choice(
        "Executor",
        (
            ("Does the project run Celery?", "Celery"),
            ("Does it run Django Tasks?", "DjangoTasks"),
            ("MySQL, with workers on several machines?", "DjangoQ on Redis"),
        ),
        "DjangoQ in the database",
    ),
    Choice(
        "Storage of results",
        (
            ("Are all results below 64 KiB?", "the database"),
            ("Is there more than one machine?", "an S3 bucket"),
        ),
        "a directory",
    ),
)


def decisions() -> Drawing:
    """A ladder for each of CHOICES: down is no, right is yes."""
    said = [
        f"{choice.title}: {' '.join(f'{question} Yes: {answer}.' for question, answer in choice.questions)} "
        f"Otherwise: {choice.otherwise}."
        for choice in CHOICES
    ]
    drawing = Drawing("choices", " ".join(said), 760)
    y = 10.0
    for choice in CHOICES:
        drawing.text(10, y + 10, choice.title, anchor="start")
        y += 30
        for question, answer in choice.questions:
            drawing.box(10, y, 390, 36, question)
            drawing.path(f"M400 {y + 18} H520")
            drawing.text(460, y + 8, "yes", small=True)
            drawing.box(522, y, 228, 36, answer, round=True)
            drawing.path(f"M205 {y + 36} V{y + 58}")
            drawing.text(222, y + 46, "no", anchor="start", small=True)
            y += 60
        drawing.box(91, y, 228, 36, choice.otherwise, round=True)
        y += 70
    return drawing
