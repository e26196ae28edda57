"""The quality scale: what every connector has done, or is exempt from with a reason."""

from collections.abc import Mapping
from typing import Final

from canonical_model.ports import Manifest

DONE: Final = "done"
EXEMPT: Final = "exempt: "

RULES: Final[Mapping[str, str]] = {
    "readme": "README.md says how to get access and what is odd about the system",
    "schemas": "every stream has a JSON Schema (2020-12) of its records",
    "mapping_examples": "every mapping carries examples, and every inward one also a record that is refused",
    "message_identity": "every pushed message can name itself, so that a second copy is recognised",
    "stock_meaning": "every stock stream says what its figure counts and what proves a shipment",
    "personal_data": "every personal field is declared",
    "paging": "pulls read page by page and go on from a cursor",
    "idempotent_writes": "a write repeated under its key lands once",
    "lost_answers": "a lost answer is told apart from a refusal, and can be cleared up",
    "signed_pushes": "a push is proven by a signature over its body, not only by a key",
    "simulator": "the simulator is a process of its own, speaks the real protocol and survives kill -9",
    "books": "the system's own books can be read over its protocol, for reconciliation",
}


def quality_problems(manifest: Manifest) -> list[str]:
    """What is wrong with the ``[quality]`` table of a manifest; empty when every rule is settled."""
    problems = [f"quality.{rule}: unknown rule; remove it" for rule in sorted(set(manifest.quality) - set(RULES))]
    for rule, meaning in RULES.items():
        verdict = manifest.quality.get(rule, "missing")
        if verdict != DONE and not (verdict.startswith(EXEMPT) and verdict.removeprefix(EXEMPT).strip()):
            problems.append(f"quality.{rule} is {verdict!r}; write 'done' or 'exempt: why' ({meaning})")
    return problems
